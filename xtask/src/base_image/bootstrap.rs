//! Makes a Debian 13 image from only a mirror. The same packages give the same image: the clock is
//! the release's date, and files that mmdebstrap copies from the host are removed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use xshell::cmd;

use super::mirror::{self, Mirror, QUERY_TIMEOUT};
use crate::build_id;
use crate::defaults::KEYRING;
use crate::engine::Engine;
use crate::process::query;
use crate::process::root::Root;
use crate::session::Session;
use crate::step::{Action, Command, Step};
use crate::store::owner::{self, Owner};

/// As in Debian's own slim images. Packages that are installed later follow it too.
const LEFT_OUT: [&str; 9] = [
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/linda/*",
    "path-exclude=/usr/share/lintian/overrides/*",
    "path-exclude=/usr/share/locale/*",
    "path-include=/usr/share/locale/locale.alias",
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/groff/*",
];

/// Files that the host leaves in the image: its name, its resolver, its apt configuration.
const CLEAN: &str = r#"rm -f "$1/etc/hostname" "$1/etc/resolv.conf" "$1/etc/apt/apt.conf.d/99mmdebstrap""#;

/// The release day of Debian 13. It is the clock if mmdebstrap chooses the mirror, whose release
/// date is unknown in advance.
const RELEASED: i64 = 1_754_697_600;

/// The facts for a bootstrap.
#[derive(Debug, Clone)]
pub struct BootstrapFacts {
    /// The suites that answer, each with its archive; empty if mmdebstrap chooses the mirror.
    pub suites: Vec<(String, String)>,
    /// The image's clock, in seconds since 1970.
    pub epoch: i64,
    /// The host's network settings in the form of apt.conf; may contain a proxy's password.
    pub apt_conf: String,
    /// Debian's name of the architecture.
    pub architecture: String,
    /// The engine's platform.
    pub platform: String,
    /// The way in which mmdebstrap gets its rights.
    pub root: Root,
    /// A scratch directory of this run alone, in the store.
    pub dir: PathBuf,
    /// This process as the directory's owner: `cache gc` removes the directory once it has ended.
    pub owner: String,
}

/// Checks that the tools exist. The error names the command to install them.
pub(crate) fn check_tools(session: &Session) -> Result<()> {
    if session.host.which("mmdebstrap").is_none() || !Path::new(KEYRING).exists() {
        bail!(
            "failed to find a base image: no registry answers, and `mmdebstrap` or Debian's keyring, \
             which are needed to make one, are not installed\nrun the same command with `--provision`, \
             or: sudo apt-get install mmdebstrap debian-archive-keyring"
        );
    }
    Ok(())
}

/// Checks the keyring. Debian 13 is signed with the key of Debian 12 and its own; an existing
/// keyring with neither, as on Ubuntu 22.04, would fail in the middle.
pub(crate) fn check_keyring() -> Result<()> {
    let files =
        fs::read_dir(Path::new(KEYRING).parent().unwrap_or(Path::new("/"))).into_iter().flatten().flatten();
    let names = files.map(|file| file.file_name().to_string_lossy().into_owned());
    if Path::new(KEYRING).exists() && !names.into_iter().any(|name| is_new_key(&name)) {
        bail!(
            "failed to make a base image: no registry answers, and the keys in `{KEYRING}` are older than \
             Debian 13\ninstall Debian's package debian-archive-keyring, or load the pinned image with \
             `docker load`"
        );
    }
    Ok(())
}

fn is_new_key(name: &str) -> bool {
    ["bookworm", "trixie"]
        .iter()
        .any(|release| name.starts_with(&format!("debian-archive-{release}-automatic")))
}

impl BootstrapFacts {
    /// Reads the facts from the host and the mirror.
    pub fn read(session: &Session, engine: &Engine) -> Result<Self> {
        check_keyring()?;
        let (suites, epoch) = match Mirror::of_host() {
            Some(mirror) => mirror::ask_mirror(session, &mirror)?,
            None => (Vec::new(), RELEASED),
        };
        let sh = &session.sh;
        let config = query::query(cmd!(sh, "apt-config dump"), QUERY_TIMEOUT)?.stdout;
        Ok(Self {
            suites,
            epoch,
            apt_conf: network_settings(&config),
            architecture: debian_architecture(&engine.platform).to_owned(),
            platform: engine.platform.clone(),
            root: Root::of(&session.host, &session.layout),
            dir: session.layout.tmp().join(build_id::new_id(session.host.now, build_id::random()) + "-base"),
            owner: Owner::this().text()?,
        })
    }
}

/// Returns the network settings of apt's configuration, which mmdebstrap doesn't read.
fn network_settings(config: &str) -> String {
    const KEPT: [&str; 6] = [
        "Acquire::http::Proxy",
        "Acquire::https::Proxy",
        "Acquire::https::CAInfo",
        "Acquire::https::CaInfo",
        "Acquire::Check-Valid-Until ",
        "Acquire::Check-Date ",
    ];
    let is_kept = |line: &&str| KEPT.iter().any(|name| line.starts_with(name)) && !line.ends_with("\"\";");
    config.lines().filter(is_kept).flat_map(|line| [line, "\n"]).collect()
}

/// Returns Debian's name of an OCI platform such as `linux/arm/v7`.
fn debian_architecture(platform: &str) -> &str {
    match platform.trim_start_matches("linux/") {
        "386" => "i386",
        "arm" | "arm/v7" => "armhf",
        "ppc64le" => "ppc64el",
        "arm64/v8" => "arm64",
        other => other,
    }
}

/// Returns the steps that make the image and load it into the engine.
pub fn steps(facts: &BootstrapFacts, tag: &str) -> Result<Vec<Step>> {
    let file = |name: &str| facts.dir.join(name);
    let (tar, conf) = (file("debian-trixie.tar"), file("apt.conf"));
    let write = |path: PathBuf, content: &str, secret: bool| {
        let action = Action::Write { path, content: content.to_owned(), mode: 0o600, secret };
        Step { why: String::new(), action }
    };
    let make = Command::new(["mkdir", "-p", "-m", "700", &facts.dir.to_string_lossy()]);
    let mut steps = vec![Step::run("", make), write(owner::file(&facts.dir), &facts.owner, false)];
    let settings = (!facts.apt_conf.is_empty()).then_some(&conf);
    if let Some(path) = settings {
        steps.push(write(path.clone(), &facts.apt_conf, true));
    }
    let why = "making a Debian 13 base image, because no registry answers";
    steps.push(Step::run(why, mmdebstrap(facts, &tar, settings.map(PathBuf::as_path))));
    let import = ["docker", "import", "--platform", &facts.platform, "--change", r#"CMD ["bash"]"#];
    let import = Command::new(import).args([tar.to_string_lossy().into_owned(), tag.to_owned()]);
    steps.push(Step::run(format!("loading it into the engine as {tag}"), import));
    steps.push(Step::remove("", &facts.dir));
    Ok(steps)
}

fn mmdebstrap(facts: &BootstrapFacts, tar: &Path, apt_conf: Option<&Path>) -> Command {
    let epoch = facts.epoch.to_string();
    let mut argv = vec!["mmdebstrap".to_owned()];
    let options = ["--variant=minbase", "--include=ca-certificates", "--format=tar"];
    argv.extend(options.map(Into::into));
    argv.push(format!("--architectures={}", facts.architecture));
    argv.extend(LEFT_OUT.map(|option| format!("--dpkgopt={option}")));
    argv.extend(apt_conf.map(|path| format!("--aptopt={}", path.display())));
    argv.push(format!("--customize-hook={CLEAN}"));
    if facts.suites.is_empty() {
        // Without gpg, mmdebstrap doesn't find the key of its default mirror's release.
        argv.push(format!("--keyring={KEYRING}"));
    }
    argv.extend(["trixie".to_owned(), tar.to_string_lossy().into_owned()]);
    argv.extend(
        facts.suites.iter().map(|(uri, suite)| format!("deb [signed-by={KEYRING}] {uri} {suite} main")),
    );
    facts.root.command_with(("SOURCE_DATE_EPOCH", &epoch), argv.iter().map(String::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Layout;
    use crate::process::root::User;
    use crate::store::contents::{Contents, ItemKind, ItemState};

    fn facts() -> BootstrapFacts {
        let suites = [("http://m.test/debian", "trixie"), ("http://m.test/security", "trixie-security")];
        BootstrapFacts {
            suites: suites.map(|(uri, suite)| (uri.to_owned(), suite.to_owned())).to_vec(),
            epoch: 7,
            apt_conf: String::new(),
            architecture: "arm64".into(),
            platform: "linux/arm64".into(),
            root: Root::for_test(User::Root),
            dir: "/s/tmp/20260101-000000-1-base".into(),
            owner: "{}".into(),
        }
    }

    #[test]
    fn keys_of_the_release_before_will_do() {
        assert!(
            is_new_key("debian-archive-bookworm-automatic.gpg")
                && is_new_key("debian-archive-trixie-automatic.pgp")
        );
        assert!(
            !is_new_key("debian-archive-bullseye-automatic.gpg") && !is_new_key("debian-archive-keyring.gpg")
        );
    }

    #[test]
    fn the_steps_are_make_load_and_tidy_up() {
        let lines: Vec<String> = steps(&facts(), "t/x:y").unwrap().iter().map(Step::to_shell).collect();
        assert_eq!(lines.len(), 5);
        assert!(lines[0].ends_with(" /s/tmp/20260101-000000-1-base"), "{}", lines[0]);
        assert!(lines[2].starts_with("SOURCE_DATE_EPOCH=7 mmdebstrap '--variant=minbase'"), "{}", lines[2]);
        assert!(lines[2].contains("'--architectures=arm64'") && lines[2].contains("trixie-security main'"));
        let tar = "/s/tmp/20260101-000000-1-base/debian-trixie.tar";
        assert_eq!(
            lines[3],
            format!("docker import --platform linux/arm64 --change 'CMD [\"bash\"]' {tar} t/x:y")
        );
        assert_eq!(lines[4], "rm -rf /s/tmp/20260101-000000-1-base");
    }

    #[test]
    fn without_a_mirror_of_the_machine_mmdebstrap_chooses_one() {
        let facts = BootstrapFacts { suites: Vec::new(), epoch: RELEASED, ..facts() };
        let line = steps(&facts, "t").unwrap()[2].to_shell();
        assert!(line.starts_with("SOURCE_DATE_EPOCH=1754697600 mmdebstrap "), "{line}");
        assert!(line.ends_with(" trixie /s/tmp/20260101-000000-1-base/debian-trixie.tar"), "{line}");
        assert!(line.contains(&format!("--keyring={KEYRING}")), "{line}");
        assert!(!line.contains("http"), "{line}");
    }

    #[test]
    fn a_proxy_s_password_is_neither_shown_nor_left_behind() {
        let config = "Acquire::http::Proxy \"http://me:secret@p.test\";\nAcquire::https::Proxy \"\";\nAPT::Sandbox::User \"x\";\n";
        let facts = BootstrapFacts {
            apt_conf: network_settings(config),
            root: Root::for_test(User::Sudo),
            ..facts()
        };
        assert_eq!(facts.apt_conf, "Acquire::http::Proxy \"http://me:secret@p.test\";\n");
        let lines: Vec<String> = steps(&facts, "t").unwrap().iter().map(Step::to_shell).collect();
        assert!(!lines.join("\n").contains("secret@"));
        assert!(
            lines[3].starts_with("sudo env 'SOURCE_DATE_EPOCH=7' mmdebstrap")
                && lines[3].contains("--aptopt=/s/tmp/20260101-000000-1-base/apt.conf")
        );
    }

    #[test]
    fn files_of_a_bootstrap_that_was_killed_are_removed_by_gc() {
        let store = tempfile::tempdir().expect("a directory");
        let layout = Layout::new("/", store.path());
        let mut owner = serde_json::to_value(Owner::this()).expect("JSON");
        let run = |owner: &serde_json::Value| {
            let dir = layout.tmp().join("20260101-000000-1-base");
            let facts = BootstrapFacts {
                apt_conf: "Acquire::http::Proxy \"http://me:secret@p.test\";\n".into(),
                dir: dir.clone(),
                owner: owner.to_string(),
                ..facts()
            };
            let steps = steps(&facts, "t").unwrap();
            fs::create_dir_all(&dir).expect("made");
            // Up to the moment in which mmdebstrap runs.
            for step in &steps {
                if let Action::Write { path, content, .. } = &step.action {
                    fs::write(path, content).expect("written");
                }
            }
            fs::write(dir.join("debian-trixie.tar"), "a part").expect("written");
            let contents = Contents::read(&layout);
            let item = contents.of(ItemKind::Tmp).find(|item| item.path == dir).expect("it is known").clone();
            item.state
        };
        assert_eq!(run(&owner), ItemState::Untouchable, "it still runs");
        owner["started"] = "1".into();
        assert!(matches!(run(&owner), ItemState::Orphan(_)), "it was killed");
    }
}
