//! A context as BuildKit receives it: the entries that pass the ignore file, read directory by
//! directory on demand. Opens no file.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::project::dockerfile::decode;
use crate::project::ignore::{Ignore, Matched};

/// An included file, directory, link or special file.
#[derive(Debug, Clone)]
pub(in crate::project) struct Entry {
    /// Its path below the context, decoded, without a leading slash; empty for the context itself.
    pub(in crate::project) path: String,
    /// Its path on this machine.
    pub(in crate::project) file: PathBuf,
    /// Its metadata, of a link itself.
    pub(in crate::project) meta: Metadata,
    matched: Matched,
}

impl Entry {
    /// Returns the last part of its path.
    pub(in crate::project) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

/// The entries of a context.
pub(in crate::project) struct Tree {
    root: Option<Entry>,
    ignore: Ignore,
    directories: BTreeMap<String, Rc<[Entry]>>,
    /// The first path that cannot be read, or whose name is not text.
    unreadable: Option<PathBuf>,
}

/// The maximum number of links in one path.
const MAX_LINKS: usize = 255;

impl Tree {
    /// Creates the tree of a directory.
    pub(in crate::project) fn new(root: &Path, ignore: Ignore) -> Self {
        let file = root.canonicalize().unwrap_or_else(|_| root.to_path_buf());
        let root = fs::metadata(&file).ok();
        let root = root.map(|meta| Entry { path: String::new(), file, meta, matched: Matched::default() });
        Self { root, ignore, directories: BTreeMap::new(), unreadable: None }
    }

    fn miss(&mut self, path: &Path) {
        self.unreadable.get_or_insert_with(|| path.to_path_buf());
    }

    /// Returns a directory, of those read so far, that cannot be read as it is.
    pub(in crate::project) fn unreadable(&self) -> Option<&Path> {
        self.unreadable.as_deref()
    }

    /// Returns the context itself, or `None` if it doesn't exist.
    pub(in crate::project) fn root(&self) -> Option<Entry> {
        self.root.clone()
    }

    /// Returns the included entries of a directory, sorted by name. An unreadable directory is
    /// empty here; BuildKit refuses it.
    pub(in crate::project) fn children(&mut self, directory: &Entry) -> Rc<[Entry]> {
        if !directory.meta.is_dir() {
            return Rc::new([]);
        }
        if let Some(known) = self.directories.get(&directory.path) {
            return Rc::clone(known);
        }
        let mut found = Vec::new();
        let items = fs::read_dir(&directory.file);
        if items.is_err() {
            self.miss(&directory.file);
        }
        for item in items.into_iter().flatten() {
            let Ok(item) = item else {
                self.miss(&directory.file);
                continue;
            };
            let name = item.file_name();
            if name.to_str().is_none() {
                self.miss(&item.path());
            }
            let name = decode(name.as_bytes());
            let path = if directory.path.is_empty() { name } else { format!("{}/{name}", directory.path) };
            let matched = self.ignore.matches(&path, &directory.matched).unwrap_or_default();
            let is_out = matched.is_match;
            let is_directory = item.file_type().is_ok_and(|kind| kind.is_dir());
            if is_out && !(is_directory && self.ignore.may_bring_back_below(&path)) {
                continue;
            }
            let Ok(meta) = item.metadata() else {
                self.miss(&item.path());
                continue;
            };
            let entry = Entry { path, file: item.path(), meta, matched };
            // An ignored directory is included if an exception includes something below it.
            if !is_out || !self.children(&entry).is_empty() {
                found.push(entry);
            }
        }
        found.sort_by(|one, other| one.path.cmp(&other.path));
        let found: Rc<[Entry]> = found.into();
        self.directories.insert(directory.path.clone(), Rc::clone(&found));
        found
    }

    /// Returns the entry at a path and follows links within the context.
    pub(in crate::project) fn resolve(&mut self, path: &str, follow_last: bool) -> Option<Entry> {
        let root = self.root()?;
        let mut at = vec![root];
        let mut rest: VecDeque<String> = path.split('/').map(str::to_owned).collect();
        let mut links = 0;
        while let Some(part) = rest.pop_front() {
            match part.as_str() {
                "" | "." => continue,
                ".." => {
                    at.truncate((at.len() - 1).max(1));
                    continue;
                }
                _ => {}
            }
            let parent = at.last()?.clone();
            let wanted = if parent.path.is_empty() { part } else { format!("{}/{part}", parent.path) };
            let next = self.children(&parent).iter().find(|entry| entry.path == wanted).cloned()?;
            let is_last = rest.iter().all(|part| part.is_empty() || part == ".");
            if !next.meta.is_symlink() || (is_last && !follow_last) {
                at.push(next);
                continue;
            }
            links += 1;
            if links > MAX_LINKS {
                return None;
            }
            let target = fs::read_link(&next.file).ok()?;
            if target.is_absolute() {
                at.truncate(1);
            }
            for part in decode(target.as_os_str().as_bytes()).split('/').rev() {
                rest.push_front(part.to_owned());
            }
        }
        at.pop()
    }
}

#[cfg(test)]
impl Tree {
    /// Returns the directories that were read, by path.
    pub(super) fn read_directories(&self) -> String {
        self.directories.keys().map(String::as_str).collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;
    use crate::project::context::{Contexts, Digests};
    use crate::project::dockerfile::steps::Selector;

    #[test]
    fn names_that_are_not_utf8_differ() {
        let dir = tempfile::tempdir().expect("a directory");
        let at = |name: &[u8]| dir.path().join(OsStr::from_bytes(name));
        let digest = || {
            let selector = Selector { path: "/".to_owned(), ..Selector::default() };
            let from = (dir.path(), &Ignore::default());
            let selected = Contexts::default().select(from, &[selector], &[], &mut Digests::default());
            let files: Vec<String> = selected.files.into_iter().map(|file| file.path).collect();
            (selected.digest.full, files.join(" "))
        };
        for (name, file) in [(b"d\xff", "one"), (b"d\xfe", "two")] {
            fs::create_dir(at(name)).expect("made");
            fs::write(at(name).join(file), "").expect("written");
        }
        let (before, files) = digest();
        assert_eq!(files, "d\\xFE d\\xFE/two d\\xFF d\\xFF/one");
        fs::rename(at(b"d\xff"), at(b"d\xfd")).expect("renamed");
        let (after, files) = digest();
        assert_eq!(files, "d\\xFD d\\xFD/one d\\xFE d\\xFE/two");
        assert_ne!(before, after);
        std::os::unix::fs::symlink(OsStr::from_bytes(b"d\xfe"), at(b"link")).expect("linked");
        let root = Tree::new(dir.path(), Ignore::default()).resolve("link/two", true);
        assert!(root.is_some(), "a link to such a name is followed");
    }
}
