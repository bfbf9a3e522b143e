//! A store that has a budget, damage, foreign files, or no write permission. Builds succeed, and no
//! valid entry is lost.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::common::{Project, files};
use serde_json::Value;

const MB: usize = 1 << 20;

/// Returns incompressible bytes, different ones for each seed and run.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a time");
    let mut state =
        seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(std::process::id()) ^ time.as_secs() | 1;
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes
}

/// Returns a project with images `durango-test/NAME-0` and so on. Each has a single file.
fn project(name: &str, images: usize) -> Project {
    let service = |n: usize| {
        format!(
            "  s{n}:\n    image: durango-test/{name}-{n}\n    build: {{context: ., dockerfile: {n}.Dockerfile}}\n"
        )
    };
    let compose = format!("services:\n{}", (0..images).map(service).collect::<String>());
    Project::new(&[("compose.yaml", &compose)])
}

/// Changes the Dockerfile and the content of an image, so the key and the layers differ.
fn edit(project: &Project, image: usize, seed: u64, bytes: usize) {
    project
        .write(&format!("{image}.Dockerfile"), &format!("FROM scratch\n# {seed}\nCOPY data-{image} /data\n"));
    fs::write(project.path(&format!("data-{image}")), noise(seed, bytes)).expect("written");
}

/// Returns the size of a directory and counts a hard-linked file once. `None` if the directory
/// changed meanwhile.
fn size(dir: &Path) -> u64 {
    let entries = walkdir::WalkDir::new(dir).into_iter().flatten();
    let nodes: BTreeSet<(u64, u64)> = entries
        .filter_map(|entry| entry.metadata().ok())
        .map(|meta| (meta.ino(), meta.len().max(meta.blocks() * 512)))
        .collect();
    nodes.iter().map(|(_, bytes)| bytes).sum()
}

fn generations(project: &Project) -> Vec<PathBuf> {
    let layers = project.store().join("layers");
    let all = files(&layers).into_iter().map(|(path, _)| path);
    all.filter(|path| path.ends_with("entry.json")).map(|path| path.with_file_name("")).collect()
}

fn verified(project: &Project) -> (i32, Value) {
    let run = project.run(&["cache", "verify", "--json"]);
    (run.code, serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{}", run.all())))
}

/// Ends the observer when the builds end, even on a panic.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
#[ignore = "needs an engine"]
fn many_builds_never_exceed_a_third_of_what_they_would_fill() {
    let builds: u64 =
        std::env::var("DURANGO_TEST_BUILDS").ok().and_then(|text| text.parse().ok()).unwrap_or(12);
    let each = 2 * MB;
    let budget = builds * each as u64 / 3;
    let images = builds / 4;
    let project = project("budget", images as usize).env("DURANGO_CACHE_BUDGET", &budget.to_string());
    let (most, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let store = project.store();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                most.fetch_max(size(&store), Ordering::Relaxed);
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
        });
        let _ends = Ends(&over);
        let mut saved = 0;
        for build in 0..builds {
            let image = (build % images) as usize;
            edit(&project, image, build, each);
            let (report, run) = project.build(&[&format!("s{image}")]);
            run.succeeds();
            saved += u64::from(report["cache"]["saved"].is_string());
            let size = size(&project.store());
            eprintln!("build {build}: {size} bytes of {budget}");
            assert!(size <= budget, "build {build}: {size} bytes of {budget}");
        }
        assert_eq!(saved, builds, "each was saved, at the cost of older ones");
    });
    let most = most.into_inner();
    assert!(most <= budget, "{most} bytes of {budget} in between");
    let kept = generations(&project).len() as u64;
    assert!(kept > 1 && kept < builds, "{kept} generations");
    let (code, report) = verified(&project);
    assert_eq!((code, report["checked"].as_u64()), (0, Some(kept)), "{report}");
}

#[test]
#[ignore = "needs an engine"]
fn a_budget_smaller_than_a_generation_saves_nothing_and_loses_nothing() {
    let project = project("small", 1);
    edit(&project, 0, 1, MB / 4);
    project.build(&["s0"]).1.succeeds();
    let before = generations(&project);
    assert_eq!(before.len(), 1);
    edit(&project, 0, 2, 4 * MB);
    let project = project.env("DURANGO_CACHE_BUDGET", "2MB");
    let (report, run) = project.build(&["s0"]);
    run.succeeds();
    assert_eq!(report["result"], "built");
    assert_eq!(report["cache"]["saved"], Value::Null);
    let warnings = report["warnings"].to_string();
    assert!(warnings.contains("failed to save") && warnings.contains("DURANGO_CACHE_BUDGET"), "{warnings}");
    assert_eq!(generations(&project), before);
    assert_eq!(verified(&project).0, 0);
    assert!(size(&project.store()) <= 2_000_000, "nothing of it stays");
    // The advice in the warning.
    let project = project.env("DURANGO_CACHE_BUDGET", "20MB");
    let (report, _) = project.build(&["s0"]);
    assert_eq!(report["cache"]["saved"], report["cache"]["key"], "{report}");
}

