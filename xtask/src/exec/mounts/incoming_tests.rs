//! Valid and hostile packs, and the tars that are unpacked.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use sha2::{Digest, Sha256};

use super::*;
use crate::project::mount::{MountIdentity, Sharing};
use crate::store::key::FORMAT;
use crate::store::layout_check::Blob;

/// A mount of the store.
struct Saved {
    dir: tempfile::TempDir,
    entry: MountEntry,
}

impl Saved {
    /// Creates it from the list's records and the packs, oldest first.
    fn new(records: &[&str], packs: &[Vec<u8>]) -> Self {
        let list: Vec<u8> = records.iter().flat_map(|record| record.bytes().chain([0])).collect();
        Self::of(&list, packs)
    }

    fn of(list: &[u8], packs: &[Vec<u8>]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir_all(layout_check::blobs(dir.path())).expect("made");
        let blob = |text: &[u8]| {
            let digest = format!("{:x}", Sha256::digest(text));
            let path = layout_check::blobs(dir.path()).join(&digest);
            codec::write(&path, text).expect("written");
            Blob { digest, size: fs::metadata(&path).expect("there").len() }
        };
        let parsed = MountList::parse(list).ok();
        let entry = MountEntry {
            format: FORMAT,
            identity: MountIdentity::default(),
            sharing: Sharing::Shared,
            target: "/c".into(),
            platform: "linux/amd64".into(),
            saved: jiff::Timestamp::from_second(1000).expect("in range"),
            files: parsed.as_ref().map_or(0, MountList::files),
            bytes: parsed.as_ref().map_or(0, MountList::bytes),
            is_shared: true,
            manifest: blob(list),
            packs: packs.iter().map(|pack| blob(pack)).collect(),
            steps: Vec::new(),
        };
        Self { dir, entry }
    }

    /// Returns the unpacked files, as GNU tar lists them.
    fn listed(&self, now: i64, streams: usize) -> Result<Vec<String>> {
        let incoming = Incoming::open(self.dir.path(), &self.entry, now)?;
        let mut lines = Vec::new();
        for tar in incoming.write(vec![Vec::new(); streams])? {
            let path = self.dir.path().join("out.tar");
            fs::write(&path, &tar).expect("written");
            let options = ["--full-time", "--numeric-owner", "--xattrs", "-tvvf"];
            let output = Command::new("tar").env("TZ", "UTC").args(options).arg(&path).output();
            let output = output.expect("tar runs");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let is_file = |line: &&str| !line.starts_with('d');
            lines.extend(text.lines().filter(is_file).map(str::to_owned));
        }
        lines.sort();
        Ok(lines)
    }
}

/// Returns a tar with these files: path, type, mode, link, contents.
fn tar(files: &[(&str, EntryType, u32, &str, &[u8])]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (path, kind, mode, link, contents) in files {
        let mut header = Header::new_ustar();
        header.set_entry_type(*kind);
        header.set_mode(*mode);
        header.set_size(contents.len() as u64);
        header.set_mtime(5);
        let name = path.as_bytes();
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        let link = link.as_bytes();
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link);
        header.set_cksum();
        builder.append(&header, *contents).expect("appended");
    }
    builder.into_inner().expect("written")
}

const ROOT: &str = "d 755 0 0 0 0 5 .";

#[test]
fn the_newest_pack_has_the_file_and_what_was_removed_stays_away() {
    let file = EntryType::Regular;
    let old = tar(&[
        ("./a", file, 0o644, "", b"old"),
        ("./gone", file, 0o644, "", b"x"),
        ("./turns/x", file, 0o644, "", b"x"),
        ("./b", file, 0o644, "", b"b"),
    ]);
    let new = tar(&[("./a", file, 0o644, "", b"new!"), ("./turns", file, 0o644, "", b"is a file")]);
    let records = [ROOT, "f 644 0 0 4 1 5 ./a", "f 644 0 0 1 1 5 ./b", "f 644 0 0 9 1 5 ./turns"];
    let saved = Saved::new(&records, &[old, new]);
    let listed = saved.listed(1000, 1).expect("valid");
    let names: Vec<(&str, &str)> = listed
        .iter()
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            (words[2], words[words.len() - 1])
        })
        .collect();
    assert_eq!(names, [("1", "./b"), ("4", "./a"), ("9", "./turns")]);
    assert_eq!(saved.listed(1000, 2).expect("valid"), listed, "in two parts");
}

