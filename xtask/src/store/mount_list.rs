//! The list of a mount's files. A save compares it, and a restore uses nothing else. One record per
//! file, terminated by NUL: type, mode, owner, group, size, links, time, path.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};

/// The type of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileKind {
    Directory,
    /// A regular file.
    File,
    /// A symbolic link.
    Symlink,
}

/// One file of a mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) kind: FileKind,
    /// Permissions, with the set-user-ID, set-group-ID and sticky bits.
    pub(crate) mode: u32,
    pub(crate) uid: u64,
    pub(crate) gid: u64,
    /// Size in bytes; 0 for a directory.
    pub(crate) size: u64,
    /// The number of its names; 0 for all but regular files.
    pub(crate) links: u64,
    /// The time of the last change.
    pub(crate) time: FileTime,
}

/// Seconds since 1970 and the fractional digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileTime {
    pub(crate) seconds: i64,
    /// Digits of the fraction, without trailing zeros.
    pub(crate) fraction: String,
}

impl FileTime {
    /// Parses `1764161234.1234567890`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
        let is_plain = fraction.len() <= 12 && fraction.bytes().all(|b| b.is_ascii_digit());
        let seconds: i64 = seconds.parse().ok().filter(|seconds: &i64| seconds.abs() < 1 << 40)?;
        is_plain.then(|| Self { seconds, fraction: fraction.trim_end_matches('0').to_owned() })
    }
}

impl std::fmt::Display for FileTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.fraction.as_str() {
            "" => write!(f, "{}", self.seconds),
            fraction => write!(f, "{}.{fraction}", self.seconds),
        }
    }
}

/// The kind of data in a mount, which decides how files are compared and packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    Empty,
    /// Package lists of apt, which are outdated the next day.
    AptLists,
    /// The build cache of Go.
    GoBuild,
    /// A cache of ccache.
    Ccache,
    Other,
}

/// The files of a mount by path. Paths begin with `./`, and `.` is the mount itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct MountList(pub(crate) BTreeMap<Vec<u8>, Listed>);

impl MountList {
    /// Parses and checks a list: every path is plain and is below directories of the list.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        let mut files = BTreeMap::new();
        for record in bytes.split(|byte| *byte == 0).filter(|record| !record.is_empty()) {
            let shown = || String::from_utf8_lossy(record).into_owned();
            let (path, file) = parse_record(record)
                .with_context(|| format!("its list of files has a record that is not valid: {}", shown()))?;
            if files.insert(path, file).is_some() {
                bail!("its list of files names a file twice: {}", shown());
            }
        }
        let list = Self(files);
        list.check_parents()?;
        Ok(list)
    }

    fn check_parents(&self) -> Result<()> {
        for path in self.0.keys().filter(|path| *path != b".") {
            let end = path.iter().rposition(|byte| *byte == b'/').unwrap_or_default();
            let parent = self.0.get(&path[..end]);
            if parent.is_none_or(|parent| parent.kind != FileKind::Directory) {
                let path = String::from_utf8_lossy(path);
                bail!("its list of files has `{path}` below a file");
            }
        }
        Ok(())
    }

    /// Returns the stored form of the list.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (path, file) in &self.0 {
            let kind = match file.kind {
                FileKind::Directory => 'd',
                FileKind::File => 'f',
                FileKind::Symlink => 'l',
            };
            let Listed { mode, uid, gid, size, links, time, .. } = file;
            bytes.extend(format!("{kind} {mode:o} {uid} {gid} {size} {links} {time} ").bytes());
            bytes.extend(path);
            bytes.push(0);
        }
        bytes
    }

    /// Returns the number of files and directories.
    pub(crate) fn files(&self) -> u64 {
        self.0.len() as u64
    }

    /// Returns their total size.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.values().fold(0, |sum: u64, file| sum.saturating_add(file.size))
    }

    fn has(&self, path: &str) -> bool {
        self.0.contains_key(path.as_bytes())
    }

    /// Returns the kind of data in the mount.
    pub(crate) fn content(&self) -> Content {
        let is_release = |path: &Vec<u8>| path.ends_with(b"Release") && !path[2..].contains(&b'/');
        if self.0.len() <= 1 {
            Content::Empty
        } else if self.has("./lock") && self.0.keys().any(is_release) {
            Content::AptLists
        } else if self.has("./00") && (self.has("./trim.txt") || self.has("./README")) {
            Content::GoBuild
        } else if self.has("./0/stats") || self.has("./0/0/stats") {
            Content::Ccache
        } else {
            Content::Other
        }
    }

    /// Returns whether tools touch files that they use. The names of such files depend on the
    /// content, so equal name and size mean an equal file.
    pub(crate) fn is_touched(&self) -> bool {
        matches!(self.content(), Content::GoBuild | Content::Ccache)
    }

    /// Returns the paths that a new pack must have for a reader with `before`.
    pub(crate) fn changed(&self, before: &Self) -> BTreeSet<&Vec<u8>> {
        let is_touched = self.is_touched();
        let is_new = |(path, file): &(&Vec<u8>, &Listed)| {
            file.kind != FileKind::Directory
                && before.0.get(*path).is_none_or(|known| !known.is_same(file, is_touched))
        };
        let mut changed: BTreeSet<&Vec<u8>> = self.0.iter().filter(is_new).map(|(path, _)| path).collect();
        // A new hard link needs all other names of its file in the pack, or it would become a
        // separate file.
        if changed.iter().any(|path| self.0[*path].links > 1) {
            changed.extend(self.0.iter().filter(|(_, file)| file.links > 1).map(|(path, _)| path));
        }
        changed
    }
}

