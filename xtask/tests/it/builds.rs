//! Builds of small images on the real engine.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::common::{COMPOSE, Project, cached, files, unique};

/// Returns a Dockerfile whose steps no other test shares. All tests share the engine's build cache.
fn dockerfile(name: &str, rest: &str) -> String {
    let salt = unique("builds");
    format!("ARG BASE_IMAGE=debian:13-slim\nFROM ${{BASE_IMAGE}}\nRUN echo {name} '{salt}' >/first\n{rest}\n")
}

fn project(name: &str, rest: &str) -> Project {
    let compose = COMPOSE.replace("durango-test/app", &format!("durango-test/{name}"));
    Project::new(&[("compose.yaml", &compose), ("Dockerfile", &dockerfile(name, rest)), ("a.txt", "a\n")])
}

#[test]
#[ignore = "needs an engine"]
fn a_second_build_is_cached_and_saves_nothing() {
    let project = project("twice", "COPY a.txt /a\nRUN cat /a >/b");
    let (first, run) = project.build(&["app"]);
    run.succeeds();
    assert_eq!(first["result"], "built");
    assert_eq!(first["cache"]["saved"], first["cache"]["key"], "{first}");
    assert!(!cached(&first, "cat /a"));
    let held = files(&project.store().join("layers"));
    let (second, run) = project.build(&["app"]);
    run.succeeds();
    assert_eq!(second["result"], "cached");
    assert_eq!(second["cache"]["saved"], serde_json::Value::Null);
    assert_eq!(second["targets"][0]["digest"], first["targets"][0]["digest"]);
    assert!(second["targets"][0]["digest"].as_str().is_some_and(|digest| digest.starts_with("sha256:")));
    assert_eq!(files(&project.store().join("layers")), held);
    let left: Vec<_> = fs::read_dir(project.store().join("tmp")).expect("tmp").flatten().collect();
    assert_eq!(left.len(), 1, "only remembered facts stay: {left:?}");
}

#[test]
#[ignore = "needs an engine"]
fn an_edit_runs_what_depends_on_it_and_reads_the_generation_before() {
    let project = project("edit", "COPY a.txt /a\nRUN cat /a >/b");
    project.build(&["app"]).1.succeeds();
    project.write("a.txt", "other\n");
    let (report, _) = project.build(&["app"]);
    assert!(cached(&report, "echo edit") && !cached(&report, "cat /a"));
    let before = files(&project.store().join("layers")).iter().map(|(_, size)| size).sum::<u64>();
    let text = fs::read_to_string(project.path("Dockerfile")).expect("a Dockerfile");
    project.write("Dockerfile", &format!("{text}# a comment\n"));
    let (report, _) = project.build(&["app"]);
    assert_eq!(report["result"], "cached");
    assert_eq!(report["cache"]["read"].as_array().map(Vec::len), Some(1), "the one before: {report}");
    assert_eq!(report["cache"]["saved"], report["cache"]["key"], "another key, so it is saved: {report}");
    let blobs = |files: Vec<(std::path::PathBuf, u64)>| {
        let inodes = files.iter().filter_map(|(path, size)| {
            Some((std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).ok()?), *size))
        });
        inodes.collect::<std::collections::BTreeMap<_, _>>().values().sum::<u64>()
    };
    let after = blobs(files(&project.store().join("layers")));
    assert!(after < before + before / 10, "two generations share their blobs: {before} -> {after}");
}

#[test]
#[ignore = "needs an engine"]
fn a_failing_step_is_reported_with_its_line_code_and_log() {
    let project = project("failing", "RUN for i in $(seq 1 40); do echo line $i; done; exit 42");
    let (report, run) = project.build(&["app", "--progress", "quiet"]);
    run.fails(3, &["exit code 42", "RUN for i in", "| line 40", "| line 11", "full log: "]);
    assert!(!run.stderr.contains("| line 10\n"), "30 lines: {}", run.all());
    assert_eq!(
        (report["result"].as_str(), report["failure"]["exit_code"].as_i64()),
        (Some("failed"), Some(42))
    );
    let log = fs::read_to_string(report["failure"]["log"].as_str().expect("a path")).expect("a log");
    assert!(log.contains("line 1\n") && log.contains("line 40\n"));
    assert!(!project.store().join("layers").exists(), "a failed build saves nothing");
}

#[test]
#[ignore = "needs an engine"]
fn known_causes_get_advice() {
    let full = project(
        "full",
        "RUN --mount=type=tmpfs,target=/t,size=1048576 dd if=/dev/zero of=/t/x bs=1M count=4",
    );
    full.build(&["app"]).1.fails(3, &["free some space"]);
    let broken = Project::new(&[("compose.yaml", COMPOSE), ("Dockerfile", "FROM scratch\nRUNN x\n")]);
    broken.build(&["app"]).1.fails(3, &["unknown instruction: RUNN", "correct the Dockerfile"]);
    let missing = Project::new(&[("compose.yaml", COMPOSE)]);
    missing.build(&["app"]).1.fails(3, &["the Dockerfile does not exist"]);
}

