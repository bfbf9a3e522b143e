//! Remembered answers: a fact that cost time to find, valid while its fingerprint and an hour last.
//! A memo is never needed: one that cannot be read or written is only slower.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::files::{self, Durability};
use crate::layout::Layout;

/// Longer than a working spell at the desk, shorter than a day: what a fingerprint misses is found
/// then.
const LIFETIME: Duration = Duration::from_secs(3600);
/// How many memos are kept: of many environments within the hour, the newest.
const MOST: usize = 64;

/// One remembered answer.
pub(crate) struct Memo {
    path: PathBuf,
}

impl Memo {
    /// The memo of a question, for the state of the world that `fingerprint` stands for.
    pub(crate) fn new(layout: &Layout, question: &str, fingerprint: &str) -> Self {
        Self { path: layout.memo(&format!("{question}-{}.json", &fingerprint[..16.min(fingerprint.len())])) }
    }

    /// The answer, where one is remembered and young.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Option<T> {
        let age = fs::metadata(&self.path).ok()?.modified().ok()?.elapsed().ok()?;
        if age > LIFETIME {
            return None;
        }
        serde_json::from_slice(&fs::read(&self.path).ok()?).ok()
    }

    /// Remembers an answer.
    pub(crate) fn write<T: Serialize>(&self, answer: &T) {
        let Some(dir) = self.path.parent() else { return };
        if let (Ok(()), Ok(json)) = (files::make_dir(dir), serde_json::to_vec(answer)) {
            forget_old(dir);
            let _ = files::write(&self.path, &json, Durability::Quick);
        }
    }
}

/// Removes memos past their lifetime, the oldest beyond [`MOST`], and those that others may read,
/// which an older version wrote. A memo that a wrong clock dated into the future counts as old.
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
        if age > LIFETIME || at >= MOST {
            let _ = fs::remove_file(path);
        }
    }
}

/// Identity of a file or folder as its metadata tells it; changes whenever it is written or
/// replaced.
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
        for number in 0..MOST {
            memo(number).write(&number);
        }
        let future = std::time::SystemTime::now() + Duration::from_secs(1 << 25);
        let file = fs::File::open(&memo(7).path).expect("there");
        file.set_modified(future).expect("set");
        assert_eq!(memo(7).read::<usize>(), None);
        (MOST..2 * MOST).for_each(|number| memo(number).write(&number));
        let left = fs::read_dir(layout.memo("")).expect("read").count();
        assert!((1..=MOST + 1).contains(&left), "{left}");
        assert!(!memo(7).path.exists());
        assert_eq!(memo(2 * MOST - 1).read(), Some(2 * MOST - 1));
    }
}
