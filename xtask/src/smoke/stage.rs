//! The ways to start an image for tests, and the pages for it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use tempfile::TempDir;

/// One way to start the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scenario {
    /// Not started: only its configuration.
    Declared,
    /// As shipped, without additional settings.
    Shipped,
    /// With the test pages over HTTP and HTTPS, one of them a worker.
    Web,
    /// The same pages served by a user that the image doesn't know, as some platforms choose one.
    AnyUser,
    /// The same pages served by root.
    Root,
    /// The same pages served with all privileges removed that an engine can remove.
    Hardened,
    /// One thread, and a short timeout.
    Busy,
}

/// Every stage, in the order of a run.
pub(crate) const STAGES: [Scenario; 7] = [
    Scenario::Declared,
    Scenario::Shipped,
    Scenario::Web,
    Scenario::AnyUser,
    Scenario::Root,
    Scenario::Hardened,
    Scenario::Busy,
];

/// The directory of the test pages in the container. The application's own directory is not
/// changed.
pub(crate) const ROOT: &str = "/durango-smoke";
/// The user of [`Scenario::AnyUser`]: `nobody`, who owns nothing.
pub(crate) const NOBODY: u64 = 65534;

const WEB: &str = "SERVER_NAME=:80, localhost";
const PAGES: &str = "SERVER_ROOT=/durango-smoke";

impl Scenario {
    /// Returns its name for containers and messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Declared => "image",
            Self::Shipped => "shipped",
            Self::Web => "web",
            Self::AnyUser => "any-user",
            Self::Root => "root",
            Self::Hardened => "hardened",
            Self::Busy => "busy",
        }
    }

    /// Returns arguments of `docker create`.
    pub(crate) fn args(self) -> &'static [&'static str] {
        match self {
            Self::Declared => &[],
            // The image's own health command, every second instead of every half minute.
            Self::Shipped => &["--health-interval", "1s", "--health-start-period", "0s"],
            Self::Web => &[
                "--env",
                WEB,
                "--env",
                PAGES,
                "--env",
                "FRANKENPHP_CONFIG=num_threads 6\nworker /durango-smoke/counter.php 1",
            ],
            // Group 0 is what OpenShift gives to a random user. The admin API is moved, PHP opens
            // no URLs.
            Self::AnyUser => &[
                "--user",
                "65534:0",
                "--env",
                WEB,
                "--env",
                PAGES,
                "--env",
                "CADDY_GLOBAL_OPTIONS=admin :2020",
                "--env",
                "FRANKENPHP_CONFIG=php_ini allow_url_fopen 0",
            ],
            Self::Root => {
                &["--user", "0:0", "--cap-drop", "ALL", "--env", "SERVER_NAME=:8080", "--env", PAGES]
            }
            // The pages are in a volume, because nothing can be copied to a read-only file system.
            Self::Hardened => &[
                "--cap-drop",
                "ALL",
                "--read-only",
                "--security-opt",
                "no-new-privileges",
                "--volume",
                ROOT,
                "--env",
                "SERVER_NAME=:8080",
                "--env",
                PAGES,
                "--env",
                "CADDY_GLOBAL_OPTIONS=admin off",
            ],
            Self::Busy => &[
                "--env",
                "SERVER_NAME=:80",
                "--env",
                PAGES,
                "--env",
                "FRANKENPHP_CONFIG=num_threads 1\nmax_threads 1\nmax_wait_time 1s",
            ],
        }
    }

    /// Returns whether the test pages are copied.
    pub(crate) fn has_pages(self) -> bool {
        !matches!(self, Self::Declared | Self::Shipped)
    }

    /// Returns the port of the server: a high one if it may have no privilege.
    pub(crate) fn port(self) -> u16 {
        match self {
            Self::Root | Self::Hardened => 8080,
            _ => 80,
        }
    }

    /// Returns the name of the check that it starts.
    pub(crate) fn start(self) -> String {
        format!("start-{}", self.name())
    }
}

