//! The selection of tests for each engine, and differences between engines.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use xtask::testing::engine::disk_usage::{self, Which};
use xtask::testing::engine::legs::{Leg, SAME_EVERYWHERE};
use xtask::testing::engine::{Driver, Engine, OLDEST_BUILDX};

use crate::common::buildkit::Remote;
use crate::common::second_daemon::SecondDaemon;
use crate::common::{COMPOSE, Project, base_of};

/// Every topic that needs an engine runs on each leg, or is known to be the same on all.
#[test]
fn no_topic_is_forgotten() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let mut topics = BTreeSet::new();
    for entry in walkdir::WalkDir::new(&dir).into_iter().flatten() {
        let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
        if text.contains(concat!("#[ignore = ", "\"needs an engine\"]")) {
            // A topic is a file, or a directory of files.
            let below = entry.path().strip_prefix(&dir).expect("below");
            let topic = Path::new(below.iter().next().expect("a name")).with_extension("");
            topics.insert(topic.to_string_lossy().into_owned());
        }
    }
    let current = Leg::Current.topics().expect("topics");
    let known = current.iter().chain(&SAME_EVERYWHERE).map(|topic| (*topic).to_owned()).collect();
    assert_eq!(topics, known, "see `engine/legs`");
    assert!(Leg::Newest.topics().expect("topics").iter().all(|topic| current.contains(topic)));
    assert_eq!(Leg::Floor.topics(), None);
}

/// Runs docker with the builders of a project and the engine of a test.
fn docker(project: &Project, second: &SecondDaemon, args: &[&str]) -> Output {
    let mut command = Command::new("docker");
    command.args(args).current_dir(project.path("")).stdin(Stdio::null()).env("HOME", project.path("home"));
    command.env("DOCKER_HOST", second.host()).env_remove("DOCKER_CONFIG").output().expect("docker runs")
}

fn engine(driver: Driver) -> Engine {
    Engine {
        daemon: String::new(),
        server: String::new(),
        buildx: OLDEST_BUILDX,
        builder: String::new(),
        driver,
        endpoint: String::new(),
        containerd_store: true,
        platform: "linux/amd64".into(),
        processors: 1,
        loopback: false,
        is_here: false,
        buildx_program: None,
    }
}

/// Writes an OCI layout of an image for `--build-context`, because this builder can't see the
/// daemon's images.
fn laid_out(project: &Project, second: &SecondDaemon, image: &str) -> String {
    let saved = docker(project, second, &["save", "-o", "base.tar", image]);
    assert!(saved.status.success(), "{}", String::from_utf8_lossy(&saved.stderr));
    std::fs::create_dir(project.path("base")).expect("made");
    let mut unpack = Command::new("tar");
    unpack.args(["-xf", "base.tar", "-C", "base"]).current_dir(project.path(""));
    assert!(unpack.status().expect("tar runs").success());
    let tag = image.rsplit_once(':').map_or("latest", |(_, tag)| tag);
    format!("{image}=oci-layout://{}:{tag}", project.path("base").display())
}

