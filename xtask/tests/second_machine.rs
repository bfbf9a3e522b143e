//! What another engine makes of a store, and what an engine without the containerd image store is told.

mod common;

use common::second_daemon::SecondDaemon;
use common::{COMPOSE, Project, base_of, cached};

fn project(name: &str) -> Project {
    let salt = format!("{}-{:?}", std::process::id(), std::time::SystemTime::now());
    let dockerfile = format!(
        "ARG BASE_IMAGE\nFROM ${{BASE_IMAGE}} AS made\nRUN echo '{salt}' >/made\nFROM ${{BASE_IMAGE}}\nCOPY --from=made /made /\n"
    );
    let compose = COMPOSE.replace("durango-test/app", &format!("durango-test/{name}"));
    Project::new(&[("compose.yaml", &compose), ("Dockerfile", &dockerfile)])
}

#[test]
#[ignore = "needs an engine"]
fn layers_that_one_engine_saved_are_hits_on_another() {
    let project = project("travel");
    let (report, run) = project.build(&["app"]);
    run.succeeds();
    assert!(report["cache"]["saved"].is_string(), "{report}");
    let second = SecondDaemon::start();
    second.receive(&base_of(&project));
    let project = project.env("DOCKER_HOST", &second.host());
    let (report, run) = project.build(&["app"]);
    run.succeeds();
    // A stage that only feeds another is in the store too, and no step of either runs.
    assert_eq!(report["result"], "cached", "{}", run.all());
    assert!(cached(&report, "COPY --from=made"));
}

#[test]
#[ignore = "needs an engine"]
fn an_engine_with_the_classic_store_builds_and_says_what_it_cannot() {
    let project = project("classic");
    let base = base_of(&project);
    let second = SecondDaemon::start_with(r#"{"features": {"containerd-snapshotter": false}}"#);
    second.receive(&base);
    let project = project.env("DOCKER_HOST", &second.host());
    let (report, run) = project.build(&["app"]);
    run.succeeds();
    assert_eq!(report["result"], "built");
    assert_eq!(report["cache"]["saved"], serde_json::Value::Null);
    let warnings = report["warnings"].to_string();
    assert!(warnings.contains("classic store") && warnings.contains("nothing is saved"), "{warnings}");
    assert!(!project.store().join("layers").exists());
}
