//! Caches in registries: layers that are shared between machines.

mod completed;
mod failures;
mod lossy;
mod outside;

use std::fs;

use crate::common::registry::{Registry, USER};
use crate::common::second_daemon::SecondDaemon;
use crate::common::{COMPOSE, Project, base_of, cached, unique};
use serde_json::Value;

/// Returns a project whose steps no other test shares. `made` stands for the expensive part.
fn project(name: &str) -> Project {
    let salt = unique("registry");
    let dockerfile = format!(
        "ARG BASE_IMAGE=debian:13-slim\nFROM ${{BASE_IMAGE}} AS made\nRUN echo '{salt}' >/made && head -c 3000000 /dev/urandom >>/made\n\
         FROM ${{BASE_IMAGE}}\nCOPY --from=made /made /\nCOPY a.txt /\nRUN wc /made /a.txt >/count\n"
    );
    let compose = COMPOSE.replace("durango-test/app", &format!("durango-test/{name}"));
    Project::new(&[("compose.yaml", &compose), ("Dockerfile", &dockerfile), ("a.txt", "a\n")])
}

fn list<'a>(report: &'a Value, name: &str) -> Vec<&'a str> {
    report["cache"][name].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn warnings(report: &Value) -> String {
    list_of(&report["warnings"]).join("\n")
}

