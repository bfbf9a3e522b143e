//! `builder up|status|down` on the real engine: creation, repetition, repair, removal, and
//! failures.

use std::process::Command;

use crate::common::buildkit::{self, Container, Remote};
use crate::common::terminal::Terminal;
use crate::common::{COMPOSE, Project, Run, cached, unique};
use serde_json::Value;

/// Returns a project with one RUN that counts its runs in a cache mount.
fn project(name: &str) -> Project {
    let salt = unique("builders");
    let dockerfile = format!(
        "ARG BASE_IMAGE=debian:13-slim\nFROM ${{BASE_IMAGE}}\nARG AGAIN\n\
         RUN --mount=type=cache,id=durango-test-{name},target=/c echo '{salt}' >>/c/runs && wc -l </c/runs >/runs\n"
    );
    let compose = COMPOSE.replace("durango-test/app", &format!("durango-test/{name}"));
    Project::new(&[("compose.yaml", &compose), ("Dockerfile", &dockerfile)])
}

fn docker(args: &[&str]) -> Run {
    Run::from(Command::new("docker").args(args).output().expect("docker runs"))
}

fn json(run: &Run) -> Value {
    serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("one JSON document: {}", run.all()))
}

/// Builds with a new argument, so that the RUN runs. Returns the number of runs on this mount.
fn runs(project: &Project, again: &str) -> String {
    let (report, run) = project.build(&["app", "--no-save", "--build-arg", &format!("AGAIN={again}")]);
    run.succeeds();
    assert!(!cached(&report, "wc -l"));
    docker(&["run", "--rm", report["targets"][0]["image"].as_str().expect("a name"), "cat", "/runs"]).stdout
}

#[test]
#[ignore = "needs an engine"]
fn a_builder_is_created_once_repaired_and_keeps_its_mounts() {
    let project = project("healed");
    let image = buildkit::image(&project);
    let builder = Container::named(&project, "healed");
    let name = builder.name.as_str();
    let container = format!("buildx_buildkit_{name}0");
    let dry = project.run(&["builder", "up", name, "--image", &image, "--dry-run"]);
    dry.succeeds();
    assert!(
        dry.stdout.contains("gcpolicy") && dry.stdout.contains("docker buildx create --name"),
        "{}",
        dry.all()
    );
    assert!(
        !project.store().join("builders").exists() && project.run(&["builder", "status", name]).code == 1,
        "nothing was done"
    );
    // A repeated build may have run its step twice. A lost mount starts at 1.
    let mut before = 0;
    let mut kept = |again: &str| {
        let count: u32 = runs(&project, again).trim().parse().expect("a number");
        assert!(count > before, "{count} after {before}");
        before = count;
    };
    let up = |more: &[&str]| {
        let run = project.run(&[&["builder", "up", name, "--json"], more].concat());
        run.succeeds();
        json(&run)["changed"].as_bool().expect("a flag")
    };
    assert!(up(&["--image", &image, "--size", "5GB"]));
    // Without options the builder keeps its settings.
    assert!(!up(&[]));
    kept("1");
    let status = project.run(&["builder", "status", "--json"]);
    status.succeeds();
    let report = json(&status);
    assert_eq!((&report["name"], &report["driver"]), (&name.into(), &"docker-container".into()));
    assert_eq!((&report["is_up"], &report["version"]), (&true.into(), &buildkit::version().into()));
    assert!(
        report["policy"][0].as_str().is_some_and(|rule| rule.contains("type!=exec.cachemount")),
        "{report}"
    );
    assert_eq!(report["mounts"][0]["target"], "/c", "{report}");
    assert_eq!(report["mounts"][0]["id"], "durango-test-healed", "{report}");
    assert!(report["bytes"].as_u64().is_some_and(|bytes| bytes > 1_000_000), "{report}");
    // A build starts a stopped builder, and so does `up`.
    docker(&["stop", "-t", "1", &container]).succeeds();
    assert_eq!(project.run(&["builder", "status"]).code, 1);
    kept("2");
    docker(&["stop", "-t", "1", &container]).succeeds();
    assert!(up(&[]) && !up(&[]));
    // The mounts survive a removed container, new settings, and a removed builder.
    docker(&["rm", "--force", &container]).succeeds();
    assert!(up(&[]) && !up(&[]));
    kept("3");
    assert!(up(&["--size", "6GB"]) && !up(&[]));
    kept("4");
    project.run(&["builder", "down"]).succeeds();
    assert_eq!(project.run(&["builder", "status", name]).code, 1);
    assert!(up(&["--image", &image]));
    kept("5");
    // A purge lists what it would remove, and removes nothing without confirmation.
    let asked = project.run(&["builder", "down", "--purge"]);
    asked.fails(2, &["durango-test-healed", "permanently", "add --yes"]);
    let mut terminal = Terminal::start(&project, &["builder", "down", "--purge"], (100, 40));
    terminal.wait("the question", |screen| screen.iter().any(|line| line.contains("[y/N]")));
    terminal.keys(&["C-c"]);
    terminal.wait("the end", |screen| screen.iter().any(|line| line.contains("ended with 130")));
    assert!(!up(&[]));
    project.run(&["builder", "down", "--purge", "--yes"]).succeeds();
    assert_ne!(docker(&["volume", "inspect", &format!("{container}_state")]).code, 0);
    let nothing = project.run(&["builder", "down", name]);
    nothing.succeeds();
    assert!(nothing.stdout.contains("nothing to do"), "{}", nothing.all());
}

