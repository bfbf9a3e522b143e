//! The records of builds: small, without secrets, and complete however the build ended.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::common::{COMPOSE, Project, files, unique};
use serde_json::Value;

/// Returns a Dockerfile whose steps no other test shares.
fn project(name: &str, rest: &str) -> Project {
    let salt = unique("record");
    let dockerfile = format!(
        "ARG BASE_IMAGE=debian:13-slim\nFROM ${{BASE_IMAGE}}\nRUN echo {name} '{salt}' >/first\n{rest}\n"
    );
    let compose = COMPOSE.replace("durango-test/app", &format!("durango-test/{name}"));
    let project = Project::new(&[("compose.yaml", &compose), ("Dockerfile", &dockerfile), ("a.txt", "a\n")]);
    project.owns(&format!("durango-test/{name}"));
    project
}

fn json(project: &Project, args: &[&str]) -> Value {
    let run = project.run(args);
    run.succeeds();
    serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("one document: {}", run.all()))
}

/// Returns the files of the only build.
fn record(project: &Project) -> Vec<(PathBuf, u64)> {
    files(&project.store().join("builds"))
}

fn read(project: &Project, name: &str) -> String {
    let found = record(project).into_iter().find(|(path, _)| path.ends_with(name));
    found.and_then(|(path, _)| fs::read_to_string(path).ok()).unwrap_or_default()
}

#[test]
#[ignore = "needs an engine"]
fn steps_say_when_they_began_and_what_they_took() {
    let rest = "RUN sleep 1 && echo one $(date +%s%N) >/one\nFROM ${BASE_IMAGE} AS other\nRUN echo two >/two\n\
        FROM ${BASE_IMAGE}\nCOPY --from=0 /one /\nCOPY --from=other /two /\nRUN cat /one /two";
    let project = project("times", rest);
    let (report, run) = project.build(&["app", "--no-save"]);
    run.succeeds();
    let steps = report["steps"].as_array().expect("steps");
    let at = |text: &str| {
        steps
            .iter()
            .position(|step| step["instruction"].as_str().is_some_and(|i| i.contains(text)))
            .expect(text)
    };
    let needs = |text: &str| steps[at(text)]["needs"].clone();
    assert_eq!(needs("echo times"), Value::Null, "a FROM is gone through and is no step");
    assert_eq!(needs("echo one"), serde_json::json!([at("echo times")]));
    assert_eq!(needs("--from=0"), serde_json::json!([at("echo one")]));
    let both = needs("--from=other");
    assert!(
        both.as_array()
            .is_some_and(|all| all.contains(&at("echo two").into()) && all.contains(&at("--from=0").into()))
    );
    let started = |text: &str| steps[at(text)]["started"].as_f64().expect("it ran");
    assert!(started("echo one") < started("cat /one"));
    let shown = json(&project, &["report", "--json"]);
    let path: Vec<_> = shown["critical_path"]["steps"].as_array().expect("a path").clone();
    assert!(path.contains(&at("echo one").into()) && path.contains(&at("cat /one").into()), "{shown}");
    let (again, _) = project.build(&["app", "--no-save"]);
    assert_eq!(again["steps"][0]["started"], Value::Null, "what did not run began at no time");
    let text = project.run(&["report", "previous"]);
    assert!(text.stdout.contains("* is on the critical path"), "{}", text.all());
    let text = project.run(&["report"]);
    assert!(text.stdout.contains("the last one: built after"), "{}", text.all());
}

#[test]
#[ignore = "needs an engine"]
fn a_failed_build_is_reported_with_its_output() {
    let project = project("broken", "RUN for i in $(seq 1 3000); do echo line $i; done; exit 42");
    project.build(&["app"]).1.fails(3, &["full log: "]);
    let log = read(&project, "build.log");
    assert!(
        log.contains("] line 1\n") && log.contains("] line 3000\n") && log.contains("] line 1000\n"),
        "{log}"
    );
    let rows = json(&project, &["history", "--json"]);
    assert_eq!(
        (rows["builds"][0]["result"].as_str(), rows["trends"].as_array().map(Vec::len)),
        (Some("failed"), Some(0))
    );
    let text = project.run(&["report"]);
    assert!(text.stdout.contains("exit code 42") && text.stdout.contains("| line 3000"), "{}", text.all());
}

/// Starts a build and waits until its step has begun.
fn running(project: &Project) -> Child {
    let mut command = project.command(&["build", "app", "--file", "compose.yaml"]);
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary runs");
    let begun = Instant::now();
    while !read(project, "build.log").contains("] begun") {
        assert!(begun.elapsed() < Duration::from_secs(90), "the step does not begin");
        std::thread::sleep(Duration::from_millis(50));
    }
    child
}

#[test]
#[ignore = "needs an engine"]
fn a_stopped_build_leaves_a_record() {
    let project = project("stopped", "RUN echo begun; sleep 60");
    let mut child = running(&project);
    assert_eq!(json(&project, &["history", "--json"])["builds"][0]["result"], "running");
    project.run(&["report", "2"]).fails(1, &["is still running", "build.log"]);
    project.run(&["report"]).fails(2, &["no build is recorded"]);
    project.run(&["history", "rm", "2", "--yes"]).fails(1, &["is still running"]);
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("signaled");
    assert_eq!(child.wait().expect("ends").code(), Some(130));
    let report = json(&project, &["report", "--json"]);
    assert_eq!(report["result"], "interrupted");
    assert!(
        report["steps"].to_string().contains("echo begun")
            && report["steps"].to_string().contains("echo stopped")
    );
    assert!(report["seconds"].as_f64().is_some_and(|seconds| seconds > 0.0));
    assert_eq!(json(&project, &["history", "--json"])["builds"][0]["result"], "interrupted");
}

