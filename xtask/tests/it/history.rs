//! `history` on handmade records.

use std::fs;

use crate::common::outcome::{filled, outcome, put};
use crate::common::{Project, files};
use serde_json::Value;

fn json(project: &Project, args: &[&str]) -> Value {
    let run = project.run(args);
    run.succeeds();
    serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("one document: {}", run.all()))
}

#[test]
fn builds_are_listed_with_their_trend_and_looking_makes_nothing() {
    let empty = Project::new(&[]);
    let run = empty.run(&["history"]);
    run.succeeds();
    assert_eq!(run.stdout, "no build is recorded here\n");
    assert!(!empty.store().exists());
    let project = filled();
    let held = files(&project.store());
    let run = project.run(&["history"]);
    run.succeeds();
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert!(lines[0].starts_with("BUILD ") && lines[1].starts_with("20261110-101500-0a "), "{}", run.all());
    assert!(
        lines[1].contains("built") && lines[1].contains("8 min 40 s") && lines[1].contains("5/7"),
        "{}",
        run.all()
    );
    assert!(run.stdout.contains("frankenphp-base-builder  ▇▁▄▁▅▁▄▆  "), "{}", run.all());
    let list = json(&project, &["history", "--json"]);
    assert_eq!((list["schema"].as_u64(), list["builds"].as_array().map(Vec::len)), (Some(1), Some(8)));
    assert_eq!(list["builds"][7]["began"], "2026-11-17T10:15:00Z");
    assert_eq!(list["trends"][0]["seconds"].as_array().map(Vec::len), Some(8));
    assert_eq!(files(&project.store()), held);
}

#[test]
fn records_of_other_versions_are_listed_and_reported() {
    let project = Project::new(&[]);
    let mut newer = outcome("20261120-000000-1", "built", 3.0);
    newer["schema"] = 2.into();
    put(&project, "20261120-000000-1", &newer.to_string());
    put(&project, "20261121-000000-1", "{\"schema\": 1, \"build\": ");
    let older = r#"{"schema":1,"build":"20261122-000000-1","result":"built","seconds":9.0,
        "targets":[{"name":"app","image":null,"digest":null}],
        "steps":[{"target":"app","stage":"s","instruction":"RUN x","cached":false,"seconds":8.0,"cause":null}],
        "cache":{"key":null,"read":[],"saved":null,"save_seconds":0.0,"mounts":[]},"warnings":[]}"#;
    put(&project, "20261122-000000-1", older);
    fs::create_dir_all(project.store().join("builds/20261123-000000-1")).expect("made");
    fs::create_dir_all(project.store().join("builds/notes")).expect("made");
    let list = json(&project, &["history", "--json"]);
    let results: Vec<_> =
        list["builds"].as_array().expect("builds").iter().map(|row| row["result"].clone()).collect();
    assert_eq!(results, ["unreadable", "unreadable", "built", "interrupted"]);
    let run = project.run(&["history"]);
    assert!(run.stdout.contains("(a newer version wrote it (schema 2"), "{}", run.all());
    project
        .run(&["report", "20261120"])
        .fails(1, &["failed to read the outcome", "newer version", "build.log"]);
    project.run(&["report", "20261121"]).fails(1, &["failed to read the outcome", "JSON"]);
    for format in ["text", "json", "markdown", "html"] {
        project.run(&["report", "20261122", "--format", format]).succeeds();
        project.run(&["report", "20261123", "--format", format]).succeeds();
    }
}

#[test]
fn the_shown_records_are_the_removed_ones() {
    let project = filled();
    let ids = || fs::read_dir(project.store().join("builds")).expect("builds").count();
    project.run(&["history", "rm"]).fails(2, &["needs builds or --all"]);
    project.run(&["history", "rm", "latest"]).fails(2, &["--yes"]);
    project.run(&["history", "rm", "x", "--yes"]).fails(2, &["build `x` not found; the newest: "]);
    project.run(&["history", "rm", "20261", "--yes"]).fails(2, &["is the prefix of 8 builds"]);
    project.run(&["history", "rmm"]).fails(2, &["did you mean `rm`?"]);
    project.run(&["history", "--yes"]).fails(2, &["it is for: history rm"]);
    assert_eq!(ids(), 8);
    let shown = json(&project, &["history", "rm", "latest", "20261110", "--dry-run", "--json"]);
    assert_eq!((ids(), shown["dry_run"].as_bool()), (8, Some(true)));
    let done = json(&project, &["history", "rm", "latest", "20261110", "--yes", "--json"]);
    assert_eq!(shown["removals"], done["removals"]);
    assert_eq!(ids(), 6);
    let run = project.run(&["history", "rm", "--all", "--yes"]);
    run.succeeds();
    assert!(run.stdout.contains("6 would go") && run.stdout.ends_with("removed\n"), "{}", run.all());
    assert_eq!(ids(), 0);
    let run = project.run(&["history", "rm", "--all", "--yes"]);
    assert!(run.stdout.ends_with("nothing was removed\n"), "{}", run.all());
}
