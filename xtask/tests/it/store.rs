//! The store end to end: it is listed, checked, limited, cleared, and given invalid input.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use crate::common::{Project, Run, files, run_as_nobody, skip, unique};
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
    let index = serde_json::json!({"manifests": [{"digest": format!("sha256:{}", digest(manifest.as_bytes())),
        "size": manifest.len(), "annotations": {"org.opencontainers.image.ref.name": "latest"}}]});
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
fn a_damaged_entry_is_quarantined_with_its_reason() {
    let (project, dir) = by_hand();
    let sound = project.run(&["cache", "verify", "--json"]);
    assert_eq!((sound.code, json(&sound)["checked"].as_u64()), (0, Some(1)), "{}", sound.all());
    let blob =
        files(&dir.join("blobs")).into_iter().find(|(_, size)| *size == 2).expect("the configuration").0;
    fs::write(&blob, "[]").expect("same size, other bytes");
    let looked = project.run(&["cache", "verify", "--dry-run"]);
    assert!(looked.code == 1 && looked.stdout.contains("has the digest"), "{}", looked.all());
    assert!(dir.exists(), "a dry run moves nothing");
    let run = project.run(&["cache", "verify", "--json"]);
    assert_eq!(run.code, 1, "{}", run.all());
    let aside = PathBuf::from(json(&run)["quarantine"][0].as_str().expect("a directory"));
    let reason = fs::read_to_string(aside.join("reason")).expect("a reason");
    assert!(reason.contains("has the digest") && aside.join("content/index.json").exists(), "{reason}");
    assert!(!dir.exists());
    project.run(&["cache", "verify"]).succeeds();
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
fn damage_that_a_build_finds_is_quarantined() {
    let project = built("aside");
    project.build(&["app"]).1.succeeds();
    let layers = files(&project.store().join("layers"));
    let (index, _) = layers.iter().find(|(path, _)| path.ends_with("index.json")).expect("an index");
    fs::write(index, "{").expect("torn");
    let (report, run) = project.build(&["app"]);
    run.succeeds();
    assert!(report["warnings"].to_string().contains("moved to the quarantine"), "{report}");
    assert_eq!(report["cache"]["saved"], report["cache"]["key"], "{report}");
    let aside = files(&project.store().join("quarantine"));
    assert!(aside.iter().any(|(path, _)| path.ends_with("reason")), "{aside:?}");
    project.run(&["cache", "verify"]).succeeds();
}

#[test]
#[ignore = "needs an engine"]
fn a_build_succeeds_if_its_store_is_not_writable() {
    let project = built("readonly");
    fs::write(project.path("store"), "a file").expect("written");
    let (report, run) = project.build(&["app"]);
    run.succeeds();
    assert_eq!(report["result"], "built");
    assert!(report["warnings"].to_string().contains("is not writable"), "{report}");
    assert_eq!(fs::read_to_string(project.path("store")).expect("there"), "a file");
    // A read-only file system, if the machine lets a test mount one. The generation in it is read.
    fs::remove_file(project.path("store")).expect("removed");
    project.build(&["app"]).1.succeeds();
    let before = files(&project.store());
    let mount = "mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\" && shift && exec \"$@\"";
    let inner = project.command(&["build", "--json", "--file", "compose.yaml", "app"]);
    let mut command = std::process::Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", mount, "sh"])
        .arg(project.store())
        .arg(inner.get_program())
        .args(inner.get_args());
    inner.get_envs().for_each(|(name, value)| {
        command.env(name, value.unwrap_or_default());
    });
    command.current_dir(project.path(""));
    drop(inner);
    let run = Run::from(command.output().expect("unshare runs"));
    if run.stderr.contains("unshare failed") || run.stderr.contains("permission denied") {
        return skip("may not mount");
    }
    run.succeeds();
    let report = json(&run);
    assert_eq!(
        (report["result"].as_str(), report["cache"]["read"].as_array().map(Vec::len)),
        (Some("cached"), Some(1))
    );
    assert!(report["warnings"].to_string().contains("is not writable"), "{report}");
    assert_eq!(files(&project.store()), before);
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

#[test]
fn an_inaccessible_store_is_not_damaged() {
    let (project, dir) = by_hand();
    fs::set_permissions(project.store(), fs::Permissions::from_mode(0o755)).expect("set");
    let project =
        project.env("DURANGO_CACHE_DIR", &dir.ancestors().nth(4).expect("the store").display().to_string());
    let args = ["cache", "gc", "--budget", "1"];
    let Some(run) = run_as_nobody(&project, &args) else { return skip("needs root") };
    run.fails(1, &["failed to open"]);
    assert!(dir.exists());
}

#[test]
fn a_file_that_may_not_be_read_is_reported_as_not_checked() {
    let (project, dir) = by_hand();
    let store = dir.ancestors().nth(4).expect("the store").to_path_buf();
    for entry in walkdir::WalkDir::new(&store).into_iter().map(|entry| entry.expect("listed")) {
        let mode = if entry.file_name() == "entry.json" { 0 } else { 0o755 };
        fs::set_permissions(entry.path(), fs::Permissions::from_mode(mode)).expect("set");
    }
    let project = project.env("DURANGO_CACHE_DIR", &store.display().to_string());
    let Some(run) = run_as_nobody(&project, &["cache", "verify"]) else { return skip("needs root") };
    assert_eq!(run.code, 1, "{}", run.all());
    assert!(run.stdout.contains(&format!("not checked: `{}`", dir.display())), "{}", run.all());
    assert!(run.stdout.contains("1 verified, 0 B sound: 1 not checked"), "{}", run.all());
}

#[test]
fn a_named_pipe_in_place_of_a_file_of_the_store_hangs_no_command() {
    let names = {
        let (project, _) = by_hand();
        let store = project.store();
        let names =
            files(&store).into_iter().map(|(path, _)| path.strip_prefix(&store).expect("below").into());
        names.collect::<Vec<PathBuf>>()
    };
    assert!(names.len() > 6, "{names:?}");
    for name in names {
        let (project, _) = by_hand();
        let path = project.store().join(&name);
        fs::remove_file(&path).expect("removed");
        assert!(Command::new("mkfifo").arg(&path).status().expect("mkfifo runs").success());
        for args in [&["history"][..], &["cache", "ls"], &["cache", "verify"], &["cache", "gc"]] {
            let mut command = Command::new("timeout");
            let program = project.command(args);
            command.arg("100").arg(program.get_program()).args(program.get_args()).env_clear();
            let envs = program.get_envs().filter_map(|(name, value)| Some((name, value?)));
            command.envs(envs).current_dir(project.path(""));
            let code = command.output().expect("it runs").status.code();
            assert!(matches!(code, Some(0 | 1)), "{args:?} with `{}`: {code:?}", name.display());
        }
    }
}
