//! The forecast of `plan` and the reasons of `explain`: one file, one argument, another base image,
//! a line of the Dockerfile, a cleared builder, two causes at once. The test has an engine of its
//! own, whose builder it empties.

use crate::common::second_daemon::SecondDaemon;
use crate::common::{COMPOSE, Project, base_of};
use crate::interrupts::interrupt;
use rustix::process::Signal;
use serde_json::Value;

const DOCKERFILE: &str = "ARG BASE_IMAGE\nARG OTHER\nFROM ${BASE_IMAGE} AS made\nARG LEVEL=1\nCOPY src /src\nRUN cat /src/* >/made; echo $LEVEL >>/made\n\
    FROM ${OTHER}\nCOPY --from=made /made /made\nRUN wc /made >/count\n";

struct Engine {
    second: SecondDaemon,
    project: Project,
}

impl Engine {
    fn start() -> Self {
        let compose = COMPOSE.replace("durango-test/app", "durango-test/explained").replace(
            "BASE_IMAGE: debian:13-slim",
            "BASE_IMAGE: debian:13-slim\n        OTHER: durango-test/other:1",
        );
        let files = [
            ("compose.yaml", compose.as_str()),
            ("Dockerfile", DOCKERFILE),
            ("src/a.txt", "a\n"),
            ("src/b.txt", "b\n"),
        ];
        let project = Project::new(&files);
        let second = SecondDaemon::start();
        let base = base_of(&project);
        second.receive(&base);
        let project = project.env("DOCKER_HOST", &second.host());
        let engine = Self { second, project };
        engine.other_base(&base, "one");
        engine
    }

    fn other_base(&self, base: &str, words: &str) {
        self.project.write("other/Dockerfile", &format!("FROM {base}\nCOPY words /words\n"));
        self.project.write("other/words", words);
        let dir = self.project.path("other").display().to_string();
        let built = self.second.docker(&[
            "buildx",
            "build",
            "--provenance=false",
            "-t",
            "durango-test/other:1",
            &dir,
        ]);
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    }

    fn json(&self, args: &[&str]) -> Value {
        let run = self.project.run(args);
        run.succeeds();
        serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("one JSON document: {}", run.all()))
    }

    /// Forecasts, builds, and explains. Returns (kind, detail) of each step with a cause of its
    /// own, which all three must agree on, and the number of steps that followed.
    #[track_caller]
    fn causes(&self, args: &[&str]) -> (Vec<(String, String)>, usize) {
        let plan =
            self.json(&[&["plan", "app", "--json", "--no-save", "--file", "compose.yaml"], args].concat());
        let (report, run) = self.project.build(&[&["app", "--no-save"], args].concat());
        run.succeeds();
        let explained = self.json(&["explain", "--json"]);
        assert_eq!(explained["build"], report["build"]);
        let own = |document: &Value| {
            let steps = document["steps"].as_array().expect("steps").iter().map(|step| &step["cause"]);
            let text = |value: &Value| value.as_str().expect("a text").to_owned();
            let causes = steps.filter(|cause| cause.is_object() && cause["kind"] != "parent");
            let mut causes: Vec<_> =
                causes.map(|cause| (text(&cause["kind"]), text(&cause["detail"]))).collect();
            causes.sort();
            causes
        };
        assert_eq!(own(&plan), own(&explained), "{}", run.all());
        assert_eq!(own(&report), own(&explained), "{}", run.all());
        let follows =
            explained["steps"].as_array().expect("steps").iter().filter(|step| !step["follows"].is_null());
        (own(&explained), follows.count())
    }
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(kind, detail)| ((*kind).to_owned(), (*detail).to_owned())).collect()
}

#[test]
#[ignore = "needs an engine"]
fn reasons_are_forecast_and_reported() {
    let engine = Engine::start();
    let first = engine.causes(&[]);
    assert_eq!(first.0.len(), 4, "{first:?}");
    assert!(first.0.iter().all(|(kind, _)| kind == "new"), "{first:?}");
    assert_eq!(engine.causes(&[]), (vec![], 0), "nothing ran");

    engine.project.write("src/a.txt", "other\n");
    assert_eq!(engine.causes(&[]), (pairs(&[("file", "src/a.txt: content changed")]), 3));
    engine.project.write("src/a.txt", "a\n");
    assert_eq!(engine.causes(&[]), (vec![], 0), "taken back");

    assert_eq!(engine.causes(&["--build-arg", "LEVEL=2"]), (pairs(&[("arg", "LEVEL: `1` -> `2`")]), 2));
    assert_eq!(engine.causes(&[]), (vec![], 0));

    let base = base_of(&engine.project);
    engine.other_base(&base, "two");
    let (causes, follows) = engine.causes(&[]);
    assert_eq!((causes[0].0.as_str(), causes.len()), ("base", 1), "{causes:?}");
    assert!(causes[0].1.starts_with("the base image: `durango-test/other:1@"), "{causes:?}");
    assert_eq!(follows, 1);

    engine.project.write("Dockerfile", &DOCKERFILE.replace("wc /made", "wc -l /made"));
    let reason = pairs(&[("instruction", "its text: `wc /made >/count` -> `wc -l /made >/count`")]);
    assert_eq!(engine.causes(&[]), (reason, 0));

    engine.project.write("src/b.txt", "two\n");
    assert_eq!(
        engine.causes(&["--build-arg", "LEVEL=3"]).0,
        pairs(&[("arg", "LEVEL: `1` -> `3`"), ("file", "src/b.txt: content changed")])
    );

    let pruned = engine.second.docker(&["buildx", "prune", "--all", "--force"]);
    assert!(pruned.status.success());
    let (causes, _) = engine.causes(&["--build-arg", "LEVEL=3"]);
    assert!(!causes.is_empty() && causes.iter().all(|(kind, _)| kind == "dropped"), "{causes:?}");
}

#[test]
#[ignore = "needs an engine"]
fn explain_compares_any_two_builds() {
    let engine = Engine::start();
    let project = &engine.project;
    project.run(&["explain"]).fails(2, &["no build is recorded here"]);
    let ids: Vec<String> = ["a\n", "b\n", "c\n"]
        .iter()
        .map(|text| {
            project.write("src/a.txt", text);
            let (report, run) = project.build(&["app", "--no-save"]);
            run.succeeds();
            report["build"].as_str().expect("an id").to_owned()
        })
        .collect();
    let explained = engine.json(&["explain", &ids[1], "--json"]);
    assert_eq!(explained["against"], ids[0].as_str());
    let explained = engine.json(&["explain", &ids[2], "--against", &ids[0], "--json"]);
    assert_eq!(explained["against"], ids[0].as_str());
    assert_eq!(explained["steps"][0]["cause"]["detail"], "src/a.txt: content changed");
    project.run(&["explain", "19700101"]).fails(2, &["19700101"]);
    let text = project.run(&["explain"]);
    text.succeeds();
    for words in
        ["steps ran", "made: COPY src /src", "file: src/a.txt: content changed", "3 steps followed from it"]
    {
        assert!(text.stdout.contains(words), "`{words}`: {}", text.stdout);
    }
}

#[test]
#[ignore = "needs an engine"]
fn a_signal_ends_it_while_nobody_reads() {
    let project = Project::new(&[
        ("compose.yaml", COMPOSE),
        ("Dockerfile", "ARG BASE_IMAGE=debian:13-slim\nFROM ${BASE_IMAGE}\nRUN true\n"),
    ]);
    project.build(&["app", "--no-save"]).1.succeeds();
    interrupt(&project, &["explain"], Signal::INT);
    interrupt(&project, &["explain"], Signal::TERM);
}
