//! Builds whose cache mounts come from a registry and go to it.

use sha2::{Digest, Sha256};

use crate::common::registry::Registry;
use crate::common::second_daemon::SecondDaemon;
use crate::common::{COMPOSE, Project, base_of, unique};

/// Returns a project with a step that adds a line to its cache mount and prints the content. The
/// step takes long enough to be stopped: a shorter one would end before its mount is restored.
fn counting(name: &str) -> Project {
    let salt = unique("registry-mounts");
    let id = format!("durango-test-{}", &format!("{:x}", Sha256::digest(&salt))[..12]);
    let dockerfile = format!(
        "ARG BASE_IMAGE\nFROM ${{BASE_IMAGE}}\nRUN echo '{salt}' >/salt\nCOPY a.txt /\n\
         RUN --mount=type=cache,id={id},target=/cache sleep 4; cat /a.txt >>/cache/lines && cp /cache/lines /lines && wc -l /lines | tee /count\n"
    );
    let compose = COMPOSE.replace("durango-test/app", &format!("durango-test/{name}"));
    Project::new(&[("compose.yaml", &compose), ("Dockerfile", &dockerfile), ("a.txt", "first\n")])
}

#[test]
#[ignore = "needs an engine"]
fn an_edit_on_another_machine_finds_the_cache_mount_of_the_first() {
    let registry = Registry::start();
    let project = counting("counting");
    let base = base_of(&project);
    let (report, run) = project.build(&["app", "--cache", "none", "--cache", &registry.cache()]);
    run.succeeds();
    assert!(registry.tags().iter().any(|tag| tag.starts_with("mounts-durango-test_")), "{}", run.all());
    assert!(!report["warnings"].to_string().contains("cache"), "{}", run.all());

    let second = SecondDaemon::start();
    second.receive(&base);
    let store = second.path("store").display().to_string();
    let project = project.env("DOCKER_HOST", &second.host()).env("DURANGO_CACHE_DIR", &store);
    let read_only = format!("{},ro", registry.cache());
    let (report, run) = project.build(&["app", "--cache", &read_only]);
    run.succeeds();
    assert_eq!(report["result"], "cached", "{}", run.all());
    project.write("a.txt", "second\n");
    let puts = registry.requests("PUT");
    let (report, run) = project.build(&["app", "--cache", &read_only]);
    run.succeeds();
    assert_eq!(report["result"], "built");
    assert_eq!(report["cache"]["mounts"][0]["restored"], true, "{}", run.all());
    let shown = second.docker(&["run", "--rm", "durango-test/counting", "cat", "/lines"]);
    assert_eq!(String::from_utf8_lossy(&shown.stdout), "first\nsecond\n", "{}", run.all());
    assert_eq!(registry.requests("PUT"), puts, "read-only");
}

#[test]
#[ignore = "needs an engine"]
fn a_new_registry_gets_all_mounts_even_if_no_step_runs() {
    let registry = Registry::start();
    let project = counting("new-registry");
    project.build(&["app"]).1.succeeds();
    let (report, run) = project.build(&["app", "--cache", &registry.cache()]);
    run.succeeds();
    assert_eq!(report["result"], "cached");
    let mounts = || registry.tags().iter().filter(|tag| tag.starts_with("mounts-durango-test_")).count();
    assert_eq!((mounts(), registry.tags().len()), (1, 3), "{}", run.all());
    let puts = registry.requests("PUT");
    project.build(&["app", "--cache", &registry.cache()]).1.succeeds();
    assert_eq!(registry.requests("PUT"), puts);
}
