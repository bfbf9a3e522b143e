//! `smoke` end to end: the real image passes, broken images fail, and nothing is left.

mod faulty_images;

use std::io::{BufRead, BufReader};
use std::net::{Shutdown, TcpListener};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::{Project, Run, docker, lock};
use serde_json::Value;
use xtask::testing::process::retry;

const IMAGE: &str = "durango/frankenphp:latest";

/// An image derived from the real one by a change of its container. It is removed on drop.
struct Derived(String);

impl Derived {
    /// `change` is an instruction for `docker commit`. `file` is a path and its text.
    fn new(change: &str, file: Option<(&str, &str)>) -> Self {
        let _image = lock::runtime_image();
        let container = docker(&["create", IMAGE]);
        if let Some((path, text)) = file {
            let dir = tempfile::tempdir().expect("a directory");
            let local = dir.path().join("file");
            std::fs::write(&local, text).expect("written");
            docker(&["cp", &local.to_string_lossy(), &format!("{container}:{path}")]);
        }
        let image = docker(&["commit", "--change", change, &container]);
        docker(&["rm", "--volumes", &container]);
        Self(image)
    }
}

impl Drop for Derived {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["image", "rm", &self.0]).output();
    }
}

fn smoke(args: &[&str]) -> (Value, Run) {
    let all: Vec<&str> = ["smoke", "--json", "-v"].into_iter().chain(args.iter().copied()).collect();
    let _image = lock::runtime_image();
    let run = Project::new(&[]).run(&all);
    assert_nothing_is_left(&run.stderr);
    let json =
        serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("one JSON document: {}", run.all()));
    (json, run)
}

/// Returns the containers that a run with `-v` reports to create.
fn created(stderr: &str) -> Vec<String> {
    let lines = stderr.lines().filter_map(|line| line.strip_prefix("$ docker create --name "));
    lines.filter_map(|line| Some(line.split(' ').next()?.to_owned())).collect()
}

#[track_caller]
fn assert_nothing_is_left(stderr: &str) {
    let names = created(stderr);
    let is_left = || {
        let all = docker(&["ps", "--all", "--format", "{{.Names}}"]);
        all.lines().find(|line| names.iter().any(|name| name == line)).map(str::to_owned)
    };
    // After Ctrl-C, a busy engine may still be removing a container.
    let begun = Instant::now();
    while let Some(name) = is_left() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{name} is left behind");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Returns the state of a check, and its detail.
#[track_caller]
fn state<'a>(json: &'a Value, name: &str) -> (&'a str, &'a str) {
    let checks = json["checks"].as_array().expect("checks");
    let check =
        checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("no `{name}`: {json}"));
    (check["state"].as_str().expect("a state"), check["detail"].as_str().expect("a detail"))
}

fn with_state<'a>(json: &'a Value, state: &str) -> Vec<&'a str> {
    let checks = json["checks"].as_array().expect("checks").iter();
    checks.filter(|check| check["state"] == state).filter_map(|check| check["name"].as_str()).collect()
}

#[test]
fn without_an_engine_the_error_says_so() {
    let empty = Project::new(&[]);
    let bin = empty.path("home").to_string_lossy().into_owned();
    empty.env("PATH", &bin).run(&["smoke"]).fails(1, &["`docker` is not on the PATH"]);
}

#[test]
#[ignore = "needs an engine"]
fn an_engine_that_does_not_answer_is_one_error() {
    let project = Project::new(&[]).env("DOCKER_HOST", "ssh://nobody@far.invalid");
    project.run(&["smoke"]).fails(1, &["the Docker daemon does not answer", "far.invalid"]);
}

#[test]
#[ignore = "needs an engine"]
fn an_unknown_image_is_one_clear_error() {
    let run = Project::new(&[]).run(&["smoke", "durango-test/nowhere:1"]);
    run.fails(1, &["image `durango-test/nowhere:1` not found", "cargo xtask frankenphp"]);
    assert_eq!((run.stdout.as_str(), run.stderr.lines().count()), ("", 2), "{}", run.all());
    Project::new(&[])
        .run(&["smoke", "Not An Image"])
        .fails(2, &["the image name `Not An Image` is not valid"]);
}