macro_rules! pages {
    ($($name:literal),* $(,)?) => { &[$(($name, include_str!(concat!("php/", $name)))),*] };
}

/// The served pages.
const SERVED: &[(&str, &str)] = pages![
    "lib.php",
    "hello.php",
    "server.php",
    "body.php",
    "session.php",
    "upload.php",
    "hints.php",
    "counter.php",
    "sleep.php",
    "process.php",
    "loaded.php",
    "production.php",
    "admin.php",
    "arguments.php",
    "command-line.php",
    "tls.php",
    "font.php",
    "ext-opcache.php",
    "ext-image.php",
    "ext-text.php",
    "ext-xml.php",
    "ext-data.php",
    "ext-code.php",
    "ext-system.php",
];

/// Copies of the page `hello.php` at paths that test whether the server shows hidden files.
const COPIES: &[&str] = &[".hidden.php", ".well-known/hello.php", ".well-known/.hidden.php"];

/// Returns the text of a page.
pub(crate) fn page(name: &str) -> Option<&'static str> {
    SERVED.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// Returns a script for `php-cli -r`: the code after the opening tag.
pub(crate) fn code(script: &'static str) -> &'static str {
    script.trim_start().trim_start_matches("<?php")
}

/// Writes the pages to a new directory with a random name. Everybody may read them, and they are a
/// day old, because opcache ignores new files.
pub(crate) fn write_pages() -> Result<TempDir> {
    let dir = tempfile::Builder::new().prefix("durango-smoke-").tempdir()?;
    let written = || -> Result<()> {
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755))?;
        let well_known = dir.path().join(".well-known");
        fs::create_dir(&well_known)?;
        fs::set_permissions(&well_known, fs::Permissions::from_mode(0o755))?;
        let hello = page("hello.php").unwrap_or_default();
        let copies = COPIES.iter().map(|name| (*name, hello));
        let mut pages = SERVED.iter().copied().chain(copies);
        pages.try_for_each(|(name, text)| write_page(&dir.path().join(name), text))
    };
    written().with_context(|| format!("failed to write the pages to `{}`", dir.path().display()))?;
    Ok(dir)
}

fn write_page(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644))?;
    let yesterday = SystemTime::now() - Duration::from_secs(24 * 3600);
    Ok(fs::File::options().write(true).open(path)?.set_modified(yesterday)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_old_and_readable_by_all() {
        let dir = write_pages().unwrap();
        for (name, text) in SERVED {
            let meta = fs::metadata(dir.path().join(name)).unwrap();
            assert_eq!(meta.permissions().mode() & 0o777, 0o644);
            assert!(meta.modified().unwrap().elapsed().unwrap() > Duration::from_secs(3600));
            assert!(text.starts_with("<?php"), "{name}");
        }
        assert_eq!(fs::metadata(dir.path()).unwrap().permissions().mode() & 0o777, 0o755);
    }

    #[test]
    fn every_script_next_to_this_file_is_included() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/smoke/php");
        let code = ["own-page.php", "relay.php"];
        for entry in fs::read_dir(dir).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(page(&name).is_some() || code.contains(&name.as_str()), "{name} is served by nothing");
        }
    }

    #[test]
    fn settings_name_the_directory_of_our_pages() {
        assert!(PAGES.ends_with(ROOT));
        assert!(Scenario::Web.args().iter().any(|arg| arg.contains(&format!("worker {ROOT}/counter.php"))));
        assert!(Scenario::AnyUser.args().contains(&"65534:0"));
        assert!(Scenario::Hardened.args().contains(&ROOT));
    }

    #[test]
    fn the_port_is_the_one_the_server_is_given() {
        for stage in STAGES.into_iter().filter(|stage| stage.has_pages()) {
            let name = format!("SERVER_NAME=:{}", stage.port());
            assert!(stage.args().iter().any(|arg| arg.starts_with(&name)), "{stage:?}");
        }
    }
}
