//! The same builds with each driver: `docker`, `docker-container` and `remote`. The latter two have
//! a much newer BuildKit than the engine's.

use std::fs;
use std::process::Command;

use crate::common::buildkit::{self, Container, Remote};
use crate::common::second_daemon::SecondDaemon;
use crate::common::{COMPOSE, Project, cached, files, unique};
use serde_json::Value;
use xtask::testing::engine::Version;

/// Returns a project with two stages and a RUN that counts its runs in a cache mount. The RUN takes
/// some time, because a step that ends before the builder is asked doesn't need its mount.
fn project(name: &str) -> Project {
    let salt = unique("drivers");
    let id = format!("durango-test-{name}-{}", salt.replace(|c: char| !c.is_ascii_alphanumeric(), ""));
    let dockerfile = format!(
        "ARG BASE_IMAGE=debian:13-slim\nFROM ${{BASE_IMAGE}} AS made\nRUN echo '{salt}' >/made\nFROM ${{BASE_IMAGE}}\n\
         COPY --from=made /made /\nCOPY a.txt /a\n\
         RUN --mount=type=cache,id={id},target=/m,sharing=shared sleep 2; echo run >>/m/runs; wc -l </m/runs >/runs; cat /a >/b\n"
    );
    let compose = COMPOSE.replace("durango-test/app", &format!("durango-test/{name}"));
    Project::new(&[("compose.yaml", &compose), ("Dockerfile", &dockerfile), ("a.txt", "a\n")])
}