#[test]
#[ignore = "needs an engine"]
fn an_unreadable_declaration_is_an_error() {
    let table = [
        ("services: [", "is not valid YAML"),
        ("services:\n  db:\n    image: postgres\n", "declares no target"),
        // Compose before 2.30 names the unknown field. Later versions name what the service lacks.
        ("services:\n  app:\n    bild: .\n", "app"),
    ];
    for (text, word) in table {
        Project::new(&[("compose.yaml", text)]).build(&["app"]).1.fails(2, &["compose.yaml", word]);
    }
    let unknown = Project::new(&[("compose.yaml", COMPOSE)]);
    unknown.build(&["ap"]).1.fails(2, &["unknown target `ap`", "did you mean `app`"]);
    unknown.build(&["app", "--builder", "nobody"]).1.fails(2, &["builder `nobody` not found"]);
}

#[test]
#[ignore = "needs an engine"]
fn the_builder_of_the_environment_is_used() {
    let project = Project::new(&[("compose.yaml", COMPOSE)]).env("BUILDX_BUILDER", "nobody");
    project.build(&["app"]).1.fails(2, &["builder `nobody` not found"]);
    // The option takes precedence over the environment variable.
    let plan = project.run(&["plan", "app", "--file", "compose.yaml", "--builder", "default"]);
    plan.succeeds();
    assert!(plan.stdout.contains("--builder default bake"), "{}", plan.all());
}

#[test]
#[ignore = "needs an engine"]
fn options_reach_the_build() {
    let project = project(
        "options",
        "ARG WORD=none\nRUN echo $WORD >/word\nRUN --mount=type=secret,id=s cat /run/secrets/s >/secret",
    );
    project.write("secret.txt", "hidden");
    let (report, run) = project.build(&[
        "app",
        "--no-save",
        "--build-arg",
        "WORD=given",
        "--secret",
        "id=s,src=secret.txt",
        "--output",
        "type=local,dest=out",
    ]);
    run.succeeds();
    assert_eq!(report["cache"]["saved"], serde_json::Value::Null);
    assert_eq!(fs::read_to_string(project.path("out/word")).expect("a file"), "given\n");
    assert_eq!(fs::read_to_string(project.path("out/secret")).expect("a file"), "hidden");
    assert!(!project.store().join("layers").exists());
    let (report, run) = project.build(&[
        "app",
        "--tag",
        "durango-test/tagged",
        "--no-save",
        "--secret",
        "id=s,src=secret.txt",
    ]);
    run.succeeds();
    assert_eq!(report["targets"][0]["image"], "durango-test/tagged");
}

#[test]
#[ignore = "needs an engine"]
fn host_settings_are_in_no_key() {
    let mount = "RUN --mount=type=secret,id=ca --mount=type=secret,id=goenv wc -c /run/secrets/* >/seen";
    let compose = COMPOSE.replace("durango-test/app", "durango-test/secrets")
        + "      secrets: [ca, goenv]\nsecrets:\n  ca: {file: \"${DURANGO_CA_BUNDLE:-/dev/null}\"}\n  goenv: {environment: DURANGO_GOENV}\n";
    let project = Project::new(&[
        ("compose.yaml", &compose),
        ("Dockerfile", &dockerfile("secrets", mount)),
        ("ca.pem", "one"),
    ]);
    assert_eq!(project.build(&["app"]).0["result"], "built");
    let bundle = project.path("ca.pem").display().to_string();
    let project = project.env("SSL_CERT_FILE", &bundle).env("GOPROXY", "https://user:word@proxy.example");
    let (report, run) = project.build(&["app"]);
    assert_eq!(report["result"], "cached", "{}", run.all());
    let (_, run) = project.build(&["app", "-v"]);
    assert!(!run.stderr.contains("user:word"), "{}", run.all());
    for (path, _) in files(&project.store()) {
        assert!(
            !String::from_utf8_lossy(&fs::read(&path).expect("read")).contains("user:word"),
            "{}",
            path.display()
        );
    }
}

#[test]
#[ignore = "needs an engine"]
fn a_damaged_generation_costs_a_warning() {
    let project = project("damaged", "RUN echo more >/more");
    project.build(&["app"]).1.succeeds();
    let layers = files(&project.store().join("layers"));
    let (index, _) = layers.iter().find(|(path, _)| path.ends_with("index.json")).expect("an index");
    fs::write(index, "{\"manifests\": [").expect("cut");
    let (report, run) = project.build(&["app"]);
    run.succeeds();
    assert!(
        report["warnings"][0].as_str().is_some_and(|text| text.contains("skipped the cache")),
        "{report}"
    );
    assert_eq!(report["cache"]["saved"], report["cache"]["key"], "it is replaced: {report}");
    assert_eq!(project.build(&["app"]).0["warnings"].as_array().map(Vec::len), Some(0));
    // A store of a newer xtask stays as it is.
    fs::write(project.store().join("VERSION"), "99").expect("written");
    let (report, run) = project.build(&["app"]);
    run.succeeds();
    assert!(report["warnings"].to_string().contains("format 99"), "{report}");
    assert_eq!(fs::read_to_string(project.store().join("VERSION")).expect("there"), "99");
}

