//! Packages of one Debian suite, downloaded with a separate apt configuration and unpacked without
//! installation.

use std::path::{Path, PathBuf};

use crate::step::{Command, Step};

/// The packages of an engine. runc is the machine's, because a newer one may need a newer C
/// library.
const ENGINE: [&str; 5] = ["docker.io", "docker-cli", "docker-buildx", "docker-compose", "containerd"];

/// Unpacks every package of the current directory to a new directory, which then replaces the old
/// one.
const UNPACK: &str = r#"rm -rf "$1.new"; for file in *.deb; do dpkg-deb -x "$file" "$1.new"; done; rm -rf "$1"; mv -T "$1.new" "$1""#;

/// Downloads Go: `golang-go` depends on the packages of one version, `golang-1.99-go` and
/// `golang-1.99-src`.
const GO: &str = r#"version=$(apt-cache -c "$1" depends golang-go | sed -n 's/^ *Depends: \(golang-[0-9.]*\)-go$/\1/p' | head -n 1)
apt-get -qq -c "$1" download golang-go "$version-go" "$version-src""#;

/// The apt configuration of one suite, independent of installed packages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Apt {
    pub(super) dir: PathBuf,
    pub(super) suite: &'static str,
    /// The mirror.
    pub(super) uri: String,
    /// The keyring's path or the key.
    pub(super) signed_by: Option<String>,
    /// Whether this user is root. apt would then download as another user.
    pub(super) is_root: bool,
}

impl Apt {
    fn file(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }

    /// Returns a paragraph of sources for apt.
    fn sources(&self) -> String {
        let key = self.signed_by.as_ref().map(|key| format!("Signed-By: {key}\n")).unwrap_or_default();
        format!("Types: deb\nURIs: {}\nSuites: {}\nComponents: main\n{key}", self.uri, self.suite)
    }

    /// On the command line, so that this configuration file is read last.
    fn config(&self) -> String {
        let dir = self.dir.display();
        let user = if self.is_root { "APT::Sandbox::User \"root\";\n" } else { "" };
        format!(
            "Dir::State \"{dir}/state\";\nDir::State::status \"{dir}/status\";\nDir::Cache \"{dir}/cache\";\n\
             Dir::Etc::sourcelist \"/dev/null\";\nDir::Etc::sourceparts \"{dir}/sources\";\n\
             Dir::Etc::preferences \"/dev/null\";\nDir::Etc::preferencesparts \"{dir}/none\";\n\
             Acquire::Retries \"3\";\nAcquire::Languages \"none\";\n{user}"
        )
    }

    /// Returns the steps that read the package lists.
    fn update(&self, why: &str) -> Vec<Step> {
        let dirs =
            ["state/lists/partial", "cache/archives/partial", "none", "debs"].map(|dir| self.file(dir));
        let update = ["apt-get", "-qq", "-c", &self.file("apt.conf"), "update"];
        vec![
            Step::remove(why, self.dir.join("debs")),
            Step::run("", Command::new(["mkdir", "-p"]).args(dirs)),
            Step::write("", self.dir.join("status"), ""),
            Step::write("", self.dir.join("sources/engine.sources"), self.sources()),
            Step::write("", self.dir.join("apt.conf"), self.config()),
            Step::run("", Command::new(update)),
        ]
    }

    fn in_debs<'a>(&self, argv: impl IntoIterator<Item = &'a str>) -> Step {
        Step::run("", Command::new(argv).cwd(self.dir.join("debs")))
    }

    fn unpack(&self, to: &Path) -> Step {
        self.in_debs(["sh", "-ec", UNPACK, "sh", &to.display().to_string()])
    }
}

/// Returns the steps that unpack an engine.
pub(super) fn engine(apt: &Apt, to: &Path) -> Vec<Step> {
    let config = apt.file("apt.conf");
    let fetch = ["apt-get", "-qq", "-c", &config, "download"].into_iter().chain(ENGINE);
    let mut steps = apt.update(&format!("fetching the engine of Debian {}", apt.suite));
    steps.extend([apt.in_debs(fetch), apt.unpack(to)]);
    steps
}

/// Returns the steps that unpack Go.
pub(super) fn go(apt: &Apt, to: &Path) -> Vec<Step> {
    let mut steps = apt.update("fetching Go, which this machine lacks");
    steps.extend([apt.in_debs(["sh", "-ec", GO, "sh", &apt.file("apt.conf")]), apt.unpack(to)]);
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apt() -> Apt {
        Apt {
            dir: "/c/apt-sid".into(),
            suite: "sid",
            uri: "http://m.test/debian".into(),
            signed_by: Some("/k.gpg".into()),
            is_root: true,
        }
    }

    #[test]
    fn nothing_of_the_machine_s_apt_is_read_or_changed() {
        let lines: Vec<String> = engine(&apt(), Path::new("/c/sid")).iter().map(Step::to_shell).collect();
        let text = lines.join("\n");
        assert!(text.contains(
            "URIs: http://m.test/debian\n    Suites: sid\n    Components: main\n    Signed-By: /k.gpg"
        ));
        for line in lines.iter().filter(|line| line.contains("apt-get")) {
            assert!(line.contains("apt-get -qq -c /c/apt-sid/apt.conf"), "{line}");
        }
        for setting in ["Dir::State \"/c/apt-sid/state\"", "Dir::State::status", "Dir::Etc::preferences"] {
            assert!(text.contains(setting), "{setting}: {text}");
        }
        assert!(!text.contains(" install ") && !text.contains("runc"), "{text}");
    }
}
