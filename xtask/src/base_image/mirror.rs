//! The Debian mirror for the base image and its later packages: the one of this machine, if a
//! container can use it too. Otherwise mmdebstrap's default.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use xshell::{Shell, cmd};

use crate::engine::apt::{self, Source};
use crate::engine::os::Distribution;
use crate::process::query::{self, RunningQuery};
use crate::session::Session;

/// apt retries and gives up within this time.
pub(super) const QUERY_TIMEOUT: Duration = Duration::from_secs(30);

/// Downloads a file as apt does.
const APT_HELPER: &str = "/usr/lib/apt/apt-helper";

/// Addresses of Debian's archives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mirror {
    /// The release and its updates.
    pub main: String,
    /// Security updates.
    pub security: String,
}

impl Mirror {
    /// Derives the mirror from this machine's sources; `None` if no container could use them.
    /// `read` returns the text of a file, for lists of mirrors.
    pub(crate) fn derive(
        sources: &[Source],
        distribution: &Distribution,
        read: &dyn Fn(&Path) -> Option<String>,
    ) -> Option<Self> {
        let mirror_of = |source: Option<&Source>| source.and_then(|source| usable(&source.uri, read));
        let main = mirror_of(apt::debian_main(sources, distribution))?;
        // Mirrors have the security archive next to the main one. A suite that doesn't answer is
        // skipped.
        let security = mirror_of(apt::debian_security(sources, distribution));
        Some(Self { security: security.unwrap_or_else(|| format!("{main}-security")), main })
    }

    /// Returns this machine's mirror.
    pub(crate) fn of_host() -> Option<Self> {
        let read = |path: &Path| fs::read_to_string(path).ok();
        Self::derive(&apt::read(Path::new("/etc/apt")), &Distribution::read(), &read)
    }

    /// Returns suites of Debian 13, each with its archive.
    pub(crate) fn suites(&self) -> [(&str, &str); 3] {
        [
            (self.main.as_str(), "trixie"),
            (self.main.as_str(), "trixie-updates"),
            (self.security.as_str(), "trixie-security"),
        ]
    }
}

/// Returns an address that works in a container, without a password that would stay in the image.
fn usable(uri: &str, read: &dyn Fn(&Path) -> Option<String>) -> Option<String> {
    if let Some(list) = uri.strip_prefix("mirror+file:") {
        let text = read(Path::new(&format!("/{}", list.trim_start_matches('/'))))?;
        let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'))?;
        return usable(line.split_whitespace().next()?, &|_| None);
    }
    let rest = uri.strip_prefix("http://").or_else(|| uri.strip_prefix("https://"))?;
    let host = rest.split('/').next()?;
    let is_local = host.starts_with("localhost") || host.starts_with("127.") || host.starts_with("[::1]");
    (!is_local && !host.contains('@')).then(|| uri.trim_end_matches('/').to_owned())
}

/// Returns whether this machine's mirror answers; `None` if there is no such mirror or no apt.
pub(crate) fn mirror_answers() -> Option<(String, bool)> {
    let sh = Shell::new().ok().filter(|_| Path::new(APT_HELPER).exists())?;
    let (mirror, dir) = (Mirror::of_host()?, tempfile::tempdir().ok()?);
    let answer = ask_release(&sh, &mirror.main, "trixie", dir.path()).ok()?.answer(QUERY_TIMEOUT);
    Some((mirror.main, answer.is_ok_and(|answer| answer.success)))
}

/// Starts a query for a suite's Release file, with apt's own network settings.
fn ask_release(sh: &Shell, archive: &str, suite: &str, dir: &Path) -> Result<RunningQuery> {
    let (url, file) = (format!("{archive}/dists/{suite}/Release"), dir.join(suite));
    let options =
        ["-o", "Acquire::http::Timeout=8", "-o", "Acquire::https::Timeout=8", "-o", "Acquire::Retries=1"];
    query::start(cmd!(sh, "{APT_HELPER} {options...} download-file {url} {file}"))
}

