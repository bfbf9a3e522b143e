//! The effects of a change: the key of the layers, the key of a CI cache, and the steps that run.

use std::fs;
use std::process::Command;

use crate::common::file_server::FileServer;
use crate::common::{COMPOSE, Project, unique};
use serde_json::Value;

/// Returns a project with two stages, an argument, a file that is copied, one that is not, and one
/// that `.dockerignore` excludes.
fn project(name: &str) -> Project {
    let salt = unique("keys");
    let dockerfile = format!(
        "ARG BASE_IMAGE\nFROM ${{BASE_IMAGE}} AS made\nRUN echo '{salt}' >/first\nARG LEVEL=1\nRUN echo $LEVEL >/level\n\
         FROM ${{BASE_IMAGE}}\nRUN echo '{salt}' >/first-too\nCOPY a.txt /a\nRUN cat /a >/b\nCOPY --from=made /level /level\n"
    );
    let compose = COMPOSE.replace("durango-test/app", &format!("durango-test/{name}"));
    Project::new(&[
        ("compose.yaml", &compose),
        ("Dockerfile", &dockerfile),
        (".dockerignore", "store\nhome\n*.log\n"),
        ("a.txt", "a\n"),
        ("b.txt", "b\n"),
        ("c.log", "c\n"),
    ])
}

/// Returns the key of a CI cache, and its prefixes.
fn ci_key(project: &Project, args: &[&str]) -> Vec<String> {
    let run = project.run(&[&["cache", "key", "app", "--file", "compose.yaml"], args].concat());
    run.succeeds();
    run.stdout.lines().map(str::to_owned).collect()
}

fn ran(report: &Value) -> String {
    let steps = report["steps"].as_array().expect("steps").iter();
    let ran = steps.filter(|step| step["cached"] == false).filter_map(|step| step["instruction"].as_str());
    let mut names: Vec<&str> = ran
        .map(|text| match text {
            text if text.contains(">/first") => "first",
            text if text.contains(">/level") => "level",
            text if text.contains("a.txt") => "copy",
            text if text.contains("cat /a") => "cat",
            text if text.contains("--from=made") => "from",
            other => other,
        })
        .collect();
    names.sort_unstable();
    names.dedup();
    names.join(" ")
}

fn edit(project: &Project, change: impl Fn(&str) -> String) {
    let text = fs::read_to_string(project.path("Dockerfile")).expect("a Dockerfile");
    project.write("Dockerfile", &change(&text));
}

#[test]
#[ignore = "needs an engine"]
fn a_modification_changes_only_its_keys_and_steps() {
    type Change = fn(&Project);
    // (name, change, options of the build, new layer key, new CI key, steps that run)
    type Row<'a> = (&'a str, Change, &'a [&'a str], bool, bool, &'a str);
    let table: &[Row<'_>] = &[
        ("nothing", |_| {}, &[], false, false, ""),
        ("a file that is copied", |p| p.write("a.txt", "other\n"), &[], false, true, "cat copy from"),
        ("a file that no step copies", |p| p.write("b.txt", "other\n"), &[], false, true, ""),
        ("a file that .dockerignore names", |p| p.write("c.log", "other\n"), &[], false, false, ""),
        ("an argument", |_| {}, &["--build-arg", "LEVEL=2"], false, true, "from level"),
        ("the argument taken back", |_| {}, &[], false, true, ""),
        ("a comment", |p| edit(p, |text| format!("{text}# c\n")), &[], true, true, ""),
        (
            "a step in the middle",
            |p| edit(p, |text| text.replace("cat /a >/b", "cat /a /a >/b")),
            &[],
            true,
            true,
            "cat from",
        ),
    ];
    let project = project("keys");
    let (first, run) = project.build(&["app"]);
    run.succeeds();
    assert_eq!(ran(&first), "cat copy first from level");
    let (mut key, mut ci) = (first["cache"]["key"].clone(), ci_key(&project, &[]));
    for (what, change, args, other_key, other_ci, steps) in table {
        change(&project);
        let (report, run) = project.build(&[&["app"], *args].concat());
        run.succeeds();
        let now = ci_key(&project, args);
        assert_eq!(report["cache"]["key"] != key, *other_key, "{what}: key of the layers");
        assert_eq!(now[0] != ci[0], *other_ci, "{what}: key for a CI: {now:?}");
        assert_eq!(now[1] != ci[1], *other_key, "{what}: its prefix goes with the Dockerfile: {now:?}");
        assert_eq!(now[2], ci[2], "{what}");
        assert!(now[0].starts_with(&now[1]) && now[1].starts_with(&now[2]), "{now:?}");
        assert_eq!(ran(&report), *steps, "{what}");
        (key, ci) = (report["cache"]["key"].clone(), now);
    }
}

