//! The store end to end: it is listed, checked, limited, cleared, and given invalid input.

mod damage;

use std::fs;
use std::path::PathBuf;

use crate::common::{Project, Run, files, unique};
use serde_json::Value;

const COMPOSE: &str = "
services:
  app:
    image: durango-test/store
    build: {context: .}
";

fn json(run: &Run) -> Value {
    serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("one document: {}", run.all()))
}

/// Returns a project with a store that needs no engine: one valid handmade generation, and records
/// of two builds.
fn by_hand() -> (Project, PathBuf) {
    let project = Project::new(&[]);
    let key = "a".repeat(64);
    let dir = project.store().join("layers/durango-test_hand").join(&key).join("1");
    let config = b"{}";
    let digest = |bytes: &[u8]| {
        use sha2::Digest;
        format!("{:x}", sha2::Sha256::digest(bytes))
    };
    let manifest = serde_json::json!({"manifests": [{"digest": format!("sha256:{}", digest(config)), "size": config.len(),
        "mediaType": "application/vnd.buildkit.cacheconfig.v0"}]})
    .to_string();
    let index = serde_json::json!({"schemaVersion": 2, "manifests": [{"digest": format!("sha256:{}", digest(manifest.as_bytes())),
        "size": manifest.len(), "mediaType": "application/vnd.oci.image.index.v1+json", "annotations": {"org.opencontainers.image.ref.name": "latest"}}]});
    let entry = serde_json::json!({"format": 2, "image": "durango-test/hand", "platform": "linux/amd64", "key": key,
        "digest": format!("sha256:{}", "0".repeat(64)), "saved": "2026-01-01T00:00:00Z", "bytes": 2});
    fs::create_dir_all(dir.join("blobs/sha256")).expect("made");
    fs::write(dir.join("blobs/sha256").join(digest(config)), config).expect("written");
    fs::write(dir.join("blobs/sha256").join(digest(manifest.as_bytes())), &manifest).expect("written");
    fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("written");
    fs::write(dir.join("index.json"), index.to_string()).expect("written");
    fs::write(dir.join("entry.json"), entry.to_string()).expect("written");
    fs::write(project.store().join("VERSION"), "2").expect("written");
    for build in ["20260101-000000-1", "20260101-000001-1"] {
        fs::create_dir_all(project.store().join("builds").join(build)).expect("made");
        fs::write(project.store().join("builds").join(build).join("outcome.json"), "{}").expect("written");
    }
    (project, dir)
}

#[test]
fn ls_names_what_is_there() {
    let (project, _) = by_hand();
    let run = project.run(&["cache", "ls"]);
    run.succeeds();
    for word in ["durango-test/hand", "aaaaaaaaaaaa", "linux/amd64", " 000000000000"] {
        assert!(run.stdout.contains(word), "`{word}`: {}", run.all());
    }
    let list = json(&project.run(&["cache", "ls", "--json"]));
    assert_eq!((list["schema"].as_u64(), list["entries"][0]["kind"].as_str()), (Some(1), Some("layers")));
    let empty = Project::new(&[]);
    let run = empty.run(&["cache", "ls", "--json"]);
    assert_eq!(json(&run)["entries"], serde_json::json!([]), "{}", run.all());
    assert!(!empty.store().exists(), "looking makes nothing");
}