/// Queries all suites' Release files in parallel: the existing suites, and the release's date.
pub(crate) fn ask_mirror(session: &Session, mirror: &Mirror) -> Result<(Vec<(String, String)>, i64)> {
    let dir = tempfile::tempdir()?;
    let mut asked = Vec::new();
    for (archive, suite) in mirror.suites() {
        asked.push((archive, suite, ask_release(&session.sh, archive, suite, dir.path())?));
    }
    let mut suites = Vec::new();
    for (archive, suite, question) in asked {
        if question.answer(QUERY_TIMEOUT).is_ok_and(|answer| answer.success) {
            suites.push((archive.to_owned(), suite.to_owned()));
        }
    }
    let release = fs::read_to_string(dir.path().join("trixie")).unwrap_or_default();
    match release_date(&release) {
        Some(epoch) => Ok((suites, epoch)),
        None => bail!(
            "failed to make a base image: neither a registry nor the Debian mirror `{}` answers\ncheck \
             the network, or load the pinned image with `docker load`",
            mirror.main
        ),
    }
}

/// Returns the date of a Release file.
fn release_date(release: &str) -> Option<i64> {
    Some(release_time(release, "Date:")??.as_second())
}

/// Returns the time in a field of a Release file, or `None` without that field. A time that cannot
/// be read is `Some(None)`.
pub(crate) fn release_time(release: &str, field: &str) -> Option<Option<Timestamp>> {
    let date = release.lines().find_map(|line| line.strip_prefix(field))?.trim().replace("UTC", "+0000");
    Some(rfc2822::parse(&date).ok().map(|date| date.timestamp()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn derived(list: &str) -> Option<(String, String)> {
        let debian = Distribution::Debian { version: Some(12), codename: "bookworm".into() };
        let read = |path: &Path| {
            (path == Path::new("/etc/apt/mirrors/debian.list"))
                .then(|| "# near\nhttps://near.test/debian/ prio:1\n".into())
        };
        let mirror = Mirror::derive(&apt::parse_list(list), &debian, &read)?;
        Some((mirror.main, mirror.security))
    }

    #[test]
    fn the_machine_s_own_mirror_is_taken_where_a_container_can_use_it() {
        let own = |uri: &str| derived(&format!("deb {uri} bookworm main\n")).expect("a mirror").0;
        assert_eq!(own("http://mirror.test/debian/"), "http://mirror.test/debian");
        assert_eq!(own("mirror+file:/etc/apt/mirrors/debian.list"), "https://near.test/debian");
        for unusable in
            ["http://me:secret@mirror.test/debian", "file:/srv/debian", "http://localhost:3142/debian"]
        {
            assert_eq!(derived(&format!("deb {unusable} bookworm main\n")), None, "{unusable}");
        }
    }

    #[test]
    fn security_updates_have_an_archive_of_their_own() {
        let list = "deb http://m.test/debian bookworm main\ndeb http://m.test/sec bookworm-security main\n";
        assert_eq!(derived(list), Some(("http://m.test/debian".into(), "http://m.test/sec".into())));
        let main = "deb http://m.test/debian bookworm main\n";
        let sibling = ("http://m.test/debian".into(), "http://m.test/debian-security".into());
        assert_eq!(derived(main), Some(sibling));
    }

    #[test]
    fn a_machine_without_a_debian_source_has_no_mirror() {
        assert_eq!(derived(""), None);
        let other = Distribution::Other("a system".into());
        let sources = apt::parse_list("deb http://m.test/ubuntu noble main\n");
        assert_eq!(Mirror::derive(&sources, &other, &|_| None), None);
    }

    #[test]
    fn the_clock_is_the_release_s() {
        let release = "Origin: Debian\nDate: Sat, 12 Sep 2026 07:55:41 UTC\nAcquire-By-Hash: yes\n";
        assert_eq!(release_date(release), Some(1_789_199_741));
        assert_eq!(release_date("<html>"), None);
    }
}