fn list_of(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Writes docker's credentials for a registry.
fn log_in(project: &Project, host: &str, password: &str) {
    use base64::Engine as _;
    let auth = base64::engine::general_purpose::STANDARD.encode(format!("{}:{password}", USER.0));
    project.write("home/.docker/config.json", &format!(r#"{{"auths": {{"{host}": {{"auth": "{auth}"}}}}}}"#));
}

/// Returns another machine: a daemon with only the base image, and a new store.
fn another(project: Project, base: &str) -> (Project, SecondDaemon) {
    let daemon = SecondDaemon::start();
    daemon.receive(base);
    let host = daemon.host();
    let store = daemon.path("store").display().to_string();
    (project.env("DOCKER_HOST", &host).env("DURANGO_CACHE_DIR", &store), daemon)
}

#[test]
#[ignore = "needs an engine"]
fn layers_go_through_a_registry_to_other_machines_and_an_edit_there_finds_the_newest() {
    let registry = Registry::start();
    let project = project("team");
    let base = base_of(&project);
    let (report, run) = project.build(&["app", "--cache", &registry.cache()]);
    run.succeeds();
    assert_eq!(report["result"], "built");
    let tags = registry.tags();
    assert_eq!(tags.len(), 2, "an exact tag and the newest: {tags:?}");
    let key = report["cache"]["key"].as_str().expect("a key");
    assert!(tags.iter().any(|tag| tag.ends_with(key)), "{tags:?}");
    assert_eq!(list(&report, "pushed").len(), 1);

    // An unchanged build on the first machine pushes nothing again.
    let puts = registry.requests("PUT");
    let (again, run) = project.build(&["app", "--cache", &registry.cache()]);
    run.succeeds();
    assert!(list(&again, "pushed").is_empty() && registry.requests("PUT") == puts, "{again}");

    // The second machine, with an empty store: nothing runs, nothing is saved or pushed.
    let (project, _second) = another(project, &base);
    let project = project.env("DURANGO_CACHE", &registry.cache());
    let (report, run) = project.build(&["app"]);
    run.succeeds();
    assert_eq!(report["result"], "cached", "{}", run.all());
    assert!(list(&report, "read")[0].ends_with(key), "{report}");
    assert_eq!(report["cache"]["saved"], Value::Null, "what a registry has is not fetched for a copy");
    assert_eq!(registry.requests("PUT"), puts);

    // A changed line of the Dockerfile changes the key. The earlier steps are still found, and the
    // new key is pushed.
    let text = fs::read_to_string(project.path("Dockerfile")).expect("a Dockerfile");
    project.write("Dockerfile", &text.replace(">/count", ">/counted"));
    let (report, run) = project.build(&["app"]);
    run.succeeds();
    assert!(cached(&report, "COPY --from=made") && !cached(&report, "wc /made"), "{report}");
    assert_eq!(registry.tags().len(), 3);

    // A third machine has both, and the edit is a hit there.
    let (project, _third) = another(project, &base);
    let (report, run) = project.build(&["app"]);
    run.succeeds();
    assert_eq!(report["result"], "cached", "{}", run.all());
}

#[test]
#[ignore = "needs an engine"]
fn the_fallback_alone_serves_a_machine_that_never_saw_the_first_dockerfile() {
    let registry = Registry::start();
    let project = project("fallback");
    let base = base_of(&project);
    project.build(&["app", "--cache", &registry.cache()]).1.succeeds();
    let text = fs::read_to_string(project.path("Dockerfile")).expect("a Dockerfile");
    project.write("Dockerfile", &text.replace(">/count", ">/counted"));
    let (project, _second) = another(project, &base);
    let puts = registry.requests("PUT");
    let only = format!("{},ro", registry.cache());
    let (report, run) = project.build(&["app", "--cache", "none", "--cache", &only]);
    run.succeeds();
    assert!(cached(&report, "COPY --from=made") && !cached(&report, "wc /made"), "{report}");
    // Read-only, and without the store: nothing is written anywhere.
    assert_eq!((registry.requests("PUT"), registry.tags().len()), (puts, 2));
    assert_eq!(report["cache"]["saved"], Value::Null);
    assert!(!std::path::Path::new(&_second.path("store/layers")).exists());
    assert_eq!(warnings(&report), "");
}

#[test]
#[ignore = "needs an engine"]
fn a_plan_shows_what_was_found_and_what_would_be_pushed() {
    let (first, second) = (Registry::start(), Registry::start());
    let project = project("plan");
    project.build(&["app", "--cache", &first.cache()]).1.succeeds();
    let given = ["app", "--file", "compose.yaml", "--cache", &second.cache(), "--cache", &first.cache()];
    let run = project.run(&[&["plan"], &given[..]].concat());
    run.succeeds();
    let reads: Vec<&str> = run.stdout.lines().filter(|line| line.starts_with("  reads 127.")).collect();
    assert!(
        !reads.is_empty() && reads.iter().all(|read| read.contains(&first.repository())),
        "{}",
        run.all()
    );
    assert!(run.stdout.contains(&format!("# `{}", second.repository())), "{}", run.all());
    assert!(run.stdout.contains("is not there yet"), "{}", run.all());
    // No step has run since, but the second registry lacks the key and gets it.
    let (report, run) = project.build(&["app", "--cache", &second.cache(), "--cache", &first.cache()]);
    run.succeeds();
    assert_eq!((report["result"].as_str(), list(&report, "pushed").len()), (Some("cached"), 1), "{report}");
    assert_eq!(second.tags(), first.tags());
}

#[test]
#[ignore = "needs an engine"]
fn images_that_build_on_each_other_share_one_repository() {
    let registry = Registry::start();
    let salt = unique("registry");
    let compose = "
services:
  base:
    image: durango-test/linked-base
    build: {context: ., dockerfile: base.Dockerfile, args: {BASE_IMAGE: 'debian:13-slim'}}
  app:
    image: durango-test/linked-app:7
    build: {context: ., additional_contexts: {base: 'docker-image://durango-test/linked-base'}}
";
    let base = format!(
        "ARG BASE_IMAGE=debian:13-slim\nFROM ${{BASE_IMAGE}}\nRUN echo '{salt}' >/base && head -c 400000 /dev/urandom >>/base\n"
    );
    let app = "FROM base\nRUN wc /base >/app\n";
    let project = Project::new(&[("compose.yaml", compose), ("base.Dockerfile", &base), ("Dockerfile", app)]);
    let image = base_of(&project);
    let (report, run) = project.build(&["app", "--cache", &registry.cache()]);
    run.succeeds();
    assert_eq!((list(&report, "pushed").len(), registry.tags().len()), (2, 4), "{report}");
    assert!(registry.tags().iter().any(|tag| tag == "durango-test_linked-app-linux_amd64"));
    let heavy = registry.blobs().iter().filter(|(_, size)| *size > 300_000 && *size < 1_000_000).count();
    assert_eq!(heavy, 1, "what both hold is there once");
    let (project, _second) = another(project, &image);
    let (report, run) = project.build(&["app", "--cache", &format!("{},ro", registry.cache())]);
    run.succeeds();
    assert_eq!(report["result"], "cached", "{}", run.all());
    for image in ["linked-app", "linked-base"] {
        assert!(list(&report, "read").iter().any(|read| read.contains(image)), "{report}");
    }
}
