//! `ci/onboard.sh` for a user who has sudo and is not yet in the group `docker`. The programs that
//! it calls are stand-ins which log their calls: no test adds a user of this machine to a group.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::common::Run;

/// Reaches the engine in the group alone, as set by `sg`.
const DOCKER: &str = r#"case $1 in
version) [ -n "${FAKE_GROUP:-}" ] || { echo "permission denied while trying to connect" >&2; exit 1; } ;;
esac"#;
/// Builds in the group alone.
const CARGO: &str = r#"[ -n "${FAKE_GROUP:-}" ] || { echo "error: no permission" >&2; exit 1; }"#;
const SG: &str = r#"[ -z "${FAKE_BROKEN:-}" ] && export FAKE_GROUP=1; exec bash -c "$3""#;
const ID: &str = r#"case $1 in -un) echo somebody ;; *) echo "somebody ${FAKE_MEMBER:-}" ;; esac"#;

struct Machine {
    dir: tempfile::TempDir,
}

impl Machine {
    fn new(programs: &[(&str, &str)]) -> Self {
        let machine = Self { dir: tempfile::tempdir().expect("a directory") };
        let always =
            [("cc", ""), ("curl", ""), ("docker", DOCKER), ("cargo", CARGO), ("id", ID), ("sleep", "")];
        for (name, script) in always.iter().chain(programs) {
            let log = machine.log();
            let text = format!("#!/bin/bash\necho {name} \"$@\" >>'{}'\n{script}\n", log.display());
            let file = machine.dir.path().join(name);
            fs::write(&file, text).expect("written");
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("executable");
        }
        for name in ["bash", "dirname", "seq", "env"] {
            let real = xtask::testing::host::Host::read().which(name).unwrap_or_else(|| panic!("no {name}"));
            std::os::unix::fs::symlink(real, machine.dir.path().join(name)).expect("linked");
        }
        machine
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("calls")
    }

    fn run(&self, env: &[(&str, &str)]) -> Run {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut script = Command::new(root.join("ci/onboard.sh"));
        script.env_clear().env("PATH", self.dir.path()).envs(env.iter().copied()).stdin(Stdio::null());
        Run::from(script.output().expect("the script runs"))
    }

    /// The calls that decide about the group, and the builds, in their order.
    fn calls(&self) -> Vec<String> {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let decides = |line: &&str| ["sudo ", "sg ", "cargo "].iter().any(|start| line.starts_with(start));
        let lines = log.lines().filter(decides);
        lines.map(|line| if line.starts_with("sg ") { "sg".into() } else { line.to_owned() }).collect()
    }
}

const ALL: [(&str, &str); 3] = [("sudo", ""), ("sg", SG), ("getent", "")];
const BUILDS: [&str; 3] =
    ["cargo xtask base-build --provision", "cargo xtask frankenphp", "cargo xtask doctor"];
const JOIN: &str = "sudo usermod --append --groups docker somebody";

#[test]
fn a_user_with_sudo_joins_the_group_and_ends_with_a_page() {
    let machine = Machine::new(&ALL);
    let run = machine.run(&[]);
    run.succeeds();
    assert!(run.stdout.contains("It works: http://localhost:"), "{}", run.all());
    assert!(run.stderr.contains("adding somebody to the group docker"), "{}", run.all());
    assert_eq!(machine.calls(), [&[JOIN, "sg"], &BUILDS[..]].concat());
}

#[test]
fn a_login_from_before_the_group_needs_no_sudo() {
    let machine = Machine::new(&[("sg", SG), ("getent", "")]);
    let run = machine.run(&[("FAKE_MEMBER", "docker")]);
    run.succeeds();
    assert_eq!(machine.calls(), [&["sg"], &BUILDS[..]].concat());
}

#[test]
fn an_engine_that_was_just_installed_is_joined_after_the_first_failure() {
    let installed = r#"case $1 in
version) [ -e "$0.installed" ] || { echo "not found" >&2; exit 127; }
    [ -n "${FAKE_GROUP:-}" ] || { echo "permission denied" >&2; exit 1; } ;;
esac"#;
    let cargo = r#": >"${0%/*}/docker.installed"; [ -n "${FAKE_GROUP:-}" ]"#;
    let machine = Machine::new(&[&ALL[..], &[("docker", installed), ("cargo", cargo)]].concat());
    machine.run(&[]).succeeds();
    assert_eq!(machine.calls(), [&[BUILDS[0], JOIN, "sg"], &BUILDS[..]].concat());
}

#[test]
fn it_stops_with_the_remedy_and_never_starts_twice() {
    let remedy =
        ["this user may not use the Docker engine", "sudo usermod -aG docker somebody", "log in again"];
    let no_sudo = Machine::new(&[("sg", SG), ("getent", "")]);
    no_sudo.run(&[]).fails(1, &remedy);
    let broken = Machine::new(&ALL);
    broken.run(&[("FAKE_BROKEN", "1")]).fails(1, &remedy);
    assert_eq!(broken.calls(), [JOIN, "sg"], "one attempt");
    let elsewhere = Machine::new(&ALL);
    elsewhere.run(&[("DOCKER_HOST", "unix:///elsewhere")]).fails(1, &remedy);
    assert_eq!(elsewhere.calls(), [""; 0], "another engine's group is not this machine's");
}

#[test]
fn another_failure_keeps_its_exit_code() {
    let machine = Machine::new(&[&ALL[..], &[("docker", ""), ("cargo", "exit 3")]].concat());
    let run = machine.run(&[]);
    assert_eq!(run.code, 3, "{}", run.all());
    assert_eq!(machine.calls(), [BUILDS[0]]);
}
