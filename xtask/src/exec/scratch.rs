//! A directory of one run in the store, on the same file system, so that a rename can move results
//! out of it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use jiff::Timestamp;

use super::steps;
use crate::build_id;
use crate::build_id::random;
use crate::files;
use crate::layout::Layout;
use crate::process::stdio::errln;
use crate::store::lock;
use crate::store::owner::Owner;

/// A scratch directory, removed on drop.
pub(crate) struct Scratch {
    id: String,
    dir: PathBuf,
    _held: Option<File>,
}

impl Scratch {
    /// Creates a directory with a unique id. `what` names its purpose.
    pub(crate) fn new(layout: &Layout, now: Timestamp, what: &str) -> Result<Self> {
        let made = loop {
            let id = build_id::new_id(now, random());
            let name = if what.is_empty() { id.clone() } else { format!("{id}-{what}") };
            let dir = layout.tmp().join(name);
            // Only of the new directory it says that another run has this id.
            match files::make_dir(&layout.tmp()).map(|()| files::make_new_dir(&dir)) {
                Ok(Err(error)) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => break made.flatten().map(|()| (id, dir)),
            }
        };
        let (id, dir) =
            made.with_context(|| format!("failed to create a directory in `{}`", layout.tmp().display()))?;
        // Without a lock, the owner decides; without an owner, the age does.
        let held = lock::hold(&dir);
        let _ = Owner::this().write(&dir);
        Ok(Self { id, dir, _held: held })
    }

    /// Returns its unique id.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = steps::remove(&self.dir) {
            errln!("warning: {error:#}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contents::is_held;

    #[test]
    fn a_file_in_the_way_is_an_error() {
        let store = tempfile::tempdir().expect("a directory");
        let layout = Layout::new("/", store.path());
        std::fs::write(layout.tmp(), "in the way").expect("written");
        assert!(Scratch::new(&layout, Timestamp::now(), "").is_err());
        let link = store.path().join("link");
        std::os::unix::fs::symlink(store.path().join("missing"), &link).expect("linked");
        assert!(Scratch::new(&Layout::new("/", link), Timestamp::now(), "").is_err());
    }

    #[test]
    fn runs_of_one_moment_have_directories_of_their_own() {
        let store = tempfile::tempdir().expect("a directory");
        let layout = Layout::new("/", store.path());
        let now = Timestamp::now();
        let all: Vec<Scratch> = (0..50).map(|_| Scratch::new(&layout, now, "").expect("made")).collect();
        let ids: std::collections::BTreeSet<&str> = all.iter().map(Scratch::id).collect();
        assert_eq!(ids.len(), 50);
        assert!(all.iter().all(|scratch| is_held(scratch.dir())));
        let left = all[0].dir().to_path_buf();
        drop(all);
        assert!(!left.exists());
    }
}