#[test]
#[ignore = "needs an engine"]
fn ctrl_c_stops_the_build() {
    let project = project("interrupted", "RUN echo begun; sleep 3600");
    let mut child = project
        .command(&["build", "app", "--file", "compose.yaml"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let begun = Instant::now();
    let log =
        || files(&project.store().join("builds")).into_iter().find(|(path, _)| path.ends_with("build.log"));
    while !log().is_some_and(|(path, _)| fs::read_to_string(path).is_ok_and(|text| text.contains("] begun")))
    {
        assert!(begun.elapsed() < Duration::from_secs(90), "the step does not begin");
        std::thread::sleep(Duration::from_millis(50));
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("sent");
    // Without the signal, the build would wait an hour for the step.
    let status = child.wait().expect("ends");
    assert_eq!(status.code(), Some(130));
    let left: Vec<_> = fs::read_dir(project.store().join("tmp")).expect("tmp").flatten().collect();
    assert!(left.iter().all(|entry| entry.file_name() == "facts"), "leftovers: {left:?}");
}

#[test]
#[ignore = "needs an engine"]
fn a_dry_run_prints_what_a_run_executes_and_does_nothing() {
    let project = project("dry", "RUN true");
    let run = project.run(&["build", "app", "--file", "compose.yaml", "--dry-run"]);
    run.succeeds();
    assert!(run.stdout.contains("docker buildx --builder default bake"), "{}", run.all());
    assert!(run.stdout.contains("cache-to=type=local"), "{}", run.all());
    assert!(!project.store().join("builds").exists() && !project.store().join("layers").exists());
    let json = project.run(&["plan", "app", "--file", "compose.yaml", "--json"]);
    let plan: serde_json::Value = serde_json::from_str(&json.stdout).expect("one document");
    assert_eq!(plan["targets"][0]["name"], "app");
    assert!(plan["bake"]["argv"].as_array().is_some_and(|argv| argv.iter().any(|arg| arg == "bake")));
    let program = plan["bake"]["buildx_program"].as_str();
    assert!(program.is_some_and(|program| program.ends_with("/docker-buildx")), "{program:?}");
}

#[test]
#[ignore = "needs an engine"]
fn memory_stays_small_whatever_a_step_prints() {
    let noisy = "ENV BUILDKIT_STEP_LOG_MAX_SIZE=-1\nRUN head -c 60000000 /dev/zero | tr '\\0' 'x' | fold -w 200; sleep 2";
    let project = project("noisy", noisy);
    project.owns("durango-test/noisy");
    let mut child = project
        .command(&["build", "app", "--file", "compose.yaml", "--no-save", "--progress", "quiet"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary runs");
    let mut peak = 0;
    while child.try_wait().expect("asked").is_none() {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let high = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = high.and_then(|text| text.trim().trim_end_matches(" kB").parse::<u64>().ok());
        peak = peak.max(kib.unwrap_or(0));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(peak > 0 && peak < 100 * 1024, "peak {peak} KiB");
}

#[test]
#[ignore = "needs an engine"]
fn services_of_one_dockerfile_have_the_same_steps_in_plan_and_build() {
    let service = |name: &str| format!("  {name}: {{build: {{context: app, target: {name}}}}}\n");
    let compose = format!("services:\n{}{}", service("web"), service("worker"));
    let salt = unique("twins");
    let stage = |name: &str| format!("FROM scratch AS {name}\nWORKDIR /{salt}\nCOPY f /f\n");
    let dockerfile = [&stage("web"), &stage("worker"), "COPY f /last\n"].concat();
    let files = [("compose.yaml", &*compose), ("app/Dockerfile", &dockerfile), ("app/f", "one\n")];
    let project = Project::new(&files);
    let names = |json: &serde_json::Value| {
        let steps = json["steps"].as_array().expect("steps").iter();
        let name = |step: &serde_json::Value| {
            ["target", "stage", "instruction"].map(|part| step[part].as_str().expect("a name").to_owned())
        };
        steps.map(name).collect::<std::collections::BTreeSet<_>>()
    };
    let run = project.run(&["plan", "web", "worker", "--json", "--file", "compose.yaml"]);
    run.succeeds();
    let planned = names(&serde_json::from_str(&run.stdout).expect("one JSON document"));
    let (report, run) = project.build(&["web", "worker", "--no-save"]);
    run.succeeds();
    assert_eq!(names(&report), planned);
}
