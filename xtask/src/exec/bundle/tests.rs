//! Bundles that are damaged, truncated, foreign, newer or from other machines. Each is refused, or
//! gives exactly the same store.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::{BundlePlace, write};
use crate::plan::bundle::{Stock, Wanted, plan};
use crate::store::bundle::Bundle;
use crate::store::contents::{Contents, ItemKind};
use crate::store::entry::{self, Entry};
use crate::store::key::{FORMAT, Key};

#[path = "fixture_tests.rs"]
mod fixture;
#[path = "order_tests.rs"]
mod order;

use fixture::{HERE, Made, at, content, import, import_within, refused, store};

#[test]
fn a_bundle_as_a_tar_and_as_a_directory_gives_the_same_store_and_newer_entries_stay() {
    let (old, new) = (Made::new(100), Made::new(200));
    let (dir, layout) = store();
    assert_eq!(new.import(&layout, &new.tar()).expect("sound"), Vec::<String>::new());
    let first = content(dir.path());
    assert_eq!(first.keys().filter(|path| path.ends_with("entry.json")).count(), 2, "{:?}", first.keys());
    assert!(first.contains_key(Path::new("fresh/team_app.json")));
    assert_eq!(old.import(&layout, &old.tar()).expect("sound").len(), 2, "an older one changes nothing");
    assert_eq!(content(dir.path()), first);
    let directory = new.dir.path().join("directory");
    write::directory(&new.bundle, &directory, &new.sources).expect("written");
    let (other, layout) = store();
    import(&layout, &BundlePlace::Dir(directory.clone())).expect("sound");
    assert_eq!(content(other.path()), first);
    // An import is independent of the bundle's directory, which may be removed or changed.
    fs::remove_dir_all(directory).expect("removed");
    assert_eq!(content(other.path()), first);
}

#[test]
fn every_flipped_bit_is_refused_or_harmless() {
    let made = Made::new(100);
    let sound = made.tar();
    let (dir, layout) = store();
    made.import(&layout, &sound).expect("sound");
    let expected = content(dir.path());
    let mut refused = 0;
    for position in (0..sound.len()).step_by(29) {
        let mut bytes = sound.clone();
        bytes[position] ^= 1 << (position % 8);
        let (dir, layout) = store();
        match made.import(&layout, &bytes) {
            Ok(_) => assert_eq!(content(dir.path()), expected, "byte {position}"),
            Err(_) => {
                refused += 1;
                assert_eq!(content(dir.path()), BTreeMap::new(), "byte {position}");
            }
        }
    }
    assert!(refused > 50, "{refused}");
}

#[test]
fn every_cut_is_refused_unless_all_files_are_there() {
    let made = Made::new(100);
    let sound = made.tar();
    for length in (0..sound.len() - 1024).step_by(101) {
        let (dir, layout) = store();
        let result = made.import(&layout, &sound[..length]);
        // The last file's padding may be missing.
        if result.is_err() || length + 512 < sound.len() - 1024 {
            assert!(result.is_err(), "{length}");
            assert_eq!(content(dir.path()), BTreeMap::new());
        }
    }
}

#[test]
fn what_is_wrong_is_named() {
    let made = Made::new(100);
    let mut other = Made::new(100);
    other.bundle.platform = "linux/arm64".into();
    assert!(refused(&made, &other.tar()).contains("it is for linux/arm64"));
    for image in ["..", "../x", ".", "", "a b", "/x\n"] {
        let mut evil = Made::new(100);
        evil.bundle.images[0].entry.image = image.into();
        // A name that starts with a slash becomes a plain one.
        assert!(refused(&made, &evil.tar()).contains("image named"), "{image}");
    }
    let mut evil = Made::new(100);
    evil.bundle.images[0].entry.key = Key("../../x".into());
    assert!(refused(&made, &evil.tar()).contains("not a SHA-256 digest"));
    let mut evil = Made::new(100);
    evil.bundle.fresh[0].image = "..".into();
    assert!(refused(&made, &evil.tar()).contains("image named"));
    let mut evil = Made::new(100);
    evil.bundle.mounts[0].format = FORMAT + 1;
    assert!(refused(&made, &evil.tar()).contains(&format!("format {}", FORMAT + 1)));
    let mut less = Made::new(100);
    less.bundle.files.pop();
    assert!(refused(&made, &less.tar()).contains("does not list it"));
    let mut cut = Made::new(100);
    let blob = cut.bundle.images[0].blobs.pop().expect("a blob");
    cut.bundle.files = cut.bundle.named();
    assert!(refused(&made, &cut.tar()).contains("bytes instead of"));
    cut.bundle.images[0].entry.bytes -= blob.size;
    assert!(refused(&made, &cut.tar()).contains("not usable"));
    let head = String::from_utf8(made.bundle.head().expect("data")).expect("text");
    let newer = head.replacen("\"format\":1", "\"format\":9", 1);
    let error = Bundle::parse(newer.as_bytes()).expect_err("refused").to_string();
    assert!(error.contains("format 9"), "{error}");
}

