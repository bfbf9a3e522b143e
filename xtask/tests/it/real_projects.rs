//! Small equivalents of public projects of many kinds. Each is built, edited, planned, built again,
//! explained, and built on another engine from the store.

mod bake;
mod compose;

use serde_json::Value;
use xtask::testing::engine::Version;

use crate::common::second_daemon::SecondDaemon;
use crate::common::{COMPOSE, Project, base_of, buildx_version};

/// A project, an edit of it, and a word of the reason that the edit must give.
struct RealProject {
    name: &'static str,
    /// Files by name. `@BASE@` is a local image, `@SALT@` is in no other run.
    files: &'static [(&'static str, &'static str)],
    /// The arguments after `build`.
    args: &'static [&'static str],
    edit: (&'static str, &'static str),
    reason: &'static str,
    /// A step that stays cached after the edit.
    cached: &'static str,
}

impl RealProject {
    /// Returns whether a builder without results may run saved steps of this project's second
    /// target. Docker 28.5 does so if targets have equal steps on different files, which BuildKit
    /// joins: in 3 of 55 builds with buildx 0.29. Docker 26.1 did in none of 30. With buildx 0.38,
    /// Docker 28.5 ran steps of other projects of several targets before results had marks; since
    /// then nobody has measured it.
    fn may_run_saved_steps(&self, report: &Value) -> bool {
        let several = report["targets"].as_array().is_some_and(|targets| targets.len() > 1);
        let has_joined_steps = self.name == "a Node monorepo with a shared package";
        several && buildx_version() >= if has_joined_steps { Version(0, 29) } else { Version(0, 30) }
    }
}

fn run(project: &Project, word: &str, args: &[&str]) -> Value {
    let mut all = vec![word];
    all.extend(args);
    all.push("--json");
    let run = project.run(&all);
    run.succeeds();
    serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("one JSON document: {}", run.all()))
}

fn steps(document: &Value) -> &[Value] {
    document["steps"].as_array().expect("steps")
}

fn name(step: &Value) -> String {
    ["target", "stage", "instruction"].map(|field| step[field].as_str().unwrap_or_default()).join(" / ")
}

/// The steps that the plan expected to be cached and that ran, and those that only one names.
fn wrong(plan: &Value, report: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for step in steps(report) {
        let Some(planned) = steps(plan).iter().find(|planned| name(planned) == name(step)) else {
            found.push(format!("not in the plan: {}", name(step)));
            continue;
        };
        if planned["forecast"]["state"] == "cached" && step["cached"] == false {
            found.push(format!("forecast cached, but ran: {}", name(step)));
        }
    }
    let is_built = |planned: &&Value| steps(report).iter().any(|step| name(step) == name(planned));
    found.extend(
        steps(plan).iter().filter(|step| !is_built(step)).map(|step| format!("not built: {}", name(step))),
    );
    found
}

/// All but the build on another engine.
fn here(real: &RealProject, base: &str) -> Project {
    let salt = format!("{}-{:?}", real.name, std::time::SystemTime::now()).replace([' ', '{', '}', ':'], "");
    let fill = |text: &str| text.replace("@BASE@", base).replace("@SALT@", &salt);
    let files: Vec<(&str, String)> = real.files.iter().map(|(name, text)| (*name, fill(text))).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let project = Project::new(&files);
    let first = run(&project, "build", real.args);
    for image in first["targets"].as_array().into_iter().flatten().filter_map(|one| one["image"].as_str()) {
        project.owns(image);
    }
    assert_eq!(first["result"], "built", "{}", real.name);
    let plan = run(&project, "plan", real.args);
    assert!(steps(&plan).iter().all(|step| step["forecast"]["state"] == "cached"), "{}: {plan}", real.name);
    project.write(real.edit.0, &fill(real.edit.1));
    let plan = run(&project, "plan", real.args);
    let report = run(&project, "build", real.args);
    assert_eq!(report["result"], "built", "{}", real.name);
    assert_eq!(wrong(&plan, &report), Vec::<String>::new(), "{}", real.name);
    let stays = steps(&report).iter().find(|step| name(step).contains(&fill(real.cached)));
    assert_eq!(stays.map(|step| &step["cached"]), Some(&Value::Bool(true)), "{}: {report}", real.name);
    for document in [&plan, &report, &run(&project, "explain", &[])] {
        let causes = steps(document).iter().map(|step| step["cause"]["detail"].as_str().unwrap_or_default());
        assert!(causes.clone().any(|cause| cause.contains(real.reason)), "{}: {document}", real.name);
    }
    assert!(report["cache"]["saved"].is_string(), "{}: {report}", real.name);
    project
}

fn try_all(projects: &[RealProject]) {
    let base = base_of(&Project::new(&[
        ("compose.yaml", COMPOSE),
        ("Dockerfile", "ARG BASE_IMAGE\nFROM $BASE_IMAGE\n"),
    ]));
    let second = SecondDaemon::start();
    second.receive(&base);
    let is_wrong = |real: &&RealProject| {
        let moved = || {
            let project = here(real, &base).env("DOCKER_HOST", &second.host());
            let report = run(&project, "build", real.args);
            let ran: Vec<String> =
                steps(&report).iter().filter(|step| step["cached"] == false).map(name).collect();
            if real.may_run_saved_steps(&report) {
                assert!(ran.iter().all(|name| name.contains(" / build / ")), "{}: {ran:?}", real.name);
                return;
            }
            assert_eq!(ran, Vec::<String>::new(), "{} on another engine", real.name);
        };
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(moved)).is_err()
    };
    let wrong: Vec<&str> = projects.iter().filter(is_wrong).map(|real| real.name).collect();
    assert_eq!(wrong, Vec::<&str>::new());
}

#[test]
#[ignore = "needs an engine"]
fn compose_projects_are_forecast_explained_and_moved() {
    try_all(compose::PROJECTS);
}

#[test]
#[ignore = "needs an engine"]
fn bake_projects_are_forecast_explained_and_moved() {
    try_all(bake::PROJECTS);
}
