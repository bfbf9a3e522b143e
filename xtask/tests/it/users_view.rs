//! The view of a user whose machine misbehaves: an engine that hangs, a home
//! directory that cannot be written.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::common::{COMPOSE, Project, as_nobody, files, run_as_nobody, skip};

/// Limits the time of a failing test.
const PATIENCE: Duration = Duration::from_secs(60);

/// Commands for this workspace.
const OF_WORKSPACE: [&str; 5] = ["base-build", "frankenphp", "pins", "bench", "test"];

/// Every command that asks an engine.
pub(crate) const COMMANDS: &[&[&str]] = &[
    &["base-build"],
    &["frankenphp"],
    &["build", "app", "--file", "compose.yaml"],
    &["plan", "app", "--file", "compose.yaml"],
    &["cache", "key", "app", "--file", "compose.yaml"],
    &["cache", "du"],
    &["cache", "export", "--to", "bundle.tar"],
    &["cache", "clear", "builder", "--yes"],
    &["builder", "status"],
    &["builder", "up"],
    &["builder", "down"],
    &["smoke", "durango-test/none"],
    &["outdated", "durango-test/none"],
    &["pins", "--update"],
    &["bench", "unchanged"],
    &["bench", "chaos"],
    &["test"],
    &["doctor"],
];

/// A project for a command, whose `docker` never answers. Each call leaves a file, and runs a line
/// of shell first. Without a declaration of its own, the project is this workspace.
fn stalled(args: &[&str], first: &str) -> Project {
    let declaration = if OF_WORKSPACE.contains(&args[0]) { "unused" } else { "compose.yaml" };
    let script = format!("#!/bin/sh\n{first}\n: >\"$0.called\"\nexec sleep 1000\n");
    let project = Project::new(&[
        (declaration, COMPOSE),
        ("Dockerfile", "ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nRUN true\n"),
        ("script", &script),
    ]);
    fs::create_dir(project.path("bin")).expect("made");
    // Copied by another process: a test that starts a program just now would share a descriptor
    // that is open for writing, and a program in such a file cannot run.
    let mut copy = Command::new("install");
    copy.args(["-m", "755"]).args([project.path("script"), project.path("bin/docker")]);
    assert!(copy.status().expect("install runs").success());
    let path = format!("{}:/usr/bin:/bin", project.path("bin").display());
    project.env("PATH", &path)
}

