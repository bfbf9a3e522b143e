//! Results that are valid, and every kind that is not.

use super::*;
use crate::project::mount::Sharing;
use crate::project::release_files::ReleaseFile;
use crate::store::fresh::{Packages, Sources, Spot};
use crate::store::key::Key;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("in range")
}

fn entry() -> Entry {
    Entry {
        format: FORMAT,
        image: "team/app".into(),
        platform: "linux/arm64/v8".into(),
        key: Key("a".repeat(64)),
        digest: Some(format!("sha256:{}", "b".repeat(64))),
        saved: at(5),
        bytes: 7,
        steps: vec!["c".repeat(64)],
        steps_any_mode: Vec::new(),
        id: "0123456789abcdef".into(),
        after: vec!["fedcba9876543210".into()],
    }
}

fn mount() -> MountEntry {
    let blob = || Blob { digest: "d".repeat(64), size: 3 };
    MountEntry {
        format: FORMAT,
        identity: MountIdentity { id: "/go/pkg mod".into(), ..MountIdentity::default() },
        sharing: Sharing::Shared,
        target: "/go/pkg/mod".into(),
        platform: "linux/amd64".into(),
        saved: at(5),
        files: 1,
        bytes: 5,
        is_shared: true,
        manifest: blob(),
        packs: vec![blob()],
        steps: vec!["c".repeat(64)],
    }
}

fn fresh() -> FreshFile {
    let nonce = || Nonce { value: 5, at: at(5) };
    let spot = Spot { stage: "php".into(), instruction: Some("RUN make\tall".into()), nonce: nonce() };
    let mut file = FreshFile::new("team/app");
    let remembered = Remembered { all: Some(nonce()), spots: vec![spot], packages: None };
    file.platforms.insert("linux/amd64".into(), remembered);
    file
}

#[track_caller]
fn refused<T: Validate>(mut value: T, change: impl FnOnce(&mut T), expected: &str) {
    change(&mut value);
    let error = value.validate().expect_err(expected).to_string();
    assert!(error.contains(expected), "{error}");
    assert!(!error.contains(|c: char| !is_visible(c)), "it is shown raw: {error:?}");
}

#[test]
fn sound_entries_pass() {
    entry().validate().expect("sound");
    mount().validate().expect("sound");
    fresh().validate().expect("sound");
}

#[test]
fn texts_that_a_terminal_acts_on_are_refused() {
    for evil in
        ["x\u{1b}[2J", "x\u{1b}]52;c;cHduZWQ=\u{7}", "x\r", "x\u{9b}31m", "x\u{202e}y", "x\n", "", "\u{200b}"]
    {
        refused(entry(), |entry| entry.image = evil.into(), "image named");
        refused(entry(), |entry| entry.platform = evil.into(), "the platform");
        refused(entry(), |entry| entry.key = Key(evil.into()), "not a SHA-256 digest");
        refused(entry(), |entry| entry.digest = Some(evil.into()), "not a SHA-256 digest");
        refused(entry(), |entry| entry.steps = vec![evil.into()], "a step's key");
        refused(mount(), |mount| mount.identity.id = evil.into(), "a mount's id");
        refused(mount(), |mount| mount.target = evil.into(), "a mount's target");
        refused(mount(), |mount| mount.steps = vec![evil.into()], "a step's key");
        refused(mount(), |mount| mount.identity.source = Some(evil.into()), "a mount's `source`");
        refused(mount(), |mount| mount.packs[0].digest = evil.into(), "not a SHA-256 digest");
        refused(fresh(), |fresh| set_stage(fresh, evil), "a stage's name");
        refused(fresh(), |fresh| set_packages(fresh, &format!("a/{evil}/")), "package versions");
    }
    refused(mount(), |mount| mount.identity.mode = Some("0x1b".into()), "not octal");
    refused(mount(), |mount| mount.target = "x".repeat(5000), "5000 bytes");
    refused(entry(), |entry| entry.key = Key("abc".into()), "not a SHA-256 digest");
    refused(entry(), |entry| entry.image = "../../etc".into(), "image named");
}

fn set_packages(fresh: &mut FreshFile, versions: &str) {
    for remembered in fresh.platforms.values_mut() {
        remembered.packages = Some(Packages { versions: versions.into(), ..Packages::default() });
    }
}

#[test]
fn package_versions_are_a_list_of_bounded_length() {
    let mut file = fresh();
    set_packages(&mut file, "libfoo/1+deb13u1 libbar/2:1.0~rc1-1");
    file.validate().expect("sound");
    refused(fresh(), |fresh| set_packages(fresh, "a/$(x)"), "package versions");
    refused(fresh(), |fresh| set_packages(fresh, &"a/1 ".repeat(100_000)), "bytes of package versions");
}

#[test]
fn sources_of_package_versions_are_release_files() {
    let with = |key: &str, url: &str, count: usize| {
        let file = ReleaseFile { url: url.into(), sha256: "0a".repeat(32) };
        let sources = Some(Sources { key: key.into(), files: vec![file; count] });
        move |fresh: &mut FreshFile| {
            for remembered in fresh.platforms.values_mut() {
                remembered.packages = Some(Packages { sources: sources.clone(), ..Packages::default() });
            }
        }
    };
    let url = "http://deb.test/debian/dists/trixie/InRelease";
    let mut file = fresh();
    with("k", url, 3)(&mut file);
    file.validate().expect("sound");
    refused(fresh(), with("k", "http://deb.test/admin", 1), "an invalid Release file");
    refused(fresh(), with("k", "http://deb.test/\u{1b}[2J/Release", 1), "an invalid Release file");
    refused(fresh(), with("k", url, 0), "an invalid Release file");
    refused(fresh(), with("k", url, 1000), "an invalid Release file");
    refused(fresh(), with("\u{1b}[2J", url, 1), "a stage's key");
}

fn set_stage(fresh: &mut FreshFile, stage: &str) {
    for remembered in fresh.platforms.values_mut() {
        remembered.spots[0].stage = stage.into();
    }
}

#[test]
fn numbers_beyond_reason_are_refused() {
    refused(entry(), |entry| entry.bytes = u64::MAX, "bytes");
    refused(entry(), |entry| entry.format = FORMAT + 1, "format");
    refused(entry(), |entry| entry.steps = vec!["a".into(); MOST_PARTS + 1], "10001 parts");
    refused(mount(), |mount| mount.files = u64::MAX, "files");
    refused(mount(), |mount| mount.bytes = u64::MAX, "bytes");
    refused(mount(), |mount| mount.packs[0].size = u64::MAX, "bytes");
    for value in [0, HIGHEST_NONCE + 1, u32::MAX] {
        let set = |fresh: &mut FreshFile| {
            fresh.platforms.values_mut().for_each(|one| one.spots[0].nonce.value = value);
        };
        refused(fresh(), set, "the nonce");
    }
}

#[test]
fn times_of_a_wrong_clock_are_set_to_now() {
    let (mut entry, mut mount, mut fresh) = (entry(), mount(), fresh());
    entry.clamp_times(at(3));
    mount.clamp_times(at(3));
    fresh.clamp_times(at(3));
    let nonces: Vec<_> = fresh.platforms.values().flat_map(nonces).map(|nonce| nonce.at).collect();
    assert_eq!((entry.saved, mount.saved, nonces), (at(3), at(3), vec![at(3); 2]));
    entry.clamp_times(at(9));
    assert_eq!(entry.saved, at(3), "a time that has passed stays");
}