#[test]
fn gc_lists_entries_and_removes_only_these() {
    let (project, dir) = by_hand();
    let dead = project.store().join("tmp/20260101-000000-7fffffff");
    fs::create_dir_all(&dead).expect("made");
    fs::write(dead.join("left"), "over").expect("written");
    crate::common::make_old(&dead);
    let keeps = project.store().join("tmp/not-ours");
    fs::create_dir_all(&keeps).expect("made");
    let shown = json(&project.run(&["cache", "gc", "--dry-run", "--json"]));
    let paths = |document: &Value| {
        let removals = document["removals"].as_array().expect("a list").clone();
        removals
            .iter()
            .map(|removal| removal["path"].as_str().expect("a path").to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(paths(&shown), [dead.display().to_string()], "only what nothing names");
    assert!(dead.exists());
    let shown = paths(&json(&project.run(&["cache", "gc", "--budget", "1", "--dry-run", "--json"])));
    assert_eq!(shown.len(), 4, "{shown:?}");
    let before: Vec<PathBuf> = shown.iter().map(PathBuf::from).filter(|path| path.exists()).collect();
    assert_eq!(before.len(), 4);
    let done = paths(&json(&project.run(&["cache", "gc", "--budget", "1", "--json"])));
    assert_eq!(done, shown, "the same list");
    assert!(before.iter().all(|path| !path.exists()) && !dir.exists());
    assert!(keeps.exists(), "what is not ours stays, whatever the budget");
}

#[test]
fn wrong_arguments_are_errors() {
    let (project, dir) = by_hand();
    let table: &[(&[&str], &str)] = &[
        (&["cache", "gc", "--budget", "much"], "`--budget` is `much`"),
        (&["cache", "gc", "--older-than", "x"], "`--older-than x` is not a number"),
        (&["cache", "clear", "layer"], "did you mean `layers`?"),
        (&["cache", "clear", "layers"], "add --yes"),
        (&["cache", "clear", "--yes"], "`cache clear` needs KIND"),
        (&["cache", "lss"], "did you mean `ls`?"),
        (&["cache", "ls", "--budget", "1"], "`cache ls` does not take `--budget`"),
    ];
    for (args, words) in table {
        project.run(args).fails(2, &[words]);
    }
    assert!(dir.exists());
}

#[test]
fn clear_removes_the_named_kinds() {
    let (project, dir) = by_hand();
    let shown = project.run(&["cache", "clear", "builds", "--dry-run"]);
    shown.succeeds();
    assert_eq!(shown.stdout.matches(": cleared").count(), 2, "{}", shown.all());
    project.run(&["cache", "clear", "builds", "--yes"]).succeeds();
    assert!(dir.exists() && files(&project.store().join("builds")).is_empty());
    for _ in 0..2 {
        project.run(&["cache", "clear", "layers", "mounts", "--yes"]).succeeds();
        assert!(!dir.exists());
    }
}

#[test]
fn a_store_of_another_format_is_not_changed() {
    let (project, dir) = by_hand();
    fs::write(project.store().join("VERSION"), "99\n").expect("written");
    for args in [
        &["cache", "gc", "--budget", "1"][..],
        &["cache", "verify"],
        &["cache", "clear", "layers", "--yes"],
        &["cache", "ls"],
    ] {
        project.run(args).fails(1, &["has format 99", "use a newer xtask"]);
    }
    assert!(dir.exists());
    // Only naming its format clears it.
    let clear = |more: &[&str]| project.run(&[&["cache", "clear"][..], more].concat());
    clear(&["all", "--format", "98", "--yes"]).fails(2, &["has format 99"]);
    clear(&["layers", "--format", "99", "--yes"]).fails(2, &["needs `all`"]);
    clear(&["all", "--format", "99", "--dry-run"]).succeeds();
    assert!(dir.exists());
    let (other, freed) = by_hand();
    fs::write(other.store().join("VERSION"), "99\n").expect("written");
    other.run(&["cache", "clear", "all", "--format", "99", "--yes"]).succeeds();
    assert!(!freed.exists() && !other.store().join("VERSION").exists());
    other.run(&["cache", "ls"]).succeeds();
    // A single generation of a newer xtask stays as well.
    fs::write(project.store().join("VERSION"), "2").expect("written");
    let entry = fs::read_to_string(dir.join("entry.json")).expect("there");
    fs::write(dir.join("entry.json"), entry.replace("\"format\":2", "\"format\":3")).expect("written");
    for args in [&["cache", "verify"][..], &["cache", "gc", "--budget", "1"]] {
        let _ = project.run(args);
        assert!(dir.exists(), "{args:?}");
    }
    assert!(dir.exists());
}

fn built(name: &str) -> Project {
    let compose = COMPOSE.replace("durango-test/store", &format!("durango-test/{name}"));
    let salt = unique("store");
    let dockerfile = format!("FROM scratch\n# {salt}\nCOPY a.txt /a\n");
    Project::new(&[
        ("compose.yaml", &compose),
        ("Dockerfile", &dockerfile),
        ("a.txt", &salt),
        (".dockerignore", "home\n"),
    ])
}

#[test]
#[ignore = "needs an engine"]
fn du_counts_builder_and_store() {
    let project = built("du");
    project.build(&["app"]).1.succeeds();
    let du = json(&project.run(&["cache", "du", "--json"]));
    assert!(du["builder"]["bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{du}");
    let kinds = du["store"]["kinds"].as_array().expect("kinds").iter();
    let bytes = |kind: &Value| kind["bytes"].as_u64().expect("bytes");
    let parts: Vec<(&str, u64)> =
        kinds.map(|kind| (kind["kind"].as_str().expect("a word"), bytes(kind))).collect();
    let sum: u64 = parts.iter().map(|(_, bytes)| bytes).sum();
    assert!(du["store"]["bytes"].as_u64().is_some_and(|total| total >= sum && sum > 0), "{du}");
    let taken = |name: &str| parts.iter().any(|(kind, bytes)| *kind == name && *bytes > 0);
    assert!(taken("layers") && taken("builds"), "{du}");
    let text = project.run(&["cache", "du"]);
    assert!(text.stdout.contains("builder") && text.stdout.contains("(of 10.0 GB)"), "{}", text.all());
}