/// Waits for what `done` gives, which `child` may also end without.
fn wait<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = done() {
            return value;
        }
        assert!(started.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn ctrl_c_and_sigterm_end_each_command_that_waits_for_an_engine() {
    let signals = [Signal::INT, Signal::TERM];
    for (args, signal) in COMMANDS.iter().flat_map(|args| signals.map(|signal| (args, signal))) {
        let project = stalled(args, "");
        let called = project.path("bin/docker.called");
        let mut command = project.command(args);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary runs");
        let early = wait(&format!("{args:?} asks no engine"), || {
            let ended = child.try_wait().expect("asked");
            (called.exists() || ended.is_some()).then_some(ended)
        });
        if let Some(status) = early {
            let said = child.wait_with_output().expect("it ended").stderr;
            panic!("{args:?} ends before it asks ({status}): {}", String::from_utf8_lossy(&said));
        }
        kill_process(Pid::from_child(&child), signal).expect("sent");
        let status = wait(&format!("{args:?} hangs"), || child.try_wait().expect("asked"));
        let said = child.wait_with_output().expect("it ended").stderr;
        let said = String::from_utf8_lossy(&said).into_owned();
        assert_eq!(status.code(), Some(130), "{args:?}: {said}");
        assert!(said.contains("interrupted") && !said.contains("panicked"), "{args:?}: {said}");
        let bin = project.path("bin");
        wait(&format!("{args:?} leaves a process"), || asleep(&bin).is_empty().then_some(()));
    }
}

/// The signal arrives while the child starts, so that it may not be known yet.
#[test]
fn ctrl_c_while_a_child_starts_ends_it() {
    for args in COMMANDS {
        let project = stalled(args, "kill -INT $PPID");
        let run = project.run(args);
        run.fails(130, &["interrupted"]);
        let bin = project.path("bin");
        wait(&format!("{args:?} leaves a process"), || asleep(&bin).is_empty().then_some(()));
    }
}

/// The calls of this `docker` that still run.
fn asleep(bin: &Path) -> Vec<PathBuf> {
    let processes = fs::read_dir("/proc").expect("proc").flatten();
    let has_path = |path: &Path| {
        let environment = fs::read(path.join("environ")).unwrap_or_default();
        let line = fs::read(path.join("cmdline")).unwrap_or_default();
        line.starts_with(b"sleep\0")
            && String::from_utf8_lossy(&environment).contains(&*bin.to_string_lossy())
    };
    processes.map(|entry| entry.path()).filter(|path| has_path(path)).collect()
}

#[test]
fn a_home_that_cannot_be_written_costs_no_command_its_answer() {
    let project = Project::new(&[]);
    let home = project.path("closed");
    fs::create_dir(&home).expect("made");
    fs::set_permissions(&home, Permissions::from_mode(0o555)).expect("closed");
    let project = project.env("HOME", &home.display().to_string());
    let table: &[(&[&str], i32, &str)] = &[
        (&["history"], 0, ""),
        (&["cache", "ls"], 0, ""),
        (&["cache", "verify"], 0, ""),
        (&["doctor"], 1, ""),
        (&["cache", "gc"], 0, ""),
        (&["setup"], 1, "closed/"),
    ];
    for (args, code, said) in table {
        let Some(run) = run_as_nobody(&project, args) else { return skip("needs root") };
        assert_eq!(run.code, *code, "{args:?}: {}", run.all());
        assert!(run.all().contains(said) && !run.all().contains("panicked"), "{args:?}: {}", run.all());
    }
    assert!(files(&home).is_empty(), "nothing was written");
}

/// A `sudo` whose one command is a process of root, which other users may not signal.
const SUDO: &str = r#"#!/bin/sh
dir=${0%/*}
run() { exec "$dir/root" --reuid=0 --regid=0 --clear-groups /usr/bin/env PATH=/usr/bin:/bin "$@"; }
if [ "$1" = -n ]; then shift; run "$@"; fi
echo $$ >"$dir/pid"
run sleep 300
"#;

#[test]
fn a_signal_ends_a_command_that_runs_as_root() {
    for signal in [Signal::TERM, Signal::HUP, Signal::INT] {
        let project = Project::new(&[("sudo", SUDO)]);
        let bin = project.path("bin");
        fs::create_dir(&bin).expect("made");
        fs::set_permissions(&bin, Permissions::from_mode(0o777)).expect("opened");
        let install = |mode: &str, from: &Path, name: &str| {
            let mut copy = Command::new("install");
            copy.args(["-m", mode]).args([from, &bin.join(name)]);
            assert!(copy.status().expect("install runs").success());
        };
        let host = xtask::testing::host::Host::read();
        install("755", &project.path("sudo"), "sudo");
        install("4755", &host.which("setpriv").expect("util-linux has it"), "root");
        // Neither an engine nor a package is here, so provisioning begins with a command as root.
        let project = project.env("PATH", &bin.display().to_string()).env("DOCKER_HOST", "unix:///nowhere");
        let Some(mut command) = as_nobody(&project, &["base-build", "--provision"]) else {
            return skip("needs root");
        };
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it runs");
        let pid = wait("no command as root begins", || {
            let pid = fs::read_to_string(bin.join("pid")).ok()?.trim().parse().ok()?;
            // The process is root's as soon as its program is no longer `sudo`.
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
            (name.trim() == "sleep").then(|| Pid::from_raw(pid)).flatten()
        });
        kill_process(Pid::from_child(&child), signal).expect("sent");
        let status = wait("it hangs", || child.try_wait().expect("asked"));
        let said = child.wait_with_output().expect("it ended").stderr;
        let said = String::from_utf8_lossy(&said).into_owned();
        assert_eq!(status.code(), Some(130), "{said}");
        wait("root's command goes on", || rustix::process::test_kill_process(pid).err());
    }
}