#[test]
fn tars_of_others_are_refused() {
    let made = Made::new(100);
    let tar = |files: &[(&str, tar::EntryType, &[u8])]| {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, kind, bytes) in files {
            let mut header = tar::Header::new_gnu();
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_size(bytes.len() as u64);
            header.set_entry_type(*kind);
            header.set_cksum();
            builder.append(&header, *bytes).expect("appended");
        }
        builder.into_inner().expect("written")
    };
    let file = tar::EntryType::Regular;
    assert!(refused(&made, &tar(&[("../../evil", file, b"x")])).contains("its first file is `../../evil`"));
    assert!(refused(&made, &tar(&[("bundle.json", file, b"{}")])).contains("is not valid"));
    let head = made.bundle.head().expect("data");
    let first = made.bundle.files[0].digest.clone();
    let name = format!("blobs/sha256/{first}");
    for (second, kind) in
        [("../../evil", file), ("/etc/passwd", file), (name.as_str(), tar::EntryType::Symlink)]
    {
        let bytes = tar(&[("bundle.json", file, &head), (second, kind, b"list")]);
        assert!(refused(&made, &bytes).contains("in place of its file"), "{second}");
    }
    let more = [&made.tar()[..made.tar().len() - 1024], &tar(&[("more", file, b"x")])].concat();
    assert!(refused(&made, &more).contains("more files than"));
}

#[test]
fn blobs_of_the_store_are_not_stored_twice_and_a_damaged_one_is_reported() {
    use std::os::unix::fs::MetadataExt;
    let made = Made::new(100);
    let (_dir, layout) = store();
    made.import(&layout, &made.tar()).expect("sound");
    let mut second = Made::new(200);
    second.bundle.images[0].entry.key = Key::new("team/app", HERE, b"FROM y");
    second.import(&layout, &second.tar()).expect("sound");
    let entry = &second.bundle.images[0];
    let blob =
        layout.results("team/app", &entry.entry.key.0).join("2/blobs/sha256").join(&entry.blobs[0].digest);
    assert_eq!(fs::metadata(&blob).expect("there").nlink(), 2);
    let bytes = fs::read(&blob).expect("read");
    fs::write(&blob, vec![b'x'; bytes.len()]).expect("damaged");
    let error = format!("{:#}", second.import(&layout, &second.tar()).expect_err("refused"));
    assert!(error.contains("cache verify"), "{error}");
}

#[test]
fn an_import_that_ends_half_way_leaves_the_earlier_entries() {
    let (old, mut new) = (Made::new(100), Made::new(200));
    let (_dir, layout) = store();
    old.import(&layout, &old.tar()).expect("sound");
    let mount = layout.all_mounts().join(new.bundle.mounts[0].identity.slug());
    let seconds = || {
        let results = entry::find(&layout, "team/app", HERE).generations;
        let mount = crate::store::mount::read(&mount).ok();
        let mount = mount.map(|entry| entry.saved.as_second());
        (results.iter().map(|result| result.entry.saved.as_second()).collect::<Vec<_>>(), mount)
    };
    // A second mount, whose place is taken.
    let mut other = new.bundle.mounts[0].clone();
    other.identity.id = "other".into();
    let taken = layout.all_mounts().join(other.identity.slug());
    new.bundle.mounts = vec![other, new.bundle.mounts[0].clone()];
    new.bundle.files = new.bundle.named();
    fs::write(&taken, "in the way").expect("written");
    new.import(&layout, &new.tar()).expect_err("its place is taken");
    assert_eq!(seconds(), (vec![200, 100], Some(100)), "each entry is whole, old or new");
    fs::remove_file(&taken).expect("removed");
    new.import(&layout, &new.tar()).expect("the way is free");
    assert_eq!(seconds(), (vec![200, 100], Some(200)));
}
