//! Steps with a shell in place of docker.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::*;

fn act(action: &Action) -> Result<()> {
    run_one(action, false)
}

#[test]
fn what_was_started_is_waited_for_and_goes_on() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = |name: &str| dir.path().join(name);
    let line = format!("sleep 0.3; echo up; echo $$ >{}; exec sleep 60", file("pid").display());
    let command = Command::new(["sh", "-c", &line]);
    let ready = Command::new(["test", "-s", &file("pid").display().to_string()]);
    let log = file("log");
    act(&Action::Start { command, log: log.clone(), ready: ready.clone(), seconds: 20 }).expect("ready");
    act(&Action::Wait { ready, seconds: 5 }).expect("still ready");
    assert_eq!(fs::read_to_string(log).expect("a log"), "up\n");
    let pid = fs::read_to_string(file("pid")).expect("a number");
    assert!(Path::new("/proc").join(pid.trim()).exists(), "it runs on");
    let ended = process::Command::new("kill").arg(pid.trim()).status().expect("kill runs");
    assert!(ended.success());
}

#[test]
fn what_is_never_ready_is_an_error() {
    let never = Command::new(["false"]);
    let log = tempfile::NamedTempFile::new().expect("a file").path().to_path_buf();
    let command = Command::new(["sh", "-c", "echo no such option; exit 3"]);
    let error = act(&Action::Start { command, log, ready: never.clone(), seconds: 20 }).expect_err("ended");
    assert!(error.to_string().contains("before it was ready (exit status: 3)\n  no such option"), "{error}");
    let error = act(&Action::Wait { ready: never, seconds: 0 }).expect_err("too late");
    assert!(error.to_string().contains("`false` still fails after 0 s"), "{error}");
}

#[test]
fn the_first_to_place_a_directory_wins() {
    let dir = tempfile::tempdir().expect("a directory");
    let [first, second, to] = ["first", "second", "deep/to"].map(|name| dir.path().join(name));
    for from in [&first, &second] {
        fs::create_dir(from).expect("made");
        fs::write(from.join("who"), from.display().to_string()).expect("written");
        act(&Action::Place { from: from.clone(), to: to.clone() }).expect("placed");
    }
    assert_eq!(fs::read_to_string(to.join("who")).expect("there"), first.display().to_string());
    act(&Action::Place { from: first, to }).expect_err("nothing to place");
}

#[test]
fn writing_keeps_the_mode_that_was_asked_for_and_appending_the_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("new/file");
    let write = |content: &str| Action::Write {
        path: path.clone(),
        content: content.into(),
        mode: 0o600,
        secret: true,
    };
    act(&write("a")).expect("written");
    let inode = fs::metadata(&path).expect("there").ino();
    act(&Action::Append { path: path.clone(), content: "b".into() }).expect("added");
    let meta = fs::metadata(&path).expect("there");
    assert_eq!((meta.ino(), meta.permissions().mode() & 0o777), (inode, 0o600));
    assert_eq!(fs::read_to_string(&path).expect("read"), "ab");
    assert!(!Step { why: String::new(), action: write("hidden") }.to_shell().contains("hidden"));
    act(&Action::Remove { path: path.clone() }).expect("removed");
    act(&Action::Remove { path }).expect("nothing to remove");
}

#[test]
fn a_terminal_sends_ctrl_c_to_no_child_itself() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("group");
    let group = || {
        let line = fs::read_to_string(&file).expect("it ran");
        line.split_whitespace().map(|word| word.parse().expect("a number")).collect::<Vec<i32>>()
    };
    let line = format!("echo $$ $(cut -d' ' -f5 /proc/$$/stat) >{}", file.display());
    let command = Command::new(["sh", "-c", &line]);
    act(&Action::Run(command.clone())).expect("it runs");
    assert!(matches!(group()[..], [pid, group] if pid == group), "it leads a group of its own");
    fs::remove_file(&file).expect("removed");
    assert!(is_ready(&command));
    assert!(matches!(group()[..], [pid, group] if pid == group), "and so does a check");
    // Only the terminal's group may ask for a password.
    let sudo = dir.path().join("sudo");
    act(&Action::Write { path: sudo, content: format!("#!/bin/sh\n{line}\n"), mode: 0o755, secret: false })
        .expect("written");
    let path = format!("{}:{}", dir.path().display(), std::env::var("PATH").unwrap_or_default());
    act(&Action::Run(Command::new(["sudo", "true"]).env("PATH", &path))).expect("it runs");
    let own = rustix::process::getpgrp().as_raw_nonzero().get();
    assert!(matches!(group()[..], [pid, group] if pid != group && group == own), "it stays in ours");
}

#[test]
fn sudo_that_refuses_and_a_command_that_fails_have_errors_of_their_own() {
    let dir = tempfile::tempdir().expect("a directory");
    let failed = |script: &str| {
        let content = format!("#!/bin/sh\n{script}\n");
        act(&Action::Write { path: dir.path().join("sudo"), content, mode: 0o755, secret: false })
            .expect("written");
        let path = format!("{}:{}", dir.path().display(), std::env::var("PATH").unwrap_or_default());
        let command = Command::new(["sudo", "true"]).env("PATH", &path);
        act(&Action::Run(command)).expect_err("it fails").to_string()
    };
    // Recorded from sudo 1.9.16, the last one with German messages.
    let refusals = [
        "sudo: a terminal is required to read the password; either use the -S option to read from standard \
         input or configure an askpass helper\nsudo: a password is required",
        "sudo: 3 incorrect password attempts",
        "bob is not in the sudoers file.",
        "Sorry, user bob is not allowed to execute '/usr/bin/true' as root on host.",
        "sudo: 3 Fehlversuche bei der Passwort-Eingabe",
    ];
    for said in refusals {
        let error = failed(&format!("cat >&2 <<'END'\n{said}\nEND\nexit 1"));
        assert!(
            error.starts_with("failed to get root's rights with `sudo`\n") && error.contains("a terminal"),
            "{error}"
        );
        assert!(error.contains(said.lines().next().expect("a line")), "{error}");
    }
    let error = failed("echo sudo: unable to resolve host box; echo E: no such package; exit 100");
    assert!(error.contains("failed (exit status: 100)") && !error.contains("rights"), "{error}");
}
