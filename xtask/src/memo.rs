//! Remembered answers: a fact that cost time to find, valid while its fingerprint and an hour last. A memo is never
//! needed: one that cannot be read or written is only slower.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::layout::Layout;

/// Longer than a working spell at the desk, shorter than a day: what a fingerprint misses is found then.
const LIFETIME: Duration = Duration::from_secs(3600);

/// One remembered answer.
pub struct Memo {
    path: PathBuf,
}

impl Memo {
    /// The memo of a question, for the state of the world that `fingerprint` stands for.
    pub fn new(layout: &Layout, question: &str, fingerprint: &str) -> Self {
        Self { path: layout.memo(&format!("{question}-{}.json", &fingerprint[..16.min(fingerprint.len())])) }
    }

    /// The answer, where one is remembered and young.
    pub fn read<T: DeserializeOwned>(&self) -> Option<T> {
        let age = fs::metadata(&self.path).ok()?.modified().ok()?.elapsed().ok()?;
        if age > LIFETIME {
            return None;
        }
        serde_json::from_slice(&fs::read(&self.path).ok()?).ok()
    }

    /// Remembers an answer.
    pub fn write<T: Serialize>(&self, answer: &T) {
        let Some(dir) = self.path.parent() else { return };
        if let (Ok(()), Ok(json)) = (fs::create_dir_all(dir), serde_json::to_vec(answer)) {
            forget_old(dir);
            // Readable by its owner alone, as every temporary file.
            let written = || {
                let mut file = tempfile::NamedTempFile::new_in(dir)?;
                file.write_all(&json)?;
                file.persist(&self.path).map_err(|error| error.error)
            };
            let _ = written();
        }
    }
}

/// Removes answers past their lifetime, and those that others may read, which an older version wrote.
fn forget_old(dir: &Path) {
    for file in fs::read_dir(dir).into_iter().flatten().flatten() {
        let Ok(meta) = file.metadata() else { continue };
        let age = meta.modified().ok().and_then(|time| time.elapsed().ok());
        if meta.mode() & 0o077 != 0 || age.is_some_and(|age| age > LIFETIME) {
            let _ = fs::remove_file(file.path());
        }
    }
}

/// Identity of a file or folder as its metadata tells it; changes whenever it is written or replaced.
pub fn stamp(path: &Path) -> String {
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