/// Returns a file of the image that a build loaded into the engine.
fn file(report: &Value, path: &str) -> String {
    let image = report["targets"][0]["image"].as_str().expect("a name");
    let output =
        Command::new("docker").args(["run", "--rm", image, "cat", path]).output().expect("docker runs");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The requirements for every driver. `fresh` switches to another, empty builder of the same
/// driver.
fn suite(project: &Project, driver: &str, fresh: &mut dyn FnMut()) {
    builds_hit_and_load(project, driver);
    failures_are_reported(project);
    layers_come_from_the_store(project, driver, fresh);
    nothing_is_saved_where_that_is_asked_for(project);
}

fn builds_hit_and_load(project: &Project, driver: &str) {
    let (first, run) = project.build(&["app"]);
    run.succeeds();
    assert_eq!((&first["result"], &first["warnings"]), (&"built".into(), &Value::Array(vec![])), "{driver}");
    assert_eq!(first["cache"]["saved"], first["cache"]["key"], "{driver}: {first}");
    assert_eq!(
        (file(&first, "/b"), file(&first, "/runs")),
        ("a".into(), "1".into()),
        "{driver}: it is in the engine"
    );
    assert!(first["cache"]["mounts"][0]["saved_bytes"].as_u64() > Some(0), "{driver}: {first}");
    let (second, run) = project.build(&["app"]);
    run.succeeds();
    assert_eq!(second["result"], "cached", "{driver}: {}", run.all());
    assert_eq!(second["targets"][0]["digest"], first["targets"][0]["digest"], "{driver}");
    assert!(second["targets"][0]["digest"].as_str().is_some_and(|digest| digest.starts_with("sha256:")));
    assert_eq!(second["cache"]["saved"], Value::Null, "{driver}: {second}");
    assert!(!run.stderr.contains("copying the base image"), "{driver}: once is enough: {}", run.all());
}

fn failures_are_reported(project: &Project) {
    let good = fs::read_to_string(project.path("Dockerfile")).expect("a Dockerfile");
    project.write("Dockerfile", &format!("{good}RUN echo words; exit 42\n"));
    let (report, run) = project.build(&["app", "--progress", "quiet"]);
    run.fails(3, &["exit code 42", "RUN echo words", "| words", "full log: "]);
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
    // The step ran in a new builder and continued with the mount's content from the other builder.
    assert_eq!(report["cache"]["mounts"][0]["restored"], driver != "docker", "{driver}: {report}");
    assert_eq!((file(&report, "/b"), file(&report, "/runs")), ("other".into(), "2".into()), "{driver}");
    assert_eq!(report["cache"]["saved"], report["cache"]["key"], "{driver}: {}", run.all());
}

fn nothing_is_saved_where_that_is_asked_for(project: &Project) {
    // The modification time of a file next to a generation is the time of its last read.
    let layers = || {
        let all = files(&project.store().join("layers"));
        all.into_iter().filter(|(path, _)| !path.ends_with("used")).collect::<Vec<_>>()
    };
    let held = layers();
    project.write("a.txt", "third\n");
    let (report, run) = project.build(&["app", "--no-save"]);
    run.succeeds();
    assert_eq!((&report["result"], &report["cache"]["saved"]), (&"built".into(), &Value::Null));
    assert_eq!(layers(), held);
}

#[test]
#[ignore = "needs an engine"]
fn the_engines_own_builder() {
    let project = project("driver-docker");
    // This engine has one builder only. A test with a second daemon covers hits in other builders.
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

/// BuildKit before 0.21 writes a cache as an OCI index, later versions as an OCI manifest. Each
/// reads both.
#[test]
#[ignore = "needs an engine"]
fn old_and_new_buildkit_read_each_others_layers() {
    let remote = Remote::start();
    let asked = Command::new("docker").args(["version", "--format", "{{.Server.Version}}"]).output();
    let server = String::from_utf8_lossy(&asked.expect("docker runs").stdout).into_owned();
    let is_old = Version::parse(&server).expect("a version") < Version(28, 2);
    let own = if is_old { "image.index" } else { "image.manifest" };
    for (writer, reader, media_type) in [("default", "team", own), ("team", "default", "image.manifest")] {
        let project = project("driver-crossed");
        project.run(&["builder", "up", "team", "--endpoint", &remote.endpoint()]).succeeds();
        let (report, run) = project.build(&["app", "--builder", writer]);
        run.succeeds();
        assert_eq!(report["cache"]["saved"], report["cache"]["key"], "{}", run.all());
        // Once, or twice if the engine lost the first result and the build was repeated.
        let runs = |report: &Value| file(report, "/runs").parse::<u32>().expect("a number");
        let written = runs(&report);
        assert!(written == 1 || run.stderr.contains("retrying"), "{written}: {}", run.all());
        let layers = files(&project.store().join("layers"));
        let (index, _) = layers.iter().find(|(path, _)| path.ends_with("index.json")).expect("an index");
        let index: Value = serde_json::from_slice(&fs::read(index).expect("read")).expect("JSON");
        let media = index["manifests"][0]["mediaType"].as_str().expect("a type");
        assert_eq!(media, format!("application/vnd.oci.{media_type}.v1+json"), "by {writer}");
        let (report, run) = project.build(&["app", "--builder", reader]);
        run.succeeds();
        let hits = ["echo '", "COPY --from=made", "COPY a.txt"];
        assert!(hits.iter().all(|step| cached(&report, step)), "{writer} to {reader}: {}", run.all());
        // The key of a RUN with a cache mount differs between these two versions. The mount's
        // content is there in both cases.
        assert_eq!(runs(&report), written + u32::from(!cached(&report, "wc -l")), "{writer} to {reader}");
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

/// buildx refuses to load a manifest list into the classic store before it builds anything.
#[test]
#[ignore = "needs an engine"]
fn several_platforms_stay_in_a_builder_whose_engine_cannot_hold_them() {
    let bake = r#"
target "several" {
  context = "."
  platforms = ["linux/amd64", "linux/arm64"]
  tags = ["durango-test/several"]
}
target "attested" {
  context = "."
  attest = ["type=provenance,mode=max"]
  tags = ["durango-test/attested"]
}
target "plain" {
  context = "."
  tags = ["durango-test/plain"]
}
"#;
    let remote = Remote::start();
    for (has_containerd_store, loaded) in [(false, [false, false, true]), (true, [true; 3])] {
        let files =
            [("docker-bake.hcl", bake), ("Dockerfile", "FROM scratch\nCOPY a.txt /a\n"), ("a.txt", "a\n")];
        let config = format!(r#"{{"features": {{"containerd-snapshotter": {has_containerd_store}}}}}"#);
        let second = SecondDaemon::start_with(&config);
        let project = Project::new(&files).env("DOCKER_HOST", &second.host());
        project.run(&["builder", "up", "team", "--endpoint", &remote.endpoint()]).succeeds();
        let all = ["several", "attested", "plain"];
        let run = project.run(&[&["build", "--json", "--file", "docker-bake.hcl"], &all[..]].concat());
        run.succeeds();
        let report: Value = serde_json::from_str(&run.stdout).expect("JSON");
        let warnings = report["warnings"].to_string();
        for (name, is_loaded) in all.into_iter().zip(loaded) {
            let image = second.docker(&["image", "inspect", &format!("durango-test/{name}")]);
            assert_eq!(image.status.success(), is_loaded, "{name}, {has_containerd_store}: {}", run.all());
            let is_warned =
                warnings.contains("stays in the builder") && warnings.contains(&format!("`{name}`"));
            assert_eq!(is_warned, !is_loaded, "{name}: {warnings}");
        }
        project.run(&["builder", "down", "team"]).succeeds();
    }
}