#[test]
#[ignore = "needs an engine"]
fn a_killed_build_is_reconstructed_from_its_log() {
    let project = project("killed", "RUN echo begun; sleep 15");
    let mut child = running(&project);
    child.kill().expect("killed");
    child.wait().expect("ends");
    let report = json(&project, &["report", "--json"]);
    assert_eq!(
        (report["result"].as_str(), report["targets"][0]["name"].as_str()),
        (Some("interrupted"), Some("app"))
    );
    assert!(report["steps"].to_string().contains("echo killed"), "{report}");
    assert!(
        report["warnings"].to_string().contains("running when it was killed: stage-0: RUN echo begun"),
        "{report}"
    );
    let row = &json(&project, &["history", "--json"])["builds"][0];
    assert_eq!((row["result"].as_str(), row["ran"].as_u64()), (Some("interrupted"), Some(1)));
    project.run(&["history", "rm", "latest", "--yes"]).succeeds();
    assert!(record(&project).is_empty());
}

#[test]
#[ignore = "needs an engine"]
fn no_secret_is_in_a_record() {
    let rest = "ARG DEPLOY_TOKEN\nRUN --mount=type=secret,id=file cat /run/secrets/file; echo $DEPLOY_TOKEN; \
        echo https://user:url-word@example.com/x\nRUN --mount=type=secret,id=env cat /run/secrets/env; exit 1";
    let project =
        project("secret", rest).env("FROM_ENV", "env-word").env("GOPROXY", "https://u:go-word@proxy.example");
    project.write("secret.txt", "file-word\n");
    let (report, run) = project.build(&[
        "app",
        "--build-arg",
        "DEPLOY_TOKEN=arg-word",
        "--secret",
        "id=file,src=secret.txt",
        "--secret",
        "id=env,env=FROM_ENV",
        "--progress",
        "plain",
    ]);
    assert_eq!((run.code, report["result"].as_str()), (3, Some("failed")), "{}", run.all());
    assert!(run.stderr.contains("| ***"), "the step did print it: {}", run.all());
    let held = record(&project);
    assert_eq!(held.len(), 5, "{held:?}");
    for (path, _) in held {
        let text = fs::read_to_string(&path).expect("read");
        for word in ["file-word", "env-word", "arg-word", "url-word", "go-word"] {
            assert!(!text.contains(word), "`{word}` is in {}: {text}", path.display());
        }
    }
    let shown = project.run(&["report", "--format", "html"]);
    assert!(!shown.stdout.contains("env-word") && shown.stdout.contains("***"), "{}", shown.all());
}

#[test]
#[ignore = "needs an engine"]
fn a_record_stays_small_whatever_a_build_prints() {
    // BuildKit drops lines that arrive too fast, so the last ones arrive a little later.
    let rest = "RUN seq -f 'first: %.0f' 100000; sleep 2; echo the end of it\n\
        RUN for i in $(seq 30); do printf \"WARNING: $i%060000d\\n\" 0; sleep 0.1; done\n\
        RUN seq -f 'then: %.0f' 100000; sleep 2; printf 'wide: %060000d\\n' 0 0 0; \
        echo the very end; exit 7";
    let project = project("chatty", rest);
    project.build(&["app", "--progress", "quiet"]).1.fails(3, &["exit code 7"]);
    let files = record(&project);
    let bytes: u64 = files.iter().map(|(_, size)| size).sum();
    assert!(bytes < 300_000, "{bytes}: {files:?}");
    let log = read(&project, "build.log");
    for line in ["first: 1\n", "lines skipped", "then: 1\n", "] the very end\n"] {
        assert!(log.contains(line), "{line}");
    }
}

#[test]
#[ignore = "needs an engine"]
fn the_summary_of_a_ci_stays_within_its_limit() {
    const LIMIT: usize = 1 << 20;
    let project = project("full-summary", &"RUN echo done\n".repeat(30));
    let summary = project.path("summary.md");
    let project = project.env("GITHUB_STEP_SUMMARY", &summary.display().to_string());
    for (left, said) in [(1000, ""), (10, "the job's summary is full")] {
        fs::write(&summary, ".\n".repeat((LIMIT - left) / 2)).expect("written");
        let (_, run) = project.build(&["app", "--no-save"]);
        run.succeeds();
        assert!(run.stderr.contains(said), "{}", run.all());
        let text = fs::read_to_string(&summary).expect("there");
        assert!(text.len() <= LIMIT, "{}", text.len());
        assert_eq!(text.ends_with("`.\n") && text.contains("The rest does not fit"), said.is_empty());
    }
}

#[test]
#[ignore = "needs an engine"]
fn the_summary_of_a_ci_gets_each_build() {
    let project = project("summary", "RUN echo done");
    let summary = project.path("summary.md");
    let project = project.env("GITHUB_STEP_SUMMARY", &summary.display().to_string());
    fs::write(&summary, "# before\n").expect("written");
    project.build(&["app", "--no-save"]).1.succeeds();
    project.build(&["app", "--no-save"]).1.succeeds();
    let text = fs::read_to_string(&summary).expect("there");
    assert!(text.starts_with("# before\n## ✓ app: built in "), "{text}");
    assert!(text.contains("## ✓ app: cached in ") && text.contains("### Steps that ran"), "{text}");
    let directory = project.path("home").display().to_string();
    let project = project.env("GITHUB_STEP_SUMMARY", &directory);
    let (_, run) = project.build(&["app", "--no-save"]);
    run.succeeds();
    assert!(run.stderr.contains("failed to write the job's summary"), "{}", run.all());
}