#[test]
#[ignore = "needs an engine"]
fn the_real_image_passes() {
    let (json, run) = smoke(&[]);
    run.succeeds();
    assert_eq!(
        (&json["schema"], &json["image"], &json["result"]),
        (&1.into(), &IMAGE.into(), &"passed".into())
    );
    assert_eq!(with_state(&json, "fail"), [""; 0]);
    for name in [
        "page",
        "https",
        "worker-restart",
        "busy",
        "user",
        "production",
        "admin",
        "hidden-files",
        "any-user-page",
        "any-user-health",
        "root-page",
        "hardened-page",
        "hardened-health",
        "php",
        "php-binary",
        "php-file",
        "php-child",
        "stop",
        "gd",
        "intl",
        "opcache",
        "healthy",
    ] {
        assert_eq!(state(&json, name).0, "ok", "{name}: {json}");
    }
    assert!(state(&json, "opcache").1.contains("hits"), "{json}");
}

#[test]
#[ignore = "needs an engine"]
fn a_remote_engine_publishes_no_port_and_the_image_is_still_tested() {
    // The engine of these tests over TCP, at an address that differs from this machine's engine.
    let path = std::env::var("DOCKER_HOST").unwrap_or_default();
    let path = path.strip_prefix("unix://").unwrap_or("/var/run/docker.sock").to_owned();
    let listener = TcpListener::bind("127.0.0.2:0").expect("a port");
    let endpoint = format!("tcp://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            #[expect(clippy::disallowed_methods, reason = "with a retry")]
            let engine = retry::retry(|| UnixStream::connect(&path)).expect("an engine");
            let (mut from, mut to) =
                (client.try_clone().expect("a socket"), engine.try_clone().expect("a socket"));
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Write);
            });
            let (mut from, mut to) = (engine, client);
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Write);
            });
        }
    });
    let checks = ["page", "large-body", "sessions", "worker-restart"];
    let only: Vec<&str> = checks.iter().flat_map(|name| ["--only", name]).collect();
    let project = Project::new(&[]).env("DOCKER_HOST", &endpoint);
    let _image = lock::runtime_image();
    let run = project.run(&[&["smoke", "--json", "-v"], &only[..]].concat());
    run.succeeds();
    let json: Value = serde_json::from_str(&run.stdout).expect("one document");
    for name in checks {
        assert_eq!(state(&json, name).0, "ok", "{}", run.all());
    }
    assert!(!run.stderr.contains("--publish"), "{}", run.all());
}

#[test]
#[ignore = "needs an engine"]
fn only_named_checks_run() {
    let (json, run) = smoke(&["--only", "gd", "--only", "labels"]);
    run.succeeds();
    assert_eq!(with_state(&json, "ok"), ["labels", "start-web", "extensions", "gd"]);
    assert_eq!(created(&run.stderr).len(), 1, "{}", run.all());
    let run = Project::new(&[]).run(&["smoke", "--only", "labls"]);
    run.fails(2, &["unknown check `labls`"]);
}

#[test]
#[ignore = "needs an engine"]
fn two_parallel_runs_are_independent() {
    let one = std::thread::spawn(|| smoke(&["--only", "page"]).1);
    let two = std::thread::spawn(|| smoke(&["--only", "page"]).1);
    one.join().expect("a run").succeeds();
    two.join().expect("a run").succeeds();
}

#[test]
#[ignore = "needs an engine"]
fn ctrl_c_leaves_nothing_behind() {
    let project = Project::new(&[]);
    let _image = lock::runtime_image();
    let mut child =
        project.command(&["smoke", "-v"]).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("runs");
    let mut lines = BufReader::new(child.stderr.take().expect("stderr")).lines().map_while(Result::ok);
    let mut seen: String = lines
        .by_ref()
        .take_while(|line| !line.starts_with("$ docker exec"))
        .map(|line| line + "\n")
        .collect();
    assert_eq!(created(&seen).len(), 1, "{seen}");
    let interrupt = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(interrupt.expect("kill runs").success());
    lines.for_each(|line| seen.push_str(&(line + "\n")));
    assert_eq!(child.wait().expect("an end").code(), Some(130), "{seen}");
    assert_nothing_is_left(&seen);
}

#[test]
#[ignore = "needs an engine"]
fn an_own_caddyfile_without_admin_opens_no_admin_api() {
    let caddyfile = "{\n\tpersist_config off\n\tfrankenphp {\n\t\t{$FRANKENPHP_CONFIG}\n\t}\n}\n\
        {$SERVER_NAME:localhost} {\n\troot {$SERVER_ROOT:public/}\n\tphp_server\n}\n";
    let image = Derived::new("LABEL durango.test=3", Some(("/etc/frankenphp/Caddyfile", caddyfile)));
    let (json, run) = smoke(&["--only", "page", "--only", "admin", &image.0]);
    run.succeeds();
    assert_eq!(with_state(&json, "ok"), ["start-web", "extensions", "page", "admin"], "{}", run.all());
}
