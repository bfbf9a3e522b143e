//! `doctor` end to end. Each fault of an engine is one clear finding, and nothing is changed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::common::second_daemon::SecondDaemon;
use crate::common::{Project, Run, files, run_as_nobody, skip};
use serde_json::Value;

fn project() -> Project {
    Project::new(&[("empty/.keep", "")])
}

/// Returns every file except those in which buildx keeps its state.
fn ours(project: &Project) -> Vec<(PathBuf, u64)> {
    let mut files = files(&project.path(""));
    files.retain(|(path, _)| !path.display().to_string().contains("/buildx/"));
    files
}

/// Runs the doctor, asserts that it changes nothing, and returns its findings.
#[track_caller]
fn findings(project: &Project, args: &[&str]) -> (Vec<Value>, Run) {
    let before = ours(project);
    let run = project.run(&[&["doctor", "--json"], args].concat());
    assert_eq!(ours(project), before, "the doctor changed something");
    let document: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("JSON: {}", run.all()));
    assert_eq!(document["schema"], 1);
    let checks = document["checks"].as_array().unwrap_or_else(|| panic!("checks: {}", run.all()));
    for check in checks {
        assert_eq!(
            check["state"] != "ok",
            check["remedy"].is_string(),
            "a remedy where it is needed: {check}"
        );
    }
    (checks.clone(), run)
}

/// Asserts that there is one failure about the engine, with this name and these words.
#[track_caller]
fn fails(project: &Project, args: &[&str], name: &str, words: &str, remedy: &str) {
    let (checks, run) = findings(project, args);
    let failed: Vec<&Value> = checks.iter().filter(|check| check["state"] == "fail").collect();
    assert_eq!(run.code, 1, "{}", run.all());
    assert_eq!(failed.len(), 1, "one cause, one finding: {}", run.all());
    assert_eq!(failed[0]["name"], name, "{}", run.all());
    assert!(failed[0]["detail"].as_str().is_some_and(|detail| detail.contains(words)), "{}", failed[0]);
    assert!(failed[0]["remedy"].as_str().is_some_and(|text| text.contains(remedy)), "{}", failed[0]);
}

