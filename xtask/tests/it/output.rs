//! Output that nothing reads, and signals. Neither hangs a run or hides its result.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::common::terminal::Terminal;
use crate::common::{COMPOSE, Project, unique};

/// Limits the time of a failing test.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn end_of(child: &mut Child) -> ExitStatus {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("asked") {
            return status;
        }
        if started.elapsed() > PATIENCE {
            child.kill().expect("killed");
            panic!("it hangs");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).expect("sent");
}

fn project(name: &str) -> Project {
    // More than a pipe holds (64 KiB), and more than xtask waits for a reader.
    let run =
        "RUN for i in $(seq 3000); do echo $i ---------------------------------; done; sleep 3; echo end";
    // No other run of the tests had these steps cached.
    let first = format!("RUN echo {}", unique(name));
    let dockerfile = format!("ARG BASE_IMAGE\nFROM ${{BASE_IMAGE}}\n{first}\n{run}\n");
    let project = Project::new(&[
        ("compose.yaml", &COMPOSE.replace("/app", &format!("/{name}"))),
        ("Dockerfile", &dockerfile),
    ]);
    project.owns(&format!("durango-test/{name}"));
    project
}

fn build(project: &Project) -> Command {
    project.command(&["build", "app", "--file", "compose.yaml", "--progress", "plain"])
}

/// Asserts that the build is recorded as built, and that its layers are in the store without a
/// lock.
fn assert_built(project: &Project) {
    let history = project.run(&["history", "--json"]);
    history.succeeds();
    assert!(history.stdout.contains("\"result\":\"built\""), "{}", history.all());
    let ls = project.run(&["cache", "ls", "--json"]);
    assert!(ls.stdout.contains("durango-test/"), "{}", ls.all());
    project.run(&["cache", "gc"]).succeeds();
}

#[test]
#[ignore = "needs an engine"]
fn a_build_whose_output_is_not_read_is_built() {
    let project = project("output-full");
    let full = || File::options().write(true).open("/dev/full").expect("Linux has it");
    let mut child = build(&project).stdout(full()).stderr(full()).spawn().expect("the binary runs");
    assert_eq!(end_of(&mut child).code(), Some(1), "stdout could not be written");
    assert_built(&project);
}

#[test]
#[ignore = "needs an engine"]
fn a_build_whose_pipe_is_closed_is_built() {
    let project = project("output-closed");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let stdout = writer.try_clone().expect("cloned");
    let mut child = build(&project).stdout(stdout).stderr(writer).spawn().expect("the binary runs");
    let mut line = [0; 8];
    (&reader).read_exact(&mut line).expect("the first words");
    drop(reader);
    assert_eq!(end_of(&mut child).code(), Some(0));
    assert_built(&project);
}

#[test]
#[ignore = "needs an engine"]
fn a_build_whose_pipe_is_full_is_built() {
    let project = project("output-stalled");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let mut child = build(&project).stdout(Stdio::null()).stderr(writer).spawn().expect("the binary runs");
    assert_eq!(end_of(&mut child).code(), Some(0));
    drop(reader);
    assert_built(&project);
}

#[test]
fn a_document_that_cannot_be_written_is_an_error() {
    let project = Project::new(&[]);
    let full = File::options().write(true).open("/dev/full").expect("Linux has it");
    let output = project.command(&["--help"]).stdout(full).output().expect("the binary runs");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("failed to write to stdout: No space left on device"), "{said}");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = project.command(&["--help"]).stdout(writer).output().expect("the binary runs");
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "a closed pipe ends output");
}

/// Starts `cache import` of a pipe that sends no more bytes.
fn stalled_import(project: &Project) -> Child {
    let mut command = project.command(&["cache", "import", "--from", "-"]);
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs");
    // xtask handles signals after the first byte, while it waits for the rest of a tar header.
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(&[0; 256]).expect("written");
    while !is_waiting(&child) {
        std::thread::sleep(Duration::from_millis(5));
    }
    child.stdin = Some(stdin);
    child
}

/// Returns true once the process handles SIGINT.
pub(crate) fn is_waiting(child: &Child) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).expect("it runs");
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).expect("a mask");
    u64::from_str_radix(caught.trim(), 16).expect("a number") & 0b10 != 0
}

