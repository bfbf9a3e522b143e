//! Lists and packs as a builder sends them.

use super::*;
use crate::plan::mounts::fixtures::mount;

fn records(records: &[&str]) -> Vec<u8> {
    let root = ["d 755 0 0 0 0 5 ."];
    root.iter().chain(records).flat_map(|record| record.bytes().chain([0])).collect()
}

fn pack(files: &[(&str, u64, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, time, contents) in files {
        let mut header = tar::Header::new_ustar();
        header.set_path(path).expect("short");
        header.set_size(contents.len() as u64);
        header.set_mtime(*time);
        header.set_cksum();
        builder.append(&header, *contents).expect("appended");
    }
    builder.into_inner().expect("written")
}

#[test]
fn the_list_that_is_kept_has_what_was_packed_and_nothing_else() {
    let dir = tempfile::tempdir().expect("a directory");
    let list = records(&[
        "f 644 0 0 3 1 5.0 ./same",
        "f 644 0 0 3 1 5 ./changed",
        "f 644 0 0 3 1 5 ./grown",
        "f 644 0 0 3 1 5 ./gone",
        "o 0 0 0 0 0 0 ./device",
    ]);
    let mut outgoing = Outgoing::new(&mount(dir.path()), &list).expect("valid");
    assert_eq!(outgoing.names(), b"./changed\0./gone\0./grown\0./same\0");
    let tar = pack(&[("./same", 5, b"abc"), ("./changed", 6, b"abc"), ("./grown", 5, b"abcd")]);
    let path = dir.path().join("pack");
    let bytes = outgoing.receive(&mut &tar[..], &path).expect("received");
    assert_eq!(bytes, tar.len() as u64);
    let mut unpacked = Vec::new();
    codec::reader(&path).expect("opened").read_to_end(&mut unpacked).expect("read");
    assert!(unpacked == tar, "all of it is in the store");
    let kept = outgoing.keep();
    let names: Vec<Vec<u8>> = kept.list.expect("something").0.into_keys().collect();
    assert_eq!(names, [&b"."[..], b"./same"]);
    assert!(kept.warnings[0].contains("devices") && kept.warnings[0].contains("1 files"));
}

#[test]
fn there_is_nothing_to_keep_of_an_empty_mount() {
    let dir = tempfile::tempdir().expect("a directory");
    for list in [records(&[]), records(&["f 644 0 0 0 1 5 ./lock", "f 644 0 0 1 1 5 ./x_InRelease"])] {
        let outgoing = Outgoing::new(&mount(dir.path()), &list).expect("valid");
        assert!(outgoing.names().is_empty());
        assert!(outgoing.keep().list.is_none());
    }
    let hostile = records(&["f 644 0 0 0 1 5 ./../x"]);
    assert!(Outgoing::new(&mount(dir.path()), &hostile).is_err());
}

#[test]
fn a_pack_that_is_cut_is_an_error() {
    let dir = tempfile::tempdir().expect("a directory");
    let list = records(&["f 644 0 0 3 1 5 ./x"]);
    let mut outgoing = Outgoing::new(&mount(dir.path()), &list).expect("valid");
    let tar = pack(&[("./x", 5, b"abc")]);
    assert!(outgoing.receive(&mut &tar[..514], &dir.path().join("pack")).is_err());
}