/// Returns a project whose user-level plugin hides the system's plugin from the real client.
fn with_plugin(version: &str) -> Project {
    let metadata = format!(r#"{{"SchemaVersion":"0.1.0","Vendor":"test","Version":"{version}"}}"#);
    let script = format!("#!/bin/sh\n[ \"$1\" = docker-cli-plugin-metadata ] && echo '{metadata}'\nexit 1\n");
    let script = if version.is_empty() {
        "#!/bin/sh\nexit 1\n".to_owned()
    } else {
        script.replace("exit 1", "exit 0")
    };
    let project = project();
    project.write("docker/cli-plugins/docker-buildx", &script);
    let plugin = project.path("docker/cli-plugins/docker-buildx");
    fs::set_permissions(plugin, fs::Permissions::from_mode(0o755)).expect("made executable");
    let config = project.path("docker").display().to_string();
    project.env("DOCKER_CONFIG", &config)
}

#[test]
fn no_docker() {
    let project = project();
    let empty = project.path("empty").display().to_string();
    let project = project.env("PATH", &empty);
    fails(&project, &[], "docker client", "`docker` is not on the PATH", "--provision");
    let text = project.run(&["doctor"]);
    assert_eq!(text.code, 1);
    assert!(
        text.stdout.contains("FAIL  docker client") && text.stdout.contains("\n      -> "),
        "{}",
        text.all()
    );
    assert_eq!(text.stderr, "");
}

#[test]
fn a_client_that_is_not_dockers() {
    let project = project();
    project.write("bin/docker", "#!/bin/sh\necho '{\"host\": {}}'\n");
    fs::set_permissions(project.path("bin/docker"), fs::Permissions::from_mode(0o755))
        .expect("made executable");
    let path = format!("{}:/usr/bin:/bin", project.path("bin").display());
    let project = project.env("PATH", &path);
    fails(
        &project,
        &[],
        "docker client",
        "does not answer like Docker's client; it may be Podman's",
        "docker info",
    );
}

#[test]
fn leftover_arguments_are_refused() {
    project().run(&["doctor", "now"]).fails(2, &["does not take the argument `now`"]);
}

#[test]
fn a_named_bundle_that_is_missing_and_secrets_of_a_proxy() {
    let project =
        project().env("SSL_CERT_FILE", "/no/such/bundle.pem").env("GOPROXY", "https://me:secret@proxy.test");
    let empty = project.path("empty").display().to_string();
    let (checks, run) = findings(&project.env("PATH", &empty), &[]);
    let check = |name: &str| checks.iter().find(|check| check["name"] == name).expect("a check").clone();
    assert_eq!(check("CA bundle")["state"], "warn");
    assert_eq!(check("Go modules")["detail"], "GOPROXY");
    assert!(!run.all().contains("secret"), "{}", run.all());
}

#[test]
#[ignore = "needs an engine"]
fn a_machine_that_is_well() {
    let (checks, run) = findings(&project(), &[]);
    assert_eq!(run.code, 0, "{}", run.all());
    let names =
        ["docker client", "buildx", "compose", "daemon", "permission", "image store", "builder", "pins"];
    names
        .iter()
        .for_each(|name| assert!(checks.iter().any(|check| check["name"] == *name), "{name} is missing"));
}

#[test]
#[ignore = "needs an engine"]
fn a_builder_that_drops_what_the_next_build_needs() {
    let check = |config: &str| {
        let daemon = SecondDaemon::start_with(config);
        let (checks, run) = findings(&project().env("DOCKER_HOST", &daemon.host()), &[]);
        assert_eq!(run.code, 0, "{}", run.all());
        checks
            .into_iter()
            .find(|check| check["name"] == "build cache")
            .unwrap_or_else(|| panic!("{}", run.all()))
    };
    let small = check(r#"{"builder": {"gc": {"enabled": true, "defaultKeepStorage": "2GB"}}}"#);
    assert_eq!(small["state"], "warn", "{small}");
    assert_eq!(small["detail"], "the builder's limit is 2.1 GB of it, and the images need about 10.0 GB");
    assert_eq!(small["remedy"], "raise `builder.gc` in the daemon.json of that daemon");
    let idle = check(r#"{"builder": {"gc": {"enabled": true, "defaultKeepStorage": "12GB"}}}"#);
    assert!(
        idle["detail"].as_str().is_some_and(|words| words.contains("of cache mounts that were idle")),
        "{idle}"
    );
    // An engine without GC rules removes nothing.
    let unlimited = check(r#"{"builder": {"gc": {"enabled": false}}}"#);
    assert_eq!((&unlimited["state"], &unlimited["detail"]), (&"ok".into(), &"no limit".into()));
}

#[test]
#[ignore = "needs an engine"]
fn no_buildx() {
    fails(&with_plugin(""), &[], "buildx", "`docker` has no buildx plugin", "--provision");
}

#[test]
#[ignore = "needs an engine"]
fn a_buildx_that_is_too_old() {
    let project = with_plugin("0.12.1");
    fails(
        &project,
        &[],
        "buildx",
        "buildx 0.12 is too old: version 0.13 or newer is required",
        "--provision",
    );
    let run = project.run(&["doctor", "--provision"]);
    run.fails(1, &["docker/cli-plugins/docker-buildx` is buildx 0.12, too old, and hides", "\nremove it"]);
}

#[test]
#[ignore = "needs an engine"]
fn a_daemon_that_is_down() {
    let project = project().env("DOCKER_HOST", "unix:///nonexistent.sock");
    fails(&project, &[], "daemon", "the Docker daemon does not answer", "systemctl start docker");
    let run = project.run(&["doctor", "--provision"]);
    run.fails(1, &["DOCKER_HOST=unix:///nonexistent.sock is selected, and no engine answers there\n"]);
}

#[test]
#[ignore = "needs an engine"]
fn an_unknown_builder() {
    fails(&project(), &["--builder", "nobody"], "builder", "builder `nobody` not found", "docker buildx ls");
}

#[test]
#[ignore = "needs an engine"]
fn no_permission() {
    let Some(run) = run_as_nobody(&project(), &["doctor", "--json"]) else { return skip("needs root") };
    assert_eq!(run.code, 1, "{}", run.all());
    let document: Value = serde_json::from_str(&run.stdout).expect("JSON");
    let failed: Vec<&Value> = document["checks"]
        .as_array()
        .expect("checks")
        .iter()
        .filter(|check| check["state"] == "fail")
        // Another user can't read the pins of a private clone either.
        .filter(|check| check["name"] != "pins")
        .collect();
    assert_eq!(failed.len(), 1, "{}", run.all());
    assert_eq!(failed[0]["name"], "permission");
    assert!(
        failed[0]["remedy"].as_str().is_some_and(|text| text.contains("usermod -aG docker")),
        "{}",
        run.all()
    );
}
