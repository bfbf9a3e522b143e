//! A store on another engine, and the messages for an engine without the containerd image store.

use std::process::Command;

use crate::common::second_daemon::SecondDaemon;
use crate::common::{COMPOSE, Project, Run, base_of, cached, unique};
use serde_json::Value;

fn project(name: &str) -> Project {
    let salt = unique("second-machine");
    let dockerfile = format!(
        "ARG BASE_IMAGE=debian:13-slim\nFROM ${{BASE_IMAGE}} AS made\nRUN echo '{salt}' >/made\nFROM ${{BASE_IMAGE}}\nCOPY --from=made /made /\n"
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
    let (_second, project) = SecondDaemon::of(project);
    let (report, run) = project.build(&["app"]);
    run.succeeds();
    // A stage that only feeds another is in the store too, and no step of either runs.
    assert_eq!(report["result"], "cached", "{}", run.all());
    assert!(cached(&report, "COPY --from=made"));
}

/// BuildKit does not read layers that no step of a build needs, and does not export them either.
#[test]
#[ignore = "needs an engine"]
fn a_save_after_a_restore_keeps_layers_that_nothing_read() {
    let project = project("kept");
    let salt = unique("kept");
    let dockerfile = |more: &str| {
        format!(
            "ARG BASE_IMAGE=debian:13-slim\nFROM ${{BASE_IMAGE}} AS source\nRUN echo '{salt}' >/source\n\
             FROM ${{BASE_IMAGE}} AS made\nRUN --mount=from=source,target=/from cat /from/source >/made{more}\n\
             FROM ${{BASE_IMAGE}}\nCOPY page /\nCOPY --from=made /made /made\n"
        )
    };
    project.write("Dockerfile", &dockerfile(""));
    project.write("page", "1");
    project.build(&["app"]).1.succeeds();
    // On the second machine only the page changes, which needs no layer of `source`.
    let (_second, project) = SecondDaemon::of(project);
    project.write("page", "2");
    let (report, run) = project.build(&["app"]);
    run.succeeds();
    assert!(report["cache"]["saved"].is_string() && cached(&report, "RUN echo"), "{}", run.all());
    // On the third one `made` changes. Of another Dockerfile, the newest result alone is read.
    let (_third, project) = SecondDaemon::of(project);
    project.write("Dockerfile", &dockerfile("; echo more >>/made"));
    let (report, run) = project.build(&["app"]);
    run.succeeds();
    assert!(cached(&report, "RUN echo"), "{}", run.all());
    assert!(!cached(&report, "RUN --mount=from=source"), "{}", run.all());
}

/// When one record of BuildKit 0.13 is pruned, it forgets every result. So saving and restoring
/// mounts must remove nothing from the builder. The test has an engine of its own, because other
/// tests prune.
#[test]
#[ignore = "needs an engine"]
fn a_builder_knows_its_layers_after_a_large_mount_was_saved() {
    let project = project("remembered");
    let dockerfile = std::fs::read_to_string(project.path("Dockerfile")).expect("a Dockerfile");
    let step = "RUN --mount=type=cache,id=durango-test-remembered,target=/m sleep 2; head -c 80000000 /dev/urandom >/m/large\n";
    project.write("Dockerfile", &(dockerfile + step));
    let (_second, project) = SecondDaemon::of(project);
    let (report, run) = project.build(&["app"]);
    run.succeeds();
    assert!(report["cache"]["mounts"][0]["saved_bytes"].as_u64() > Some(64 << 20), "{report}");
    // The new store is empty, so the result can only come from the builder.
    let other = project.path("other").display().to_string();
    let (report, run) = project.build(&["app", "--no-save", "--cache-dir", &other]);
    run.succeeds();
    assert_eq!(report["result"], "cached", "{}", run.all());
}

/// A store that only builds without an image filled has zstd layers. The image works anyway, for
/// every use.
#[test]
#[ignore = "needs an engine"]
fn an_image_with_layers_from_a_store_works_for_every_use() {
    let project = project("zstd");
    let (report, run) = project.build(&["app", "--set", "app.output=type=cacheonly"]);
    run.succeeds();
    assert!(report["cache"]["saved"].is_string(), "{report}");
    let (second, project) = SecondDaemon::of(project);
    let (report, run) = project.build(&["app"]);
    run.succeeds();
    assert_eq!(report["result"], "cached", "{}", run.all());
    let docker = |args: &[&str]| {
        let run = Run::from(second.docker(args));
        run.succeeds();
        run.stdout
    };
    let (image, tar) = ("durango-test/zstd", second.path("saved.tar").display().to_string());
    docker(&["image", "save", "-o", &tar, image]);
    assert!(media_types(&tar).iter().any(|media| media.ends_with("tar+zstd")), "{:?}", media_types(&tar));
    let made = docker(&["run", "--name", "used", image, "cat", "/made"]);
    docker(&["commit", "used", "durango-test/zstd:committed"]);
    assert_eq!(docker(&["run", "--rm", "durango-test/zstd:committed", "cat", "/made"]), made);
    docker(&["rm", "used"]);
    docker(&["image", "rm", "--force", image, "durango-test/zstd:committed"]);
    docker(&["image", "load", "-i", &tar]);
    assert_eq!(docker(&["run", "--rm", image, "cat", "/made"]), made);
    // An unchanged build makes the same image again.
    assert_eq!(project.build(&["app"]).0["targets"][0]["digest"], report["targets"][0]["digest"]);
    project.write("Dockerfile", "FROM durango-test/zstd\nRUN cat /made >/more\n");
    let context = project.path("").display().to_string();
    docker(&["buildx", "build", "--tag", "durango-test/derived", &context]);
    assert_eq!(docker(&["run", "--rm", "durango-test/derived", "cat", "/more"]), made);
}

/// Returns the media types of an image's layers from the archive of `docker save`.
fn media_types(archive: &str) -> Vec<String> {
    let read = |name: &str| -> Value {
        let output = Command::new("tar").args(["-xOf", archive, name]).output().expect("tar runs");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no JSON in {name}"))
    };
    let digest = read("index.json")["manifests"][0]["digest"].as_str().expect("a digest").replace(':', "/");
    let manifest = read(&format!("blobs/{digest}"));
    let layers = manifest["layers"].as_array().expect("layers");
    layers.iter().filter_map(|layer| Some(layer["mediaType"].as_str()?.to_owned())).collect()
}

#[test]
#[ignore = "needs an engine"]
fn an_engine_with_the_classic_store_builds_and_names_its_limits() {
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
