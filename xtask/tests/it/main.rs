//! The integration tests: one binary, which links once, with one module per topic.
//!
//! A new file needs a line here; `every_file_is_a_module` fails without it.

mod common;

mod adopting;
mod architecture;
mod budget;
mod builders;
mod builds;
mod bundle;
mod bundle_hostile;
mod clear;
mod cli;
mod completions;
mod declared;
mod docs;
mod doctor;
mod drivers;
mod engine_base;
mod engine_daemon;
mod engines;
mod environment;
mod explain;
mod first_day;
mod foreign;
mod fresh;
mod history;
mod ignore;
mod images;
mod interrupts;
mod keys;
mod mounts;
mod mounts_ahead;
mod mounts_in_use;
mod mounts_trust;
mod odd_files;
mod output;
mod packages;
mod pins;
mod pipelines;
mod progress;
mod real_projects;
mod record;
mod references;
mod registry;
mod registry_ahead;
mod registry_mounts;
mod report;
mod rights;
mod second_machine;
mod secrets;
mod setup;
mod smoke;
mod store;
mod store_shared;
mod text;
mod up_to_date;
mod users_view;
mod words;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::Path;

/// Returns the modules below a directory that their parent doesn't declare, as relative paths.
fn forgotten(dir: &Path, parent: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(dir.join(parent)).expect("the parent module");
    let declared: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';'))
        .collect();
    let mut missing = BTreeSet::new();
    for path in std::fs::read_dir(dir).expect("a directory").flatten().map(|entry| entry.path()) {
        let name = path.file_stem().and_then(OsStr::to_str).expect("a name").to_owned();
        let is_file = path.extension() == Some(OsStr::new("rs"));
        let is_module = is_file || path.join("mod.rs").is_file();
        if is_module && !path.ends_with(parent) && !declared.contains(name.as_str()) {
            missing.insert(name.clone());
        }
        if path.join("mod.rs").is_file() {
            missing.extend(forgotten(&path, "mod.rs").into_iter().map(|file| format!("{name}/{file}")));
        }
    }
    missing
}

#[test]
fn every_file_is_a_module() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    assert_eq!(forgotten(&tests.join("it"), "main.rs"), BTreeSet::new(), "add `mod NAME;` to the parent");
    // Any other file here would be a test binary of its own.
    let entries = std::fs::read_dir(&tests).expect("a directory").flatten().map(|entry| entry.file_name());
    assert_eq!(entries.collect::<Vec<_>>(), ["it"], "tests go to `tests/it/`");
}

#[test]
fn a_file_without_a_line_is_found() {
    let dir = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).expect("written");
    std::fs::create_dir(dir.path().join("deep")).expect("made");
    write("main.rs", "mod listed;\nmod deep;\n// mod left;\n");
    write("listed.rs", "");
    write("left.rs", "");
    write("deep/mod.rs", "pub mod known;\n");
    write("deep/known.rs", "");
    write("deep/unknown.rs", "");
    let found: Vec<String> = forgotten(dir.path(), "main.rs").into_iter().collect();
    assert_eq!(found, ["deep/unknown", "left"]);
}
