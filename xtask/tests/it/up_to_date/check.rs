//! `--check`: BuildKit is asked about a build with nothing to do, as cheaply as possible.

use std::fs;

use serde_json::Value;

use super::Idle;
use crate::common::second_daemon::SecondDaemon;
use crate::common::{COMPOSE, Project, unique};

#[test]
#[ignore = "needs an engine"]
fn a_check_reads_saved_results_only_after_a_change() {
    let idle = Idle::new("checks");
    let calls = || fs::read_to_string(idle.path("calls")).expect("calls");
    let checked = |what: &str| {
        let before = calls().lines().count();
        let report = idle.build(&["--check"]);
        // The save of a result is a call, too.
        let made: Vec<String> = calls().lines().skip(before).map(str::to_owned).collect();
        let build = made.iter().filter(|call| !call.contains(".cache-to="));
        let reads: Vec<bool> = build.map(|call| call.contains(".cache-from=")).collect();
        assert!(!reads.is_empty(), "{what}: {made:?}");
        let read = report["cache"]["read"].as_array().expect("a list");
        assert_eq!(read.is_empty(), !reads.contains(&true), "{what}: {report}");
        (report["result"].clone(), reads)
    };
    assert_eq!(checked("nothing"), ("cached".into(), vec![false]));
    assert_eq!(checked("nothing again"), ("cached".into(), vec![false]));
    idle.project.write("app/src/a.txt", &format!("b {}\n", idle.name));
    // Docker 28 may need another call for the save, which reads results as well.
    let (result, reads) = checked("a file");
    assert!(result == "built" && !reads.contains(&false), "{result}: {reads:?}");
    assert_eq!(checked("nothing since"), ("cached".into(), vec![false]));
}

#[test]
#[ignore = "needs an engine"]
fn a_check_takes_from_the_store_what_the_builder_dropped() {
    // A step that runs again makes another image, and takes longer than it takes to stop it.
    let salt = unique("dropped");
    let dockerfile = format!(
        "ARG BASE_IMAGE=debian:13-slim\nFROM ${{BASE_IMAGE}}\nRUN --mount=type=cache,target=/c \
         echo {salt} >>/c/log; sleep 20; cp /c/log /log; date +%N >/made\n"
    );
    let compose = COMPOSE.replace("durango-test/app", &format!("durango-test/{salt}"));
    let project = Project::new(&[("compose.yaml", &compose), ("Dockerfile", &dockerfile)]);
    let (second, project) = SecondDaemon::of(project);
    let check = |args: &[&str]| -> Value {
        let (report, run) = project.build(&[&["app"], args].concat());
        run.succeeds();
        report
    };
    let first = check(&[]);
    assert_eq!(first["result"], "built", "{first}");
    assert_eq!(check(&["--check"])["result"], "cached");
    let pruned = second.docker(&["buildx", "prune", "--all", "--force"]);
    assert!(pruned.status.success(), "{}", String::from_utf8_lossy(&pruned.stderr));
    let after = check(&["--check"]);
    assert_eq!((&after["result"], &after["targets"]), (&"cached".into(), &first["targets"]), "{after}");
    assert_eq!(after["warnings"], first["warnings"]);
}
