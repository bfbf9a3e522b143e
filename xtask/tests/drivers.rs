//! The same builds over each driver: `docker`, `docker-container` and `remote`, the latter two with a BuildKit much newer than
//! the engine's.

mod common;

use std::fs;

use common::buildkit::{self, Container, Remote};
use common::{COMPOSE, Project, cached, files};
use serde_json::Value;

fn project(name: &str) -> Project {
    let salt = format!("{}-{:?}", std::process::id(), std::time::SystemTime::now());
    let dockerfile = format!(
        "ARG BASE_IMAGE=debian:13-slim\nFROM ${{BASE_IMAGE}} AS made\nRUN echo '{salt}' >/made\nFROM ${{BASE_IMAGE}}\nCOPY --from=made /made /\n\
         COPY a.txt /a\nRUN cat /a >/b\n"
    );
    let compose = COMPOSE.replace("durango-test/app", &format!("durango-test/{name}"));
    Project::new(&[("compose.yaml", &compose), ("Dockerfile", &dockerfile), ("a.txt", "a\n")])
}

/// What every driver must do. `fresh` gives another builder of the same driver, which holds nothing.
fn suite(project: &Project, driver: &str, fresh: &mut dyn FnMut()) {
    builds_hit_and_load(project, driver);
    failures_are_told(project);
    layers_come_from_the_store(project, driver, fresh);
    nothing_is_saved_where_that_is_asked_for(project);
}

fn builds_hit_and_load(project: &Project, driver: &str) {
    let (first, run) = project.build(&["app"]);
    run.succeeds();
    assert_eq!((&first["result"], &first["warnings"]), (&"built".into(), &Value::Array(vec![])), "{driver}");
    assert_eq!(first["cache"]["saved"], first["cache"]["key"], "{driver}: {first}");
    let image = first["targets"][0]["image"].as_str().expect("a name");
    let shown = common::Run::from(
        std::process::Command::new("docker")
            .args(["run", "--rm", image, "cat", "/b"])
            .output()
            .expect("docker runs"),
    );
    assert_eq!(shown.stdout, "a\n", "{driver}: the image is in the engine: {}", shown.all());
    let (second, run) = project.build(&["app"]);
    run.succeeds();
    assert_eq!(second["result"], "cached", "{driver}: {}", run.all());
    assert_eq!(second["targets"][0]["digest"], first["targets"][0]["digest"], "{driver}");
    assert!(second["targets"][0]["digest"].as_str().is_some_and(|digest| digest.starts_with("sha256:")));
    assert_eq!(second["cache"]["saved"], Value::Null, "{driver}: {second}");
    assert!(!run.stderr.contains("handing the base image"), "{driver}: once is enough: {}", run.all());
}

fn failures_are_told(project: &Project) {
    let good = fs::read_to_string(project.path("Dockerfile")).expect("a Dockerfile");
    project.write("Dockerfile", &format!("{good}RUN echo words; exit 42\n"));
    let (report, run) = project.build(&["app", "--progress", "quiet"]);
    run.fails(3, &["exit code 42", "RUN echo words", "| words", "the whole log: "]);
    assert_eq!(report["failure"]["exit_code"].as_i64(), Some(42));
    project.write("Dockerfile", &good);
}

fn layers_come_from_the_store(project: &Project, driver: &str, fresh: &mut dyn FnMut()) {
    fresh();
    let (report, run) = project.build(&["app"]);
    run.succeeds();
    assert_eq!(report["result"], "cached", "{driver}: {}", run.all());
    assert!(cached(&report, "COPY --from=made") && cached(&report, "cat /a"));
    project.write("a.txt", "other\n");
    let (report, run) = project.build(&["app"]);
    run.succeeds();
    assert!(cached(&report, "COPY --from=made") && !cached(&report, "cat /a"), "{driver}: {report}");
    assert_eq!(report["cache"]["saved"], report["cache"]["key"], "{driver}: {}", run.all());
}

fn nothing_is_saved_where_that_is_asked_for(project: &Project) {
    let held = files(&project.store().join("layers"));
    project.write("a.txt", "third\n");
    let (report, run) = project.build(&["app", "--no-save"]);
    run.succeeds();
    assert_eq!((&report["result"], &report["cache"]["saved"]), (&"built".into(), &Value::Null));
    assert_eq!(files(&project.store().join("layers")), held);
}

#[test]
#[ignore = "needs an engine"]
fn the_engines_own_builder() {
    let project = project("driver-docker");
    // Of this engine there is one builder; that others hit the store is a test with a second daemon.
    suite(&project, "docker", &mut || {});
}

#[test]
#[ignore = "needs an engine"]
fn a_builder_in_a_container() {
    let project = project("driver-container");
    let image = buildkit::image(&project);
    let builder = Container::named(&project, "driver");
    let name = builder.name.as_str();
    project.run(&["builder", "up", name, "--image", &image]).succeeds();
    suite(&project, "docker-container", &mut || {
        project.run(&["builder", "down", name, "--purge", "--yes"]).succeeds();
        project.run(&["builder", "up", name, "--image", &image]).succeeds();
    });
}

/// The engine's BuildKit, older than 0.21, writes a cache as an OCI index, the other one as an OCI manifest. Each reads both.
#[test]
#[ignore = "needs an engine"]
fn old_and_new_buildkit_read_each_others_layers() {
    let remote = Remote::start();
    for (writer, reader, media_type) in
        [("default", "team", "image.index"), ("team", "default", "image.manifest")]
    {
        let project = project("driver-crossed");
        project.run(&["builder", "up", "team", "--endpoint", &remote.endpoint()]).succeeds();
        let (report, run) = project.build(&["app", "--builder", writer]);
        run.succeeds();
        assert_eq!(report["cache"]["saved"], report["cache"]["key"], "{}", run.all());
        let layers = files(&project.store().join("layers"));
        let (index, _) = layers.iter().find(|(path, _)| path.ends_with("index.json")).expect("an index");
        let index: Value = serde_json::from_slice(&fs::read(index).expect("read")).expect("JSON");
        let written = index["manifests"][0]["mediaType"].as_str().expect("a type");
        assert_eq!(written, format!("application/vnd.oci.{media_type}.v1+json"), "by {writer}");
        let (report, run) = project.build(&["app", "--builder", reader]);
        run.succeeds();
        assert_eq!(report["result"], "cached", "{writer} to {reader}: {}", run.all());
        project.run(&["builder", "down", "team"]).succeeds();
    }
}

#[test]
#[ignore = "needs an engine"]
fn a_buildkit_elsewhere() {
    let project = project("driver-remote");
    let mut remote = Remote::start();
    let up = |remote: &Remote| {
        project.run(&["builder", "up", "team", "--endpoint", &remote.endpoint()]).succeeds();
    };
    up(&remote);
    suite(&project, "remote", &mut || {
        remote = Remote::start();
        up(&remote);
    });
    project.run(&["builder", "down", "team"]).succeeds();
}