#[test]
#[ignore = "needs an engine"]
fn builds_use_it_unless_another_is_named() {
    let project = project("chosen");
    let remote = Remote::start();
    project.run(&["builder", "up", "team", "--endpoint", &remote.endpoint()]).succeeds();
    let plan =
        |args: &[&str]| project.run(&[&["plan", "app", "--file", "compose.yaml"], args].concat()).stdout;
    assert!(plan(&[]).contains("--builder team bake"));
    assert!(plan(&["--builder", "default"]).contains("--builder default bake"));
    project.run(&["builder", "down", "--purge"]).fails(2, &["other users use the cache of `team`"]);
    // A builder that was removed without xtask, as with a store from another machine, is created
    // again with a message.
    let mut remove = Command::new("docker");
    remove.args(["buildx", "rm", "team"]).env("HOME", project.path("home")).env_remove("DOCKER_CONFIG");
    Run::from(remove.output().expect("docker runs")).succeeds();
    let lost = project.run(&["plan", "app", "--file", "compose.yaml"]).all();
    assert!(lost.contains("--builder default bake") && lost.contains("the builder `team` is gone"), "{lost}");
    project.run(&["builder", "up"]).succeeds();
    assert!(plan(&[]).contains("--builder team bake"));
    project.run(&["builder", "down"]).succeeds();
    assert!(plan(&[]).contains("--builder default bake"));
}

#[test]
#[ignore = "needs an engine"]
fn impossible_requests_fail_at_once() {
    let project = project("wrong");
    let up = |args: &[&str]| project.run(&[&["builder", "up"], args].concat());
    up(&["gone", "--image", "127.0.0.1:1/no/buildkit:1"])
        .fails(1, &["from `127.0.0.1:1/no/buildkit:1`", "--image", "without a registry"]);
    let list = docker(&["buildx", "ls"]).stdout;
    assert!(!list.contains("gone"), "nothing half made stays: {list}");
    up(&["default"]).fails(2, &["a builder `default` with the driver docker exists"]);
    up(&["away", "--endpoint", "tcp://127.0.0.1:1"]).fails(1, &["no answer from `tcp://127.0.0.1:1`"]);
    up(&["away", "--endpoint", "127.0.0.1:1"]).fails(2, &["is not an address of BuildKit"]);
    up(&["away", "--endpoint", "tcp://127.0.0.1:1", "--size", "4"]).fails(2, &["leave one out"]);
    up(&["away", "--endpoint", "tcp://127.0.0.1:1", "--cacert", "none.pem"])
        .fails(2, &["file `none.pem` not found"]);
    up(&["a b"]).fails(2, &["is not a valid builder name"]);
    up(&["--size", "lots"]).fails(2, &["`--size lots` is not a size of a builder"]);
    project.run(&["builder", "sideways"]).fails(2, &["the subcommands of `builder`: up, status, down"]);
    project.run(&["builder", "down", "default"]).fails(2, &["xtask did not create"]);
    project.build(&["app", "--builder", "nobody"]).1.fails(2, &["builder `nobody` not found"]);
}

#[test]
#[ignore = "needs an engine"]
fn a_remote_that_went_down_is_one_error() {
    let project = project("down");
    let remote = Remote::start();
    project.run(&["builder", "up", "team", "--endpoint", &remote.endpoint()]).succeeds();
    let (_, run) = project.build(&["app", "--no-save"]);
    run.succeeds();
    let endpoint = remote.endpoint();
    drop(remote);
    let (_, run) = project.build(&["app"]);
    run.fails(1, &["no answer from", &endpoint, "--builder default"]);
    assert_eq!(run.stderr.matches("error: ").count(), 1, "{}", run.all());
    project.run(&["builder", "down"]).succeeds();
}
