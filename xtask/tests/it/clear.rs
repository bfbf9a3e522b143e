//! Removes a project's own cache mounts from a builder. The test has an engine of its own: when any
//! record is removed, the daemon's BuildKit forgets the results of all steps
//! (`Capabilities::forgets_results_after_prune`).

use crate::common::second_daemon::SecondDaemon;
use crate::common::{COMPOSE, Project, base_of, unique};
use serde_json::Value;

#[test]
#[ignore = "needs an engine"]
fn clearing_a_builder_takes_our_mounts_and_no_other() {
    let salt = unique("clear");
    let dockerfile = |ids: &[&str]| {
        let mounts: String =
            ids.iter().map(|id| format!("--mount=type=cache,target=/m-{id},id=t{salt}-{id} ")).collect();
        let last = ids[ids.len() - 1];
        format!(
            "ARG BASE_IMAGE\nFROM ${{BASE_IMAGE}}\nRUN {mounts} echo {salt} >/m-{last}/file\n\
                 RUN --mount=type=cache,target=/default-{salt} echo {salt} >/default-{salt}/file\n"
        )
    };
    let ours = Project::new(&[
        ("compose.yaml", &COMPOSE.replace("/app", "/clear-ours")),
        ("Dockerfile", &dockerfile(&["a", "b"])),
    ]);
    let theirs = Project::new(&[
        ("compose.yaml", &COMPOSE.replace("/app", "/clear-theirs")),
        ("Dockerfile", &dockerfile(&["c"])),
    ]);
    let second = SecondDaemon::start();
    second.receive(&base_of(&ours));
    let [ours, theirs] = [ours, theirs].map(|project| project.env("DOCKER_HOST", &second.host()));
    for project in [&ours, &theirs] {
        project.build(&["app", "--no-save"]).1.succeeds();
    }
    let held = || {
        let run = ours.run(&["cache", "du", "--json"]);
        let json: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{}", run.all()));
        let mounts = json["builder"]["mounts"].as_array().expect("mounts").clone();
        let mut ids: Vec<String> = mounts
            .iter()
            .filter_map(|mount| Some(mount["id"].as_str()?.split_once(&salt)?.1.to_owned()))
            .collect();
        ids.sort();
        ids
    };
    assert_eq!(held(), ["", "-a", "-b", "-c"]);
    let clear = ["cache", "clear", "builder", "--file", "compose.yaml"];
    ours.run(&clear).fails(2, &["--yes"]);
    let shown = ours.run(&[&clear[..], &["--dry-run", "--json"]].concat());
    let json: Value = serde_json::from_str(&shown.stdout).unwrap_or_else(|_| panic!("{}", shown.all()));
    assert_eq!(json["builder"].as_array().map(Vec::len), Some(2), "{json}");
    assert!(json["notes"].to_string().contains("has no explicit id"), "{json}");
    assert_eq!(held(), ["", "-a", "-b", "-c"]);
    let run = ours.run(&[&clear[..], &["--yes"]].concat());
    run.succeeds();
    assert_eq!(held(), ["", "-c"], "{}", run.all());
}
