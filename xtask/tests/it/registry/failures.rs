//! Registries that are down, slow, silent, full or refuse: each costs a warning, never the build.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use super::{another, list, list_of, log_in, project, warnings};
use crate::common::registry::{self, Registry, USER};
use crate::common::{Project, base_of};

/// Returns the project with the timeout of a registry that users have.
fn default_timeout(project: Project) -> Project {
    project.env("DURANGO_REGISTRY_TIMEOUT", "4")
}

/// Builds with a cache that doesn't work. The build succeeds with a warning that has these words.
/// The cache is not passed to BuildKit, which would wait 10 s for each tag of a silent registry.
fn builds_with_a_warning(project: Project, cache: &str, words: &str) -> (Project, Value) {
    project.build(&["app"]).1.succeeds();
    let (report, run) = project.build(&["app", "--cache", cache]);
    run.succeeds();
    assert_eq!(report["result"], "cached");
    let warnings = list_of(&report["warnings"]);
    assert!(matches!(warnings[..], [warning] if warning.contains(words)), "{words}: {}", run.all());
    assert!(list(&report, "pushed").is_empty(), "{report}");
    let build = report["build"].as_str().expect("an id");
    let plan = fs::read_to_string(project.store().join("builds").join(build).join("plan.json"));
    let plan = plan.expect("a plan");
    let passed = plan.split_once("cache-from=type=registry").map(|(before, _)| &before[before.len() - 200..]);
    assert_eq!(passed, None, "{}", run.all());
    (project, report)
}

#[test]
#[ignore = "needs an engine"]
fn a_registry_that_is_down_costs_a_warning() {
    let mut registry = Registry::start();
    registry.stop();
    builds_with_a_warning(project("down"), &registry.cache(), "connection refused");
    builds_with_a_warning(project("unknown"), "registry=nowhere.invalid/team/cache", "not reachable");
}

#[test]
#[ignore = "needs an engine"]
fn a_registry_that_never_answers_is_waited_for_once() {
    let cache = registry::impostor(None);
    let (project, _) =
        builds_with_a_warning(default_timeout(project("silent")), &cache, "no answer within 4 s");
    // The next builds don't wait again.
    let (report, run) = project.build(&["app", "--cache", &cache]);
    run.succeeds();
    assert!(warnings(&report).contains("the next attempt is after"), "{report}");
}

/// Over a satellite link or a VPN an answer takes longer than the default timeout.
#[test]
#[ignore = "needs an engine"]
fn a_slow_registry_is_used_with_a_longer_timeout() {
    let registry = Registry::start();
    let project = default_timeout(project("slow"));
    project.build(&["app", "--cache", &registry.cache()]).1.succeeds();
    let cache = registry::over_a_slow_line(&registry, Duration::from_secs(5));
    let plan = |project: &Project| {
        let run = project.run(&["plan", "app", "--file", "compose.yaml", "--cache", &cache]);
        run.succeeds();
        run.all()
    };
    let left_out = plan(&project);
    assert!(left_out.contains("no answer within 4 s") && !left_out.contains("type=registry"), "{left_out}");
    // A new store doesn't know yet that the registry is slow.
    let store = project.path("other-store").display().to_string();
    let project = project.env("DURANGO_CACHE_DIR", &store).env("DURANGO_REGISTRY_TIMEOUT", "300");
    let used = plan(&project);
    assert!(!used.contains("no answer") && used.contains("cache-from=type=registry"), "{used}");
    let project = project.env("DURANGO_REGISTRY_TIMEOUT", "soon");
    project.build(&["app"]).1.fails(2, &["DURANGO_REGISTRY_TIMEOUT=soon"]);
}

#[test]
#[ignore = "needs an engine"]
fn a_server_other_than_a_registry_costs_a_warning() {
    builds_with_a_warning(project("broken"), &registry::impostor(Some("500 Internal Server Error")), "500");
    builds_with_a_warning(project("refusing"), &registry::impostor(Some("403 Forbidden")), "refuses");
    builds_with_a_warning(project("garbled"), &registry::impostor(Some("200 OK")), "not reachable");
}