#[test]
fn nothing_comes_but_what_the_list_has() {
    let file = EntryType::Regular;
    let hostile = tar(&[
        ("/etc/passwd", file, 0o644, "", b"x"),
        ("../x", file, 0o644, "", b"x"),
        ("./a/../../x", file, 0o644, "", b"x"),
        ("./device", EntryType::Char, 0o666, "", b""),
        ("./pipe", EntryType::Fifo, 0o666, "", b""),
        ("./link", EntryType::Symlink, 0o777, "/usr/bin", b""),
        ("./hard", EntryType::Link, 0o644, "/etc/shadow", b""),
        ("./hard", EntryType::Link, 0o644, "./never", b""),
        ("./plain", file, 0o4755, "", b"yes"),
        ("./plain", file, 0o644, "", b"no!"),
        ("./other-time", file, 0o644, "", b"x"),
    ]);
    let records = [
        ROOT,
        "f 644 0 0 0 1 5 ./device",
        "f 644 0 0 0 1 5 ./pipe",
        "f 644 0 0 8 1 5 ./link",
        "f 644 0 0 0 2 5 ./hard",
        "f 4755 0 0 3 1 5 ./plain",
        "f 644 0 0 1 1 6 ./other-time",
    ];
    let listed = Saved::new(&records, &[hostile]).listed(1000, 1).expect("valid");
    assert_eq!(listed.len(), 1, "{listed:#?}");
    assert!(listed[0].starts_with("-rwxr-xr-x ") && listed[0].ends_with("./plain"), "{listed:?}");
}

#[test]
fn a_list_that_leads_out_of_the_mount_is_refused() {
    let link = tar(&[("./s", EntryType::Symlink, 0o777, "/usr/bin", b"")]);
    let perl = tar(&[("./s/perl", EntryType::Regular, 0o755, "", b"x")]);
    let records = [ROOT, "l 777 0 0 8 0 5 ./s", "f 755 0 0 1 1 5 ./s/perl"];
    let error = Saved::new(&records, &[link, perl]).listed(1000, 1).expect_err("hostile");
    assert!(error.to_string().contains("below a file"), "{error:#}");
}

#[test]
fn more_than_was_recorded_is_refused() {
    let zeros = tar(&[("./x", EntryType::Regular, 0o644, "", &vec![0; 1 << 20])]);
    let records = [ROOT, "f 644 0 0 1048576 1 5 ./x"];
    let mut saved = Saved::new(&records, &[zeros]);
    assert_eq!(saved.listed(1000, 1).expect("sound").len(), 1);
    saved.entry.bytes = 0;
    let error = saved.listed(1000, 1).expect_err("other sizes");
    assert!(error.to_string().contains("other sizes"), "{error:#}");
    saved.entry.bytes = 1 << 20;
    let incoming = Incoming::open(saved.dir.path(), &saved.entry, 1000).expect("sound");
    assert!(Incoming { limit: 1000, ..incoming }.write(vec![Vec::new()]).is_err(), "a bomb");
}

#[test]
fn names_with_several_parts_come_from_one_pack() {
    let (file, link) = (EntryType::Regular, EntryType::Link);
    let pack = tar(&[("./one", file, 0o644, "", b"abc"), ("./two", link, 0o644, "./one", b"")]);
    let records = [ROOT, "f 644 0 0 3 2 5 ./one", "f 644 0 0 3 2 5 ./two"];
    let listed = Saved::new(&records, &[pack]).listed(1000, 2).expect("valid");
    assert!(listed.iter().any(|line| line.ends_with("./two link to ./one")), "{listed:?}");
}

#[test]
fn times_of_a_go_cache_move_on_and_those_of_others_stay() {
    let file = EntryType::Regular;
    let pack = tar(&[("./trim.txt", file, 0o644, "", b"1000"), ("./00/x-d", file, 0o644, "", b"x")]);
    let records = [ROOT, "d 755 0 0 0 0 5 ./00", "f 644 0 0 4 1 5 ./trim.txt", "f 644 0 0 1 1 9.25 ./00/x-d"];
    let saved = Saved::new(&records, &[pack]);
    let listed = saved.listed(1000 + 86_400, 1).expect("valid");
    assert!(listed[0].contains("1 1970-01-02 00:00:09.25 ./00/x-d"), "{listed:?}");
    assert!(listed[1].contains("5 1970-01-02 00:00:05 ./trim.txt"), "its text has grown: {listed:?}");
    let pack = tar(&[("./x", file, 0o644, "", b"x")]);
    let listed = Saved::new(&[ROOT, "f 644 0 0 1 1 5 ./x"], &[pack]).listed(99_000, 1).expect("valid");
    assert!(listed[0].contains("1970-01-01 00:00:05"), "{listed:?}");
}