/// Two builds share a base image. The test removes a record of one build and repeats the other
/// build.
#[test]
#[ignore = "needs an engine"]
fn the_capability_says_what_is_forgotten_after_a_prune() {
    let remote = Remote::start();
    let project = Project::new(&[("compose.yaml", COMPOSE)]);
    let base = base_of(&project);
    let (second, project) = SecondDaemon::of(project);
    let layout = laid_out(&project, &second, &base);
    project.run(&["builder", "up", "team", "--endpoint", &remote.endpoint()]).succeeds();
    for (builder, driver) in [("default", Driver::Docker), ("team", Driver::Remote)] {
        for name in ["pruned", "other"] {
            let text = format!("FROM {base}\nRUN echo {name}-{builder} >/name\n");
            project.write(&format!("{name}/Dockerfile"), &text);
        }
        // The last step reads the only part of it that becomes a layer.
        let text = format!("FROM {base} AS base\nRUN echo below-{builder} >/name\nFROM scratch\n");
        project.write("scratch/Dockerfile", &(text + "COPY --from=base /name /name\n"));
        let cached = |name: &str| {
            let mut build = vec!["buildx", "--builder", builder, "build", "--progress", "plain", name];
            build.extend(["--output", "type=cacheonly"]);
            build.extend((driver != Driver::Docker).then_some(["--build-context", &layout]).iter().flatten());
            let output = docker(&project, &second, &build);
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{text}");
            let step =
                text.lines().find(|line| line.contains("] RUN echo ")).expect("the step").split(' ').next();
            text.contains(&format!("{} CACHED", step.expect("its number")))
        };
        assert!(!cached("pruned") && !cached("other") && cached("other"), "{builder}");
        assert!(!cached("scratch") && cached("scratch"), "{builder}");
        let sh = xshell::Shell::new().expect("a directory");
        sh.set_var("DOCKER_HOST", second.host());
        sh.set_var("DOCKER_CONFIG", project.path("home/.docker"));
        // The builder releases a record some time after the build that created it.
        let started = Instant::now();
        let held = || {
            let records = disk_usage::read(&sh, builder, Which::Results).expect("it is read");
            records.into_iter().find(|record| record.description.contains(&format!("pruned-{builder}")))
        };
        while let Some(record) = held() {
            assert!(started.elapsed() < Duration::from_secs(60), "{builder} keeps {record:?}");
            let filter = format!("id={}", record.id);
            docker(
                &project,
                &second,
                &["buildx", "--builder", builder, "prune", "--all", "--force", "--filter", &filter],
            );
        }
        let forgets = engine(driver).capabilities().forgets_results_after_prune;
        assert_eq!(!cached("other"), forgets, "{builder}");
        assert!(cached("scratch"), "{builder}");
    }
    project.run(&["builder", "down", "team"]).succeeds();
}

/// buildx adds provenance by default. With it the digest of a cached build changes every time.
#[test]
#[ignore = "needs an engine"]
fn no_attestation_is_made_that_nobody_asked_for() {
    let second = SecondDaemon::start();
    let compose = "services:\n  app:\n    image: durango-test/attested\n    build: {context: .}\n";
    let files = [("compose.yaml", compose), ("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n")];
    let project = Project::new(&files).env("DOCKER_HOST", &second.host());
    let media_type = || {
        let inspect = ["image", "inspect", "--format", "{{json .Descriptor}}", "durango-test/attested"];
        let output = docker(&project, &second, &inspect);
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let plain = docker(&project, &second, &["buildx", "bake", "-f", "compose.yaml"]);
    assert!(plain.status.success(), "{}", String::from_utf8_lossy(&plain.stderr));
    let attested = media_type();
    project.build(&["app"]).1.succeeds();
    let ours = media_type();
    // Docker before 28 doesn't list the contents of an image.
    assert!(attested.contains("image.index") || !attested.contains("mediaType"), "{attested}");
    assert!(!ours.contains("image.index"), "{ours}");
    let digest = || project.build(&["app"]).0["targets"][0]["digest"].clone();
    assert_eq!(digest(), digest());
}

/// bake asks about paths outside its directory since buildx 0.19, and refuses them without a
/// terminal since 0.20. xtask refuses them with every buildx, until the user allows them.
#[test]
#[ignore = "needs an engine"]
fn a_declaration_reads_outside_its_directory_only_if_it_may() {
    let compose = "services:\n  app:\n    image: durango-test/outside\n    build: {context: ../outside}\n";
    let project = Project::new(&[
        ("declared/compose.yaml", compose),
        ("outside/Dockerfile", "FROM scratch\nCOPY file /\n"),
        ("outside/file", "text"),
    ]);
    project.owns("durango-test/outside");
    let build = ["build", "app", "--file", "declared/compose.yaml"];
    let outside = format!("fs.read={}", project.path("outside").display());
    project.run(&build).fails(2, &["asks for more than its own directory", &format!("--allow {outside}")]);
    project.run(&[&build[..], &["--allow", &outside]].concat()).succeeds();
    let mut plain = Command::new("docker");
    plain.args(["buildx", "bake", "-f", "compose.yaml", "--set", "*.output=type=cacheonly"]);
    let plain =
        plain.current_dir(project.path("declared")).stdin(Stdio::null()).output().expect("docker runs");
    let words = String::from_utf8_lossy(&plain.stderr);
    assert!(plain.status.success() || words.contains("fs.read"), "{words}");
}