impl Listed {
    /// Returns whether a file is unchanged.
    fn is_same(&self, other: &Self, is_touched: bool) -> bool {
        let is_file = self.kind == FileKind::File;
        let mut other = other.clone();
        if is_touched && is_file {
            other.time.clone_from(&self.time);
        }
        *self == other
    }
}

fn parse_record(record: &[u8]) -> Option<(Vec<u8>, Listed)> {
    let mut words = record.splitn(8, |byte| *byte == b' ');
    let mut word = || std::str::from_utf8(words.next()?).ok();
    let kind = match word()? {
        "d" => FileKind::Directory,
        "f" => FileKind::File,
        "l" => FileKind::Symlink,
        _ => return None,
    };
    let mode = u32::from_str_radix(word()?, 8).ok().filter(|mode| *mode <= 0o7777)?;
    let (uid, gid) = (word()?.parse().ok()?, word()?.parse().ok()?);
    let (size, links) = (word()?.parse().ok()?, word()?.parse().ok()?);
    let time = FileTime::parse(word()?)?;
    let path = words.next().filter(|path| is_plain(path))?.to_vec();
    let is_root = path == b".";
    if is_root && kind != FileKind::Directory || kind == FileKind::Directory && size != 0 {
        return None;
    }
    Some((path, Listed { kind, mode, uid, gid, size, links, time }))
}

/// Returns whether a path stays in the mount and is in normal form.
fn is_plain(path: &[u8]) -> bool {
    let is_name = |name: &[u8]| !matches!(name, b"" | b"." | b"..");
    path == b"."
        || path.len() < 4096
            && path.strip_prefix(b"./").is_some_and(|rest| rest.split(|byte| *byte == b'/').all(is_name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "d 755 0 0 0 0 5.0 .\0d 511 1 2 0 0 7.5000000000 ./a b\0\
        f 4750 1 2 3 2 1764161234.1234567890 ./a b/odd\nname\0l 777 0 0 4 0 5 ./link\0";

    #[test]
    fn a_list_is_read_and_written() {
        let list = MountList::parse(PLAIN.as_bytes()).expect("valid");
        assert_eq!((list.files(), list.bytes()), (4, 7));
        let file = &list.0[&b"./a b/odd\nname"[..]];
        assert_eq!((file.mode, file.time.to_string().as_str()), (0o4750, "1764161234.123456789"));
        assert_eq!(MountList::parse(&list.to_bytes()).expect("valid"), list);
    }

    #[test]
    fn paths_that_leave_the_mount_are_refused() {
        let root = "d 755 0 0 0 0 5 .\0";
        for hostile in [
            "f 644 0 0 1 1 5 /etc/passwd",
            "f 644 0 0 1 1 5 ./../x",
            "f 644 0 0 1 1 5 ./a/../x",
            "f 644 0 0 1 1 5 ./a//x",
            "f 644 0 0 1 1 5 ./",
            "l 777 0 0 1 0 5 ./s\0f 644 0 0 1 1 5 ./s/perl",
            "f 644 0 0 1 1 5 ./s\0f 644 0 0 1 1 5 ./s/perl",
            "f 644 0 0 1 1 5 ./missing/x",
            "f 644 0 0 1 1 5 ./x\0l 777 0 0 1 0 5 ./x",
            "l 777 0 0 1 0 5 .",
            "c 644 0 0 0 1 5 ./device",
            "f 100644 0 0 1 1 5 ./x",
            "f 644 0 0 -1 1 5 ./x",
            "f 644 0 0 1 1 x ./x",
            "d 755 0 0 1 0 5 ./x",
            "f 644",
        ] {
            assert!(MountList::parse(format!("{root}{hostile}\0").as_bytes()).is_err(), "{hostile:?}");
        }
        assert!(MountList::parse(b"f 644 0 0 1 1 5 ./x\0").is_err(), "its directory is missing");
    }

    fn list(records: &[&str]) -> MountList {
        let text: String = records.iter().map(|record| format!("{record}\0")).collect();
        MountList::parse(format!("d 755 0 0 0 0 5 .\0{text}").as_bytes()).expect("valid")
    }

    #[test]
    fn only_what_is_new_is_packed() {
        let before = list(&["f 644 0 0 1 1 5 ./same", "f 644 0 0 1 1 5 ./new", "f 644 0 0 1 2 5 ./one"]);
        let now = list(&[
            "f 644 0 0 1 1 5 ./same",
            "f 644 0 0 1 1 6 ./new",
            "f 644 0 0 1 2 5 ./one",
            "f 644 0 0 1 2 5 ./two",
            "d 755 0 0 0 0 9 ./directory",
        ]);
        let names: Vec<&[u8]> = now.changed(&before).into_iter().map(Vec::as_slice).collect();
        assert_eq!(names, [&b"./new"[..], b"./one", b"./two"], "with every name of a linked file");
        assert!(now.changed(&now).is_empty());
    }

    #[test]
    fn what_fills_a_mount_decides_what_is_the_same() {
        let go = |time: u32| {
            let object = format!("f 644 0 0 1 1 {time} ./00/object-d");
            list(&["d 755 0 0 0 0 5 ./00", "f 644 0 0 1 1 5 ./trim.txt", &object])
        };
        assert_eq!(go(5).content(), Content::GoBuild);
        assert!(go(6).changed(&go(5)).is_empty(), "Go touches what it uses");
        assert_eq!(list(&[]).content(), Content::Empty);
        let apt = list(&["f 644 0 0 1 1 5 ./lock", "f 644 0 0 1 1 5 ./deb.example_InRelease"]);
        assert_eq!(apt.content(), Content::AptLists);
        let ccache = list(&["d 755 0 0 0 0 5 ./0", "f 644 0 0 1 1 5 ./0/stats"]);
        assert_eq!(ccache.content(), Content::Ccache);
    }
}
