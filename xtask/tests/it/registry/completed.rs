//! Pushes of a machine that restored from the registry: they take nothing from the next machine.

use serde_json::Value;

use super::{another, list, warnings};
use crate::common::registry::Registry;
use crate::common::{COMPOSE, Project, base_of, unique};

/// The number of stages that nothing reads. BuildKit 0.13 leaves out each of them in a quarter to
/// two thirds of the pushes.
const SOURCES: usize = 8;

/// Returns a project with stages that only the stage `made` needs.
pub(super) fn project(name: &str) -> Project {
    let compose = COMPOSE.replace("durango-test/app", &format!("durango-test/{name}"));
    let project = Project::new(&[("compose.yaml", &compose), ("page", "1\n")]);
    project.write("Dockerfile", &dockerfile(&unique(name)));
    project
}

fn dockerfile(salt: &str) -> String {
    let stage = |number: usize| {
        format!("FROM ${{BASE_IMAGE}} AS source{number}\nRUN echo {salt}-{number} >/source\n")
    };
    let mount = |number: usize| format!("--mount=from=source{number},target=/from/{number} ");
    let (stages, mounts): (String, String) =
        ((0..SOURCES).map(stage).collect(), (0..SOURCES).map(mount).collect());
    format!(
        "ARG BASE_IMAGE=debian:13-slim\n{stages}FROM ${{BASE_IMAGE}} AS made\n\
         RUN {mounts}cat /from/*/source >/made\n\
         FROM ${{BASE_IMAGE}}\nCOPY page /\nCOPY --from=made /made /made\n"
    )
}

/// Returns how many of the stages ran.
pub(super) fn ran(report: &Value) -> usize {
    let steps = report["steps"].as_array().expect("steps");
    let is_source = |step: &&Value| {
        step["instruction"].as_str().is_some_and(|text| text.starts_with("RUN echo"))
            && step["cached"] == false
    };
    steps.iter().filter(is_source).count()
}

#[test]
#[ignore = "needs an engine"]
fn a_push_after_a_restore_keeps_layers_that_nothing_read() {
    let registry = Registry::start();
    let project = project("completed");
    let base = base_of(&project);
    let only = ["app", "--cache", "none", "--cache", &registry.cache()];
    let (report, run) = project.build(&only);
    run.succeeds();
    assert_eq!(warnings(&report), "");
    let layers: Vec<usize> = registry.tags().iter().map(|tag| registry.layers(tag)).collect();
    // On the second machine only the page changes, which needs no layer of the stages.
    let (project, _second) = another(project, &base);
    project.write("page", "2\n");
    let (report, run) = project.build(&only);
    run.succeeds();
    assert_eq!((list(&report, "pushed").len(), ran(&report)), (1, 0), "{}", run.all());
    assert_eq!(warnings(&report), "");
    let after: Vec<usize> = registry.tags().iter().map(|tag| registry.layers(tag)).collect();
    assert_eq!(after, layers, "layers of each tag: {}", run.all());
    // On the third one `made` changes, and needs all of them.
    let (project, _third) = another(project, &base);
    let text = std::fs::read_to_string(project.path("Dockerfile")).expect("a Dockerfile");
    project.write("Dockerfile", &text.replace(">/made\n", ">/made; echo more >>/made\n"));
    let (report, run) = project.build(&only);
    run.succeeds();
    assert_eq!((report["result"].as_str(), ran(&report)), (Some("built"), 0), "{}", run.all());
}
