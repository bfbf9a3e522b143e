//! Cached answers: facts that take time to find, valid as long as their fingerprint and for an
//! hour. A memo is never required: one that cannot be read or written only costs time.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::files::{self, Durability};
use crate::layout::Layout;

/// Longer than a work session and shorter than a day, to limit errors of a fingerprint.
const LIFETIME: Duration = Duration::from_secs(3600);
/// The maximum number of memos; the newest are kept.
const MOST_MEMOS: usize = 64;

/// One cached answer.
pub(crate) struct Memo {
    path: PathBuf,
}

impl Memo {
    /// Returns the memo of a query, for the state that `fingerprint` identifies.
    pub(crate) fn new(layout: &Layout, question: &str, fingerprint: &str) -> Self {
        Self { path: layout.memo(&format!("{question}-{}.json", &fingerprint[..16.min(fingerprint.len())])) }
    }

    /// Reads the answer, if it is cached and valid.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Option<T> {
        let age = fs::metadata(&self.path).ok()?.modified().ok()?.elapsed().ok()?;
        if age > LIFETIME {
            return None;
        }
        serde_json::from_slice(&files::read(&self.path).ok()?).ok()
    }

    /// Caches an answer.
    pub(crate) fn write<T: Serialize>(&self, answer: &T) {
        let Some(dir) = self.path.parent() else { return };
        if let (Ok(()), Ok(json)) = (files::make_dir(dir), serde_json::to_vec(answer)) {
            forget_old(dir);
            let _ = files::write(&self.path, &json, Durability::Quick);
        }
    }
}

/// Removes memos past their lifetime, the oldest beyond [`MOST_MEMOS`], and those that others may
/// read, which an older version wrote. A memo with a time in the future counts as old.
fn forget_old(dir: &Path) {
    let mut files = Vec::new();
    for file in fs::read_dir(dir).into_iter().flatten().flatten() {
        let Ok(meta) = file.metadata() else { continue };
        let age = meta.modified().ok().and_then(|time| time.elapsed().ok());
        let age = age.filter(|_| !files::is_exposed(&meta)).unwrap_or(Duration::MAX);
        files.push((age, file.path()));
    }
    files.sort();
    for (at, (age, path)) in files.into_iter().enumerate() {
        if age > LIFETIME || at >= MOST_MEMOS {
            let _ = fs::remove_file(path);
        }
    }
}

/// Returns the identity of a file or directory from its metadata. It changes with every write and
/// replacement.
pub(crate) fn stamp(path: &Path) -> String {
    match fs::metadata(path) {
        Ok(meta) => format!(
            "{}:{}:{}:{}.{};",
            path.display(),
            meta.ino(),
            meta.size(),
            meta.mtime(),
            meta.mtime_nsec()
        ),
        Err(_) => format!("{}:-;", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memos_are_bounded_and_those_of_the_future_go() {
        let dir = tempfile::tempdir().expect("a directory");
        let layout = Layout::new("/", dir.path());
        let memo = |number: usize| Memo::new(&layout, "bake", &format!("{number:016}"));
        for number in 0..MOST_MEMOS {
            memo(number).write(&number);
        }
        let future = std::time::SystemTime::now() + Duration::from_secs(1 << 25);
        let file = fs::File::open(&memo(7).path).expect("there");
        file.set_modified(future).expect("set");
        assert_eq!(memo(7).read::<usize>(), None);
        (MOST_MEMOS..2 * MOST_MEMOS).for_each(|number| memo(number).write(&number));
        let left = fs::read_dir(layout.memo("")).expect("read").count();
        assert!((1..=MOST_MEMOS + 1).contains(&left), "{left}");
        assert!(!memo(7).path.exists());
        assert_eq!(memo(2 * MOST_MEMOS - 1).read(), Some(2 * MOST_MEMOS - 1));
    }
}
