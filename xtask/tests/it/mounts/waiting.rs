//! A save of a cache mount that waits for the space of others.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use serde_json::Value;

use super::fixture::Mount;
use super::mount;
use crate::common::second_daemon::SecondDaemon;

/// The line that names what a save waits for.
const WAITS: &str =
    "waiting for other builds to save: they have reserved 1.5 GB of the store's budget of 2.0 GB";

#[test]
#[ignore = "needs an engine"]
fn a_mount_that_waits_for_space_says_so() {
    waits(Mount::new("waits", "sharing=shared", "truncate -s 900M large"));
}

/// There the lists of files arrive by one call, and the packs by the next one.
#[test]
#[ignore = "needs an engine"]
fn a_mount_that_buildkit_transfers_says_so_too() {
    let config = r#"{"features": {"containerd-snapshotter": true}, "builder": {"entitlements": {"network-host": false}}}"#;
    let mounted = Mount::new("waits-too", "sharing=shared", "truncate -s 900M large");
    waits(mounted.on(SecondDaemon::start_with(config)));
}

/// Builds while another save holds space: the image fits next to it, and the mount does not.
fn waits(mut mounted: Mount) {
    mounted.project = mounted.project.env("DURANGO_CACHE_BUDGET", "2GB");
    let project = &mounted.project;
    let other = project.store().join("tmp/20260101-000000-1-reserved");
    fs::create_dir_all(&other).expect("made");
    fs::write(other.join("reserved.json"), r#"{"bytes":1500000000,"dir":null,"begun":0}"#).expect("written");
    let held = File::create(other.join("held")).expect("made");
    held.try_lock().expect("nobody else has it");
    let args = ["build", "--json", "--file", "compose.yaml", "app", "--build-arg", "EDIT=1"];
    let mut command = project.command(&args);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs");
    let lines = BufReader::new(child.stderr.take().expect("piped")).lines().map_while(Result::ok);
    // All of them: a closed pipe would only end the output.
    let mut held = Some(held);
    let said: Vec<String> =
        lines.inspect(|line| drop(held.take_if(|_| line.contains("waiting for other builds")))).collect();
    let mut report = String::new();
    child.stdout.take().expect("piped").read_to_string(&mut report).expect("read");
    assert!(child.wait().expect("it ended").success(), "{said:#?}");
    assert_eq!(said.iter().filter(|line| line.contains(WAITS)).count(), 1, "{said:#?}");
    let report: Value = serde_json::from_str(&report).expect("a report");
    project.owns(report["targets"][0]["image"].as_str().expect("an image"));
    assert!(mount(&report)["saved_bytes"].as_u64() > Some(0), "{report}");
}
