//! Ctrl-C and SIGTERM in commands that ask no engine, and in every prompt. `users_view` has the
//! commands that wait for an engine.

use std::collections::BTreeSet;
use std::fs;
use std::io::{ErrorKind, PipeReader, PipeWriter, Write};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{Pid, Signal, kill_process};
use xtask::testing::cli::table;

use crate::common::outcome::filled;
use crate::common::terminal::Terminal;
use crate::common::{Project, files};
use crate::output::{end_of, is_waiting, send};
use crate::users_view;

/// Commands that only read the store and this workspace.
const COMMANDS: &[&[&str]] = &[
    &["history"],
    &["history", "rm", "latest", "--yes"],
    &["report"],
    &["cache", "ls"],
    &["cache", "verify"],
    &["cache", "gc", "--dry-run"],
    &["setup", "--dry-run"],
    &["pins"],
    &["completions", "bash"],
    &["man"],
];

/// Every question that needs no engine. `builders` has the one of `builder down`.
const PROMPTS: &[&[&str]] = &[
    &["history", "rm", "latest"],
    &["cache", "clear", "builds"],
    &["cache", "clear", "all", "--format", "99"],
];

/// A pipe that takes no byte more.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    let flags = fcntl_getfl(&writer).expect("flags");
    fcntl_setfl(&writer, flags | OFlags::NONBLOCK).expect("set");
    let end = loop {
        if let Err(error) = writer.write(&[b'x'; 4096]) {
            break error;
        }
    };
    assert_eq!(end.kind(), ErrorKind::WouldBlock);
    fcntl_setfl(&writer, flags).expect("set");
    (reader, writer)
}

#[test]
fn every_command_has_a_test_of_its_interruption() {
    let words = |args: &&[&'static str]| args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<String>>();
    // `explain` and `output` have the tests of these two.
    let others: [&[&str]; 2] = [&["explain"], &["cache", "import"]];
    let covered: Vec<Vec<String>> =
        COMMANDS.iter().chain(users_view::COMMANDS).chain(&others).map(words).collect();
    let is_covered = |name: &str| {
        let name: Vec<String> = name.split(' ').map(str::to_owned).collect();
        covered.iter().any(|args| args.starts_with(&name))
    };
    let all = table::all();
    let left: BTreeSet<&str> = all
        .iter()
        .filter(|(name, command)| command.run.is_some() && !is_covered(name))
        .map(|(name, _)| &**name)
        .collect();
    assert_eq!(left, BTreeSet::new());
}

/// Sends a signal to a command that waits for a reader of its output.
pub(crate) fn interrupt(project: &Project, args: &[&str], signal: Signal) {
    let (_reader, writer) = full_pipe();
    let mut command = project.command(args);
    command.stdin(Stdio::null()).stdout(writer).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary runs");
    // The command has the other copy of the writer.
    drop(command);
    while !is_waiting(&child) {
        assert!(child.try_wait().expect("asked").is_none(), "{args:?} ends without a reader");
        std::thread::sleep(Duration::from_millis(5));
    }
    send(&child, signal);
    let code = end_of(&mut child).code();
    let said = child.wait_with_output().expect("it ended").stderr;
    assert_eq!(code, Some(130), "{args:?}: {}", String::from_utf8_lossy(&said));
}

#[test]
fn a_signal_ends_each_command_whose_output_is_not_read() {
    for args in COMMANDS {
        interrupt(&filled(), args, Signal::INT);
        interrupt(&filled(), args, Signal::TERM);
    }
}

/// Returns the process in the terminal.
fn process(project: &Project) -> Pid {
    let is_it = |path: &PathBuf| {
        fs::read_link(path.join("cwd"))
            .is_ok_and(|dir| dir == project.path("").canonicalize().expect("there"))
            && fs::read_link(path.join("exe")).is_ok_and(|exe| exe.ends_with("xtask"))
    };
    let paths = fs::read_dir("/proc").expect("proc").flatten().map(|entry| entry.path());
    let name = paths.filter(|path| is_it(path)).find_map(|path| path.file_name()?.to_str()?.parse().ok());
    Pid::from_raw(name.expect("it runs")).expect("a process")
}

#[test]
fn ctrl_c_and_sigterm_leave_each_prompt() {
    for args in PROMPTS {
        for by_key in [true, false] {
            let project = filled();
            if args.contains(&"--format") {
                project.write("store/VERSION", "99\n");
            }
            let before = files(&project.store());
            let mut terminal = Terminal::start(&project, args, (100, 40));
            terminal.wait("the question", |screen| screen.iter().any(|line| line.contains("[y/N]")));
            if by_key {
                terminal.keys(&["C-c"]);
            } else {
                kill_process(process(&project), Signal::TERM).expect("sent");
            }
            terminal.wait("the end", |screen| screen.iter().any(|line| line.contains("ended with 130")));
            assert_eq!(files(&project.store()), before, "{args:?}: nothing was removed");
        }
    }
}
