//! The browser for tests of reports: Debian's headless Chromium, unpacked below `target/` with its
//! dependencies and not installed. Otherwise a Chromium on the PATH or in CHROMIUM.

use std::path::{Path, PathBuf};

use crate::engine::os::Distribution;
use crate::host::Host;
use crate::layout::Layout;
use crate::process::root::Root;
use crate::step::{Command, Step};

/// Its possible names.
const NAMES: &[&str] =
    &["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "chrome-headless-shell"];
/// Its package, and fonts, because a page without fonts has no text.
const PACKAGES: [&str; 3] = ["chromium-headless-shell", "fonts-dejavu-core", "fontconfig-config"];

/// A browser and its variables.
#[derive(Debug, Clone)]
pub struct Browser {
    pub program: PathBuf,
    /// Added to its environment.
    pub env: Vec<(String, String)>,
}

/// Returns an existing browser.
pub fn find(host: &Host, layout: &Layout) -> Option<Browser> {
    let named = host.var("CHROMIUM").map(PathBuf::from);
    let known = || NAMES.iter().find_map(|name| host.which(name));
    match named.or_else(known) {
        Some(program) => Some(Browser { program, env: Vec::new() }),
        None => unpacked(&directory(layout)),
    }
}

fn directory(layout: &Layout) -> PathBuf {
    layout.test_tools().join("browser")
}

/// Returns the browser below `target/`, with its libraries and fonts.
fn unpacked(dir: &Path) -> Option<Browser> {
    let program = dir.join("usr/lib/chromium/chromium-headless-shell");
    let libraries = std::fs::read_dir(dir.join("usr/lib")).ok()?.flatten().map(|entry| entry.path());
    let libraries: Vec<String> = libraries
        .filter(|path| path.to_string_lossy().ends_with("-linux-gnu"))
        .flat_map(|path| [path.display().to_string(), path.join("pulseaudio").display().to_string()])
        .collect();
    let env = [
        ("LD_LIBRARY_PATH", libraries.join(":")),
        ("FONTCONFIG_FILE", dir.join("fonts.conf").display().to_string()),
    ];
    program
        .is_file()
        .then(|| Browser { program, env: env.map(|(name, value)| (name.to_owned(), value)).into() })
}

/// Returns the steps that download it; none if one exists, or if Debian's is not available.
pub(crate) fn steps(host: &Host, layout: &Layout) -> Vec<Step> {
    let is_debian = matches!(Distribution::read(), Distribution::Debian { .. });
    if find(host, layout).is_some() || !is_debian {
        return Vec::new();
    }
    let dir = directory(layout);
    let archives = dir.join("archives");
    let root = Root::of(host, layout);
    let update = root.command(["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120", "update"]);
    let update = (host.is_root || root.is_sudo()).then(|| Step::run("", update));
    // Downloads missing packages, as for an installation, and installs nothing.
    let cache = format!("Dir::Cache::archives={}/", archives.display());
    let fetch = [
        "apt-get",
        "-qq",
        "-y",
        "-o",
        "Debug::NoLocking=1",
        "-o",
        &cache,
        "--no-install-recommends",
        "--download-only",
        "install",
    ];
    let unpack = "for file in archives/*.deb; do dpkg-deb -x \"$file\" .; done; rm -r archives";
    let make = Command::new(["mkdir", "-p", &archives.join("partial").display().to_string()]);
    [Some(Step::run("fetching a browser for the tests", make)), update]
        .into_iter()
        .flatten()
        .chain([
            Step::run("", Command::new(fetch).args(PACKAGES).cwd(&dir)),
            Step::run("", Command::new(["sh", "-ec", unpack]).cwd(&dir)),
            Step::write("", dir.join("fonts.conf"), fonts(&dir)),
        ])
        .collect()
}

/// Returns the configuration of fontconfig: the font directories, and the distribution's settings.
fn fonts(dir: &Path) -> String {
    format!(
        "<?xml version=\"1.0\"?>\n<!DOCTYPE fontconfig SYSTEM \"fonts.dtd\">\n<fontconfig>\n\
         <dir>/usr/share/fonts</dir>\n<dir>{0}/usr/share/fonts</dir>\n<cachedir>{0}/fonts-cache</cachedir>\n\
         <include ignore_missing=\"yes\">/etc/fonts/conf.d</include>\n\
         <include ignore_missing=\"yes\">{0}/usr/share/fontconfig/conf.avail</include>\n</fontconfig>\n",
        dir.display()
    )
}