#[test]
#[ignore = "needs an engine"]
fn credentials_are_those_of_docker() {
    let registry = Registry::guarded();
    let (project, _) = builds_with_a_warning(project("stranger"), &registry.cache(), "docker login");
    let repository = registry.repository();
    let host = repository.split('/').next().expect("a host");
    log_in(&project, host, "wrong");
    let (report, run) = project.build(&["app", "--cache", &registry.cache()]);
    run.succeeds();
    assert!(warnings(&report).contains("refuses"), "{report}");
    assert!(registry.tags().is_empty());
    log_in(&project, host, USER.1);
    let (report, run) = project.build(&["app", "--cache", &registry.cache()]);
    run.succeeds();
    assert_eq!((warnings(&report).as_str(), registry.tags().len()), ("", 2), "{report}");
}

#[test]
#[ignore = "needs an engine"]
fn a_registry_with_a_full_disk_costs_a_warning_and_keeps_its_content() {
    // Smaller than the layer with 3 MB of noise.
    let registry = Registry::small(2048);
    let project = project("full");
    let (report, run) = project.build(&["app", "--cache", &registry.cache()]);
    run.succeeds();
    assert_eq!(report["result"], "built");
    assert!(warnings(&report).contains("failed to push the layers"), "{}", run.all());
    assert_eq!(report["cache"]["saved"], report["cache"]["key"], "the store has it all the same: {report}");
}

#[test]
#[ignore = "needs an engine"]
fn a_registry_that_lost_its_layers_costs_a_rebuild_and_no_failure() {
    let registry = Registry::start();
    let project = project("registry-lost");
    let base = base_of(&project);
    project.build(&["app", "--cache", &registry.cache()]).1.succeeds();
    for (path, size) in registry.blobs() {
        if size > 100_000 {
            fs::remove_file(path).expect("removed");
        }
    }
    let (project, _second) = another(project, &base);
    let (report, run) = project.build(&["app", "--cache", &registry.cache()]);
    run.succeeds();
    assert_eq!(report["result"], "built", "{}", run.all());
    // The lost layer comes back.
    assert!(registry.blobs().iter().any(|(_, size)| *size > 1_000_000), "{}", run.all());
}

#[test]
#[ignore = "needs an engine"]
fn a_push_is_not_waited_for_when_the_registry_goes_silent_in_it() {
    let registry = Registry::start();
    let project = project("gate");
    let (report, run) = project.build(&["app", "--cache", &registry::behind_a_gate(&registry)]);
    run.succeeds();
    assert_eq!(report["result"], "built");
    assert!(warnings(&report).contains("the registry stopped answering"), "{}", run.all());
    assert!(registry.tags().is_empty());
    // The store has the result. The next build pushes it over a working connection.
    assert_eq!(report["cache"]["saved"], report["cache"]["key"]);
    let (report, run) = project.build(&["app", "--cache", &registry.cache()]);
    run.succeeds();
    assert_eq!((report["result"].as_str(), registry.tags().len()), (Some("cached"), 2), "{report}");
}

#[test]
#[ignore = "needs an engine"]
fn a_cache_that_only_the_builder_cannot_read_is_reported_and_is_not_the_cause_of_a_failure() {
    let project = project("unread");
    // xtask doesn't probe the user's own cache, because the builder may be on another network.
    let set = ["app", "--set", "app.cache-from=type=registry,ref=127.0.0.1:1/team/cache:x"];
    let (report, run) = project.build(&set);
    run.succeeds();
    let said = warnings(&report);
    assert!(said.contains("could not read the cache `127.0.0.1:1/team/cache:x`"), "{}", run.all());
    let text = fs::read_to_string(project.path("Dockerfile")).expect("a Dockerfile");
    project.write("Dockerfile", &format!("{text}RUN exit 42\n"));
    let (report, _) = project.build(&set);
    assert_eq!(report["failure"]["exit_code"], 42, "{report}");
    assert!(report["failure"]["step"].as_str().is_some_and(|step| step.contains("exit 42")), "{report}");
}