#[test]
#[ignore = "needs an engine"]
fn damaged_entries_go_to_the_quarantine_and_the_rest_stays() {
    let project = project("damaged", 2);
    for image in 0..2 {
        edit(&project, image, 10 + image as u64, MB / 8);
        project.build(&[&format!("s{image}")]).1.succeeds();
    }
    let all = generations(&project);
    let (cut, flipped) = (&all[0], &all[1]);
    let blobs = |dir: &Path| files(&dir.join("blobs/sha256"));
    let largest = blobs(flipped).into_iter().max_by_key(|(_, size)| *size).expect("blobs").0;
    let mut bytes = fs::read(&largest).expect("read");
    bytes[0] ^= 1;
    fs::remove_file(&largest).expect("removed");
    fs::write(&largest, bytes).expect("written");
    fs::write(cut.join("index.json"), "{\"manifests\":[").expect("written");
    let run = project.run(&["cache", "verify", "--dry-run"]);
    run.fails(1, &[]);
    assert!(run.stdout.contains("has the digest") && run.stdout.contains("2 damaged"), "{}", run.all());
    assert_eq!(generations(&project), all);
    // A build quarantines the damage that it finds. Only `verify` checks digests.
    let name = if fs::read_to_string(cut.join("entry.json")).expect("an entry").contains("damaged-0") {
        "s0"
    } else {
        "s1"
    };
    let (report, run) = project.build(&[name]);
    run.succeeds();
    assert!(report["warnings"].to_string().contains("which is moved to the quarantine"), "{report}");
    assert_eq!(report["cache"]["saved"], report["cache"]["key"], "it is saved anew");
    let quarantine = || fs::read_dir(project.store().join("quarantine")).expect("there").count();
    assert_eq!(quarantine(), 1);
    let (code, report) = verified(&project);
    assert_eq!((code, report["damaged"].as_array().map(Vec::len)), (1, Some(1)), "{report}");
    let place = PathBuf::from(report["quarantine"][0].as_str().expect("a place"));
    let reason = fs::read_to_string(place.join("reason")).expect("a reason");
    assert!(reason.contains("has the digest") && place.join("content/entry.json").exists(), "{reason}");
    assert_eq!((verified(&project).0, generations(&project).len(), quarantine()), (0, 1, 2));
    let run = project.run(&["cache", "clear", "quarantine", "--yes"]);
    run.succeeds();
    assert_eq!((quarantine(), generations(&project).len()), (0, 1), "{}", run.all());
}

#[test]
#[ignore = "needs an engine"]
fn a_read_only_store_costs_a_warning() {
    let foreign = project("foreign", 1);
    edit(&foreign, 0, 20, MB / 8);
    fs::create_dir_all(foreign.store()).expect("made");
    foreign.write("store/VERSION", "99\n");
    let (report, run) = foreign.build(&["s0"]);
    run.succeeds();
    assert_eq!(report["warnings"].as_array().map(Vec::len), Some(1), "{report}");
    assert!(report["warnings"][0].as_str().is_some_and(|text| text.contains("has format 99")), "{report}");
    assert_eq!(files(&foreign.store()).len(), 1, "it is not changed");
    foreign.run(&["cache", "gc"]).fails(1, &["has format 99", "--cache-dir"]);
    let unwritable = project("unwritable", 1).env("DURANGO_CACHE_DIR", "/proc/durango-builder");
    edit(&unwritable, 0, 21, MB / 8);
    let (report, run) = unwritable.build(&["s0"]);
    run.succeeds();
    assert_eq!(report["result"], "built");
    let warning = report["warnings"][0].as_str().expect("a warning");
    assert!(warning.contains("is not writable") && warning.contains("--cache-dir"), "{warning}");
}

#[test]
fn foreign_files_are_never_touched() {
    let project = Project::new(&[
        ("store/tmp/notes.txt", "mine"),
        ("store/tmp/desk/file", "mine"),
        ("store/builds/house/plan", "mine"),
        ("store/layers/image/latest/blob", "mine"),
        ("store/mounts/disk/file", "mine"),
        ("store/mounts/disk-2/entry.json", "mine"),
        ("store/quarantine/patients", "mine"),
        ("store/tmp/20200101-000000-7fffffff/left", "a dead build's"),
        ("store/builds/20200101-000000-7fffffff/build.log", "an old build's"),
    ]);
    crate::common::make_old(&project.store().join("tmp/20200101-000000-7fffffff"));
    let held = files(&project.store());
    for args in [&["cache", "gc", "--dry-run", "--budget", "1"][..], &["cache", "verify"], &["cache", "ls"]] {
        project.run(args).succeeds();
    }
    assert_eq!(files(&project.store()).len(), held.len(), "looking makes nothing");
    project.run(&["cache", "clear", "layers", "mounts", "builds", "quarantine"]).fails(2, &["--yes"]);
    let shown = project.run(&["cache", "gc", "--json", "--dry-run", "--budget", "1"]);
    let done = project.run(&["cache", "gc", "--json", "--budget", "1"]);
    let removals = |run: &crate::common::Run| {
        serde_json::from_str::<Value>(&run.stdout).expect("a document")["removals"].clone()
    };
    assert_eq!(removals(&shown), removals(&done), "what was shown is what went");
    assert_eq!(removals(&done).as_array().map(Vec::len), Some(2));
    project.run(&["cache", "clear", "layers", "mounts", "builds", "quarantine", "--yes"]).succeeds();
    let left: Vec<_> = files(&project.store())
        .into_iter()
        .filter(|(path, _)| !path.ends_with("lock") && !path.ends_with("VERSION"))
        .collect();
    assert_eq!(left.len(), held.len() - 2, "{left:?}");
    assert!(left.iter().all(|(path, _)| fs::read_to_string(path).expect("read") == "mine"));
    project.run(&["cache", "clear", "layer", "--yes"]).fails(2, &["did you mean `layers`?"]);
}
