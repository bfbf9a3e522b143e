//! Caches in registries: layers that are shared between machines, and every way in which a registry
//! can fail.

use std::fs;
use std::time::Duration;

use crate::common::registry::{self, Registry, USER};
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

/// Returns the project with the timeout of a registry that users have.
fn default_timeout(project: Project) -> Project {
    project.env("DURANGO_REGISTRY_TIMEOUT", "4")
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
    let log_in = |password: &str| {
        use base64::Engine as _;
        let auth = base64::engine::general_purpose::STANDARD.encode(format!("{}:{password}", USER.0));
        let host = registry.repository();
        let host = host.split('/').next().expect("a host");
        project.write(
            "home/.docker/config.json",
            &format!(r#"{{"auths": {{"{host}": {{"auth": "{auth}"}}}}}}"#),
        );
    };
    log_in("wrong");
    let (report, run) = project.build(&["app", "--cache", &registry.cache()]);
    run.succeeds();
    assert!(warnings(&report).contains("refuses"), "{report}");
    assert!(registry.tags().is_empty());
    log_in(USER.1);
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
