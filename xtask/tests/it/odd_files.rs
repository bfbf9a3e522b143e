//! Arguments that name something else than a regular file: a named pipe, a socket, a device. A
//! command says so, or ends on Ctrl-C, and replaces none of them.

use std::fs;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, mknodat};
use rustix::process::{Pid, Signal, kill_process};

use crate::common::{COMPOSE, Project};

/// Limits the time of a failing test.
const PATIENCE: Duration = Duration::from_secs(120);

fn make_pipe(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, 0o600.into(), 0).expect("made");
}

fn wait_for(name: &str, mut is_met: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_met() {
        assert!(started.elapsed() < PATIENCE, "{name}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Returns the scratch directories of the store.
fn scratch(project: &Project) -> usize {
    let entries = fs::read_dir(project.store().join("tmp")).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_name().to_string_lossy().starts_with('2')).count()
}

#[test]
fn an_import_from_a_pipe_waits_for_its_writer_and_ends_on_ctrl_c() {
    for has_writer in [false, true] {
        let project = Project::new(&[]);
        make_pipe(&project.path("pipe"));
        // Opened for both, it waits for no reader, and the import waits for more.
        let open = || fs::File::options().read(true).write(true).open(project.path("pipe"));
        let writer = has_writer.then(|| open().expect("opened"));
        let mut command = project.command(&["cache", "import", "--from", "pipe"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("started");
        wait_for("the import has no scratch directory", || scratch(&project) == 1);
        kill_process(Pid::from_child(&child), Signal::INT).expect("sent");
        wait_for("the import hangs", || child.try_wait().expect("asked").is_some());
        assert_eq!(child.wait().expect("it ended").code(), Some(130), "a writer: {has_writer}");
        assert_eq!(scratch(&project), 0, "a writer: {has_writer}");
        drop(writer);
    }
}

#[test]
fn an_import_reads_a_pipe_to_its_end() {
    let project = Project::new(&[]);
    make_pipe(&project.path("pipe"));
    let path = project.path("pipe");
    let writer = std::thread::spawn(move || fs::write(path, vec![b'x'; 1 << 20]));
    let run = project.run(&["cache", "import", "--from", "pipe"]);
    run.fails(1, &["not a bundle"]);
    let _ = writer.join();
    assert_eq!(scratch(&project), 0);
}

#[test]
fn no_command_replaces_or_waits_for_anything_but_a_regular_file() {
    let project = Project::new(&[("compose.yaml", COMPOSE), ("Dockerfile", "FROM scratch\n")]);
    let odd = |name: &str| project.path(name);
    make_pipe(&odd("pipe.tar"));
    make_pipe(&odd("pipe.yaml"));
    let _socket = UnixListener::bind(odd("socket.tar")).expect("bound");
    for device in ["null", "zero", "full"] {
        symlink(Path::new("/dev").join(device), odd(&format!("{device}.tar"))).expect("linked");
    }
    for name in ["pipe.tar", "socket.tar", "null.tar", "zero.tar", "full.tar"] {
        for args in
            [["cache", "export", "--to"].as_slice(), &["report", "--output"], &["plan", "app", "--file"]]
        {
            let run = project.run(&[args, &[name]].concat());
            run.fails(2, &[name, "is not a regular file"]);
        }
        let kind = fs::metadata(odd(name)).expect("it is still there").file_type();
        assert!(kind.is_fifo() || kind.is_socket() || kind.is_char_device(), "{name}");
        if name != "pipe.tar" {
            project.run(&["cache", "import", "--from", name]).fails(1, &[]);
        }
    }
    for name in ["Dockerfile", "Dockerfile.dockerignore", ".dockerignore", ".env"] {
        let text = fs::read(odd(name)).ok();
        let _ = fs::remove_file(odd(name));
        make_pipe(&odd(name));
        let run = project.run(&["plan", "app", "--file", "compose.yaml"]);
        fs::remove_file(odd(name)).expect("removed");
        text.into_iter().for_each(|text| fs::write(odd(name), text).expect("written"));
        // Without buildx, nothing but `.env` is read.
        if run.code != 1 {
            run.fails(2, &[name, "is not a regular file"]);
        }
    }
}

#[test]
#[ignore = "needs an engine"]
fn a_build_waits_for_no_pipe_of_its_secrets_or_its_summary() {
    let project =
        Project::new(&[("compose.yaml", COMPOSE), ("Dockerfile", "ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\n")]);
    project.owns("durango-test/app");
    make_pipe(&project.path("pipe"));
    let build = ["build", "app", "--file", "compose.yaml", "--no-save"];
    let run = project.run(&[build.as_slice(), &["--secret", "id=k,src=pipe"]].concat());
    run.fails(2, &["the secret file", "is not a regular file", "env=VARIABLE"]);
    let summary = project.path("pipe").display().to_string();
    let project = project.env("GITHUB_STEP_SUMMARY", &summary);
    let run = project.run(&build);
    run.succeeds();
    assert!(run.stderr.contains("warning: failed to write the job's summary"), "{}", run.all());
}