#[test]
fn a_signal_ends_a_stalled_import() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let project = Project::new(&[]);
        let mut child = stalled_import(&project);
        send(&child, signal);
        assert_eq!(end_of(&mut child).code(), Some(130), "{signal:?}");
    }
}

#[test]
fn ignored_signals_stay_ignored() {
    let project = Project::new(&[]);
    let binary = project.command(&[]).get_program().to_owned();
    // As `nohup` starts it.
    let line = "trap '' HUP; exec \"$0\" cache import --from -";
    let mut command = project.command(&[]);
    let env: Vec<_> =
        command.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))).collect();
    command = Command::new("sh");
    command.args(["-c", line]).arg(binary).env_clear().envs(env).stdin(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().expect("sh runs");
    while !is_waiting(&child) {
        std::thread::sleep(Duration::from_millis(5));
    }
    send(&child, Signal::HUP);
    drop(child.stdin.take());
    assert_eq!(end_of(&mut child).code(), Some(1), "it reads on, and an empty bundle is an error");
}

#[test]
#[ignore = "needs an engine"]
fn ctrl_c_leaves_a_prompt() {
    let project = project("output-prompt");
    let mut child = build(&project).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("runs");
    assert_eq!(end_of(&mut child).code(), Some(0));
    let mut terminal = Terminal::start(&project, &["cache", "clear", "layers"], (100, 24));
    terminal.wait("the question", |screen| screen.iter().any(|line| line.contains("[y/N]")));
    terminal.keys(&["C-c"]);
    terminal.wait("the end", |screen| screen.iter().any(|line| line.contains("ended with 130")));
    assert!(project.run(&["cache", "ls"]).stdout.contains("output-prompt"), "nothing was removed");
}

#[test]
fn a_home_directory_is_needed_only_where_it_is_used() {
    let project = Project::new(&[]);
    let run = |args: &[&str], store: bool| {
        let mut command = project.command(args);
        command.env_remove("HOME");
        if !store {
            command.env_remove("DURANGO_CACHE_DIR");
        }
        // A user that exists only as a number has no home directory.
        let program = command.get_program().to_owned();
        let binary = project.path("xtask");
        std::fs::copy(program, &binary).expect("copied");
        let env: Vec<_> = command
            .get_envs()
            .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
            .collect();
        let mut outer = Command::new("setpriv");
        outer.args(["--reuid=4242", "--regid=4242", "--clear-groups"]).arg(binary).args(args);
        outer.env_clear().envs(env).current_dir("/").output().expect("setpriv runs")
    };
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: needs root");
        return;
    }
    open_to_all(&project);
    assert_eq!(run(&["history"], true).status.code(), Some(0));
    let without = run(&["history"], false);
    let said = String::from_utf8_lossy(&without.stderr).into_owned();
    assert_eq!(without.status.code(), Some(2), "{said}");
    assert!(said.contains("HOME is not set") && said.contains("set DURANGO_CACHE_DIR"), "{said}");
    let setup = run(&["setup", "--dry-run"], true);
    let said = String::from_utf8_lossy(&setup.stderr).into_owned();
    assert!(setup.status.code() == Some(2) && said.contains("HOME is not set"), "{said}");
}

fn open_to_all(project: &Project) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(project.path(""), std::fs::Permissions::from_mode(0o755)).expect("opened");
}

#[test]
fn a_path_may_name_directories_that_are_not_utf8() {
    use std::os::unix::ffi::OsStrExt;
    let project = Project::new(&[]);
    let bin = project.path("bin");
    std::fs::create_dir(&bin).expect("made");
    std::fs::write(bin.join("docker"), "#!/bin/sh\nexit 1\n").expect("written");
    std::fs::set_permissions(bin.join("docker"), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .expect("set");
    let mut path = bin.into_os_string();
    path.push(":");
    path.push(std::ffi::OsStr::from_bytes(b"/\xff"));
    let output = project.command(&["doctor"]).env("PATH", path).output().expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("the Docker daemon does not answer"), "docker is found: {said}");
}
