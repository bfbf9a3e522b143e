//! Bundles between machines: what one engine exports, another imports and builds from without running a step.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;

use crate::common::second_daemon::SecondDaemon;
use crate::common::{COMPOSE, Project, cached, files};
use serde_json::Value;

fn project(name: &str) -> Project {
    let salt = format!("{}-{:?}", std::process::id(), std::time::SystemTime::now());
    let dockerfile = format!(
        "ARG BASE_IMAGE\nFROM ${{BASE_IMAGE}} AS made\nRUN --mount=type=cache,id=durango-test-{name},target=/c echo '{salt}' | tee /c/kept >/made\n\
         FROM ${{BASE_IMAGE}}\nCOPY --from=made /made /\n"
    );
    let compose = COMPOSE.replace("durango-test/app", &format!("durango-test/{name}"));
    Project::new(&[("compose.yaml", &compose), ("Dockerfile", &dockerfile)])
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| panic!("no JSON: {text}"))
}

#[test]
#[ignore = "needs an engine"]
fn a_bundle_makes_another_machine_as_warm_through_a_file_a_folder_and_a_pipe() {
    let project = project("bundle");
    let (report, run) = project.build(&["app"]);
    run.succeeds();
    assert_eq!(report["result"], "built", "{report}");
    let place = |name: &str| project.path(name).display().to_string();
    let export = |to: &str| {
        let run = project.run(&["cache", "export", "--json", "--to", to, "app", "--file", "compose.yaml"]);
        run.succeeds();
        json(&run.stdout)
    };
    let (tar, folder) = (place("bundle.tar"), place("bundle"));
    let exported = export(&tar);
    assert_eq!(exported["images"][0]["image"], "durango-test/bundle", "{exported}");
    assert_eq!(exported["mounts"][0]["id"], "durango-test-bundle", "{exported}");
    assert_eq!(exported["base"]["image"], "durango/debian:trixie", "{exported}");
    export(&folder);
    export(&folder);
    let piped = place("piped.tar");
    let mut command = project.command(&["cache", "export", "--to", "-", "app", "--file", "compose.yaml"]);
    let status = command.stdout(File::create(&piped).expect("a file")).status().expect("it runs");
    assert!(status.success());

    let second = SecondDaemon::start();
    let project = project.env("DOCKER_HOST", &second.host());
    for (name, from) in [("store-file", &tar), ("store-folder", &folder), ("store-pipe", &piped)] {
        let store = project.path(name).display().to_string();
        let by_pipe = name == "store-pipe";
        let mut command = project.command(&[
            "cache",
            "import",
            "--json",
            "--cache-dir",
            &store,
            "--from",
            if by_pipe { "-" } else { from },
        ]);
        if by_pipe {
            command.stdin(Stdio::from(File::open(from).expect("a file")));
        }
        let run = crate::common::Run::from(command.output().expect("it runs"));
        run.succeeds();
        let imported = json(&run.stdout);
        // The engine keeps the base image from the first import on.
        assert_eq!(imported["loaded"], name == "store-file", "{imported}");
        assert_eq!(left_over(Path::new(&store)), 0);
        let prune = second.docker(&["buildx", "prune", "--all", "--force"]);
        assert!(prune.status.success(), "only what is imported can hit");
        let (report, run) = project.build(&["app", "--cache-dir", &store]);
        run.succeeds();
        assert_eq!(report["result"], "cached", "{name}: {}", run.all());
        assert!(cached(&report, "COPY --from=made"));
        // What is there already is not taken twice.
        let again = project.run(&["cache", "import", "--json", "--cache-dir", &store, "--from", &tar]);
        again.succeeds();
        assert_eq!(json(&again.stdout)["kept"].as_array().map(Vec::len), Some(2), "{}", again.stdout);
    }
}

/// Files in the store's scratch space beside what it remembers.
fn left_over(store: &Path) -> usize {
    files(&store.join("tmp")).iter().filter(|(path, _)| !path.starts_with(store.join("tmp/facts"))).count()
}

#[test]
fn wrong_words_are_told_before_anything_is_done() {
    let project = Project::new(&[("foreign/file", "x"), ("foreign.tar", "not a tar"), ("empty.tar", "")]);
    let table: &[(&[&str], i32, &str)] = &[
        (&["export"], 2, "needs --to"),
        (&["import"], 2, "needs --from"),
        (&["export", "--to", "-", "--json"], 2, "both want stdout"),
        (&["export", "--to", "foreign"], 1, "is no bundle"),
        (&["export", "--to", "foreign.tar"], 1, "is no bundle"),
        (&["import", "--from", "nowhere"], 2, "there is no bundle"),
        (&["import", "--from", "foreign"], 1, "has no `bundle.json`"),
        (&["import", "--from", "foreign.tar"], 1, "it is no bundle"),
        (&["import", "--from", "empty.tar"], 1, "it is empty"),
        (&["import", "--from", "empty.tar", "x"], 2, "does not take the argument"),
    ];
    for (words, code, message) in table {
        let all: Vec<&str> = ["cache"].into_iter().chain(words.iter().copied()).collect();
        project.run(&all).fails(*code, &[message]);
    }
    assert_eq!(left_over(&project.store()), 0);
    assert!(!project.store().join("layers").exists() && !project.store().join("mounts").exists());
}