/// An older builder compares the root below a secret by its content, a newer one by its steps.
#[test]
#[ignore = "needs an engine"]
fn a_step_with_a_secret_is_forecast_as_the_builder_decides() {
    let salt = unique("secret");
    let dockerfile = format!(
        "ARG BASE_IMAGE\nFROM ${{BASE_IMAGE}}\nRUN : '{salt}' first\n\
         RUN --mount=type=secret,id=none echo last >/last\n"
    );
    let project = Project::new(&[("compose.yaml", COMPOSE), ("Dockerfile", &dockerfile)]);
    let json = |word: &str| {
        let run = project.run(&[word, "app", "--file", "compose.yaml", "--no-save", "--json"]);
        run.succeeds();
        serde_json::from_str::<Value>(&run.stdout).expect("a document")
    };
    let last = |document: &Value| {
        let steps = document["steps"].as_array().expect("steps");
        let is_last = |step: &&Value| step["instruction"].as_str().is_some_and(|text| text.contains("/last"));
        steps.iter().find(is_last).expect("the step").clone()
    };
    json("build");
    edit(&project, |text| text.replace("first", "second"));
    let (plan, build) = (last(&json("plan")), last(&json("build")));
    let state = plan["forecast"]["state"].as_str().expect("a state");
    if build["cached"] == true {
        assert_eq!(state, "if-changed", "{plan}");
    } else {
        assert!(["runs", "if-changed"].contains(&state), "{plan}");
    }
}

/// A server is asked for the version of a file, so that a build of an `ADD` can be forecast.
#[test]
#[ignore = "needs an engine"]
fn a_file_on_a_server_is_forecast_by_its_version() {
    let server = FileServer::start();
    let (salt, url) = (unique("server"), format!("http://127.0.0.1:{}", server.port));
    for (path, has_etag) in [("etag", true), ("plain", false)] {
        let dockerfile = format!(
            "ARG BASE_IMAGE\nFROM ${{BASE_IMAGE}}\nRUN : {salt} {path}\nADD {url}/{path} /{path}\nRUN cat /{path}\n"
        );
        let project = Project::new(&[("compose.yaml", COMPOSE), ("Dockerfile", &dockerfile)]);
        server.set(path, has_etag, "first\n");
        let build = || {
            let (report, run) = project.build(&["app"]);
            run.succeeds();
            ran(&report)
        };
        let plan = || {
            let run = project.run(&["plan", "app", "--file", "compose.yaml", "--json"]);
            run.succeeds();
            let plan: Value = serde_json::from_str(&run.stdout).expect("a document");
            let steps = plan["steps"].as_array().expect("steps").clone();
            let states: Vec<String> = steps
                .iter()
                .map(|step| step["forecast"]["state"].as_str().expect("a state").to_owned())
                .collect();
            (states.join(" "), steps[1]["cause"]["detail"].as_str().unwrap_or_default().to_owned())
        };
        build();
        let unknown = format!("{url}/{path}: the server may send different content");
        let unknown = ("cached if-changed if-changed".to_owned(), unknown);
        // Without `curl` nobody is asked.
        if Command::new("curl").arg("--version").output().is_err() {
            assert_eq!(plan(), unknown, "{path}");
            continue;
        }
        assert_eq!(plan(), ("cached cached cached".into(), String::new()), "{path}");
        assert_eq!(build(), "", "{path}");
        server.set(path, has_etag, "second\n");
        let changed = format!("{url}/{path}: the server has another version");
        assert_eq!(plan(), ("cached if-changed if-changed".into(), changed), "{path}");
        assert_ne!(build(), "", "{path}");
        assert_eq!(plan().0, "cached cached cached", "{path}");
        server.set(path, has_etag, "first\n");
        assert_eq!(plan().0, "cached cached cached", "{path}: taken back");
        assert_eq!(build(), "", "{path}: taken back");
        server.remove(path);
        assert_eq!(plan(), unknown, "{path}: gone");
    }
}