/// Files that GNU tar packs as in a save are restored unchanged, including names with line breaks,
/// holes and attributes.
#[test]
fn what_gnu_tar_packs_comes_back() {
    let dir = tempfile::tempdir().expect("a directory");
    let script = "umask 022; cd \"$1\"; mkdir -p in/deep out; cd in; printf x >'odd\nname'; \
        printf 0123456789%s{1..90} >long; truncate -s 8G holes; printf end | dd of=holes bs=1 seek=8589934000 2>/dev/null; \
        ln long deep/again; ln -s ../in/long deep/link; \
        find . -printf '%y %m %U %G ' '(' -type f -printf '%s %n ' -o -type l -printf '%s 0 ' -o -printf '0 0 ' ')' -printf '%T@ %p\\0' >../list; \
        find . ! -type d -print0 | tar --null --no-recursion -T- --sparse --format=posix --pax-option=delete=atime,delete=ctime --numeric-owner -cf ../pack";
    let root = dir.path().display().to_string();
    let status = Command::new("bash").args(["-c", script, "x", &root]).status().expect("bash runs");
    assert!(status.success());
    let read = |name: &str| fs::read(dir.path().join(name)).expect("read");
    let saved = Saved::of(&read("list"), &[read("pack")]);
    let incoming = Incoming::open(saved.dir.path(), &saved.entry, 1000).expect("valid");
    let tar = incoming.write(vec![Vec::new()]).expect("written").remove(0);
    assert!(tar.len() < 1 << 20, "holes stay holes");
    fs::write(dir.path().join("tar"), tar).expect("written");
    let compare = "cd \"$1\"/out && tar -xpf ../tar --numeric-owner --delay-directory-restore && \
        [ $(stat -c %b holes) -lt 1000 ] && [ $(stat -c %h long) = 2 ] && \
        diff <(cd ../in; find . -printf '%y %m %s %n %T@ %p %l\\n' | sort) <(find . -printf '%y %m %s %n %T@ %p %l\\n' | sort) && \
        cmp -s ../in/long long && [ \"$(tail -c 600 holes | tr -d '\\0')\" = end ]";
    let output = Command::new("bash").args(["-c", compare, "x", &root]).output().expect("bash runs");
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn directories_get_their_modes_and_times_to_the_nanosecond() {
    let records = [
        "d 711 0 0 0 0 981173106.123456789 .",
        "d 755 0 0 0 0 5 ./a b",
        "d 755 0 0 0 0 5 ./gone",
        "d 755 0 0 0 0 5 ./replaced",
        "f 644 0 0 3 1 7 ./a b/x",
    ];
    let saved = Saved::new(&records, &[]);
    let incoming = Incoming::open(saved.dir.path(), &saved.entry, 0).expect("valid");
    let mount = saved.dir.path().join("m");
    fs::create_dir_all(mount.join("a b")).expect("made");
    fs::write(mount.join("a b/x"), "abc").expect("written");
    fs::write(mount.join("replaced"), "newer").expect("written");
    // The records' owner is the one that runs the test.
    let owner = fs::metadata(&mount).map(|meta| format!(" {} {} 0 0 ", meta.uid(), meta.gid()));
    let input =
        String::from_utf8(incoming.directories()).expect("text").replace(" 0 0 0 0 ", &owner.expect("there"));
    let list = saved.dir.path().join("list");
    fs::write(&list, input).expect("written");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/src/store/transfer/set-directories");
    let stdin = fs::File::open(&list).expect("there");
    let output =
        Command::new("perl").arg(script).current_dir(&mount).stdin(stdin).output().expect("perl runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let of = |name: &str| {
        let meta = fs::symlink_metadata(mount.join(name)).expect("there");
        (meta.mode() & 0o7777, meta.mtime(), meta.mtime_nsec())
    };
    assert_eq!((of(""), of("a b")), ((0o711, 981_173_106, 123_456_789), (0o755, 5, 0)));
    assert!(of("a b/x").1 > 7 && of("replaced").1 > 5, "files are as they were");
}
