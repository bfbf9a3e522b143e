//! A store that can't be written, or that a newer version wrote. Builds read it as far as possible,
//! and write their files to a temporary directory.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::layout::Layout;
use crate::session::Session;
use crate::store::entry;
use crate::store::lock;

/// Required free space in a store in bytes: for a build record and an entry.
const PROBE: usize = 64 << 10;
/// Alternatives if `$TMPDIR` and `/tmp` can't be written.
const TEMPORARY: [&str; 3] = ["/var/tmp", "/dev/shm", "/run"];

/// The directory that a run writes to in place of the store.
pub(crate) struct StoreReplacement {
    /// The session with its files there.
    pub session: Session,
    /// Why the store can't be written.
    pub reason: String,
    /// Removed with the run.
    _dir: TempDir,
}

/// Returns a temporary directory if the store can't be written; `None` if it can.
pub(crate) fn needed(session: &Session) -> Result<Option<StoreReplacement>> {
    let Some(reason) = reason(&session.layout) else { return Ok(None) };
    let dir = temporary().context("failed to create a temporary directory in place of the store")?;
    let layout = Layout { replacement: Some(dir.path().to_path_buf()), ..session.layout.clone() };
    let session = Session {
        sh: session.sh.clone(),
        host: session.host.clone(),
        layout,
        globals: session.globals.clone(),
        redactor: session.redactor.clone(),
    };
    Ok(Some(StoreReplacement { session, reason, _dir: dir }))
}

/// Creates a temporary directory on the first file system with space for the files of a run.
fn temporary() -> io::Result<TempDir> {
    let places = std::iter::once(std::env::temp_dir()).chain(TEMPORARY.map(PathBuf::from));
    let make = |place: &Path| {
        probe(place)?;
        tempfile::Builder::new().prefix("durango-").tempdir_in(place)
    };
    let mut first = None;
    for place in places {
        match make(&place) {
            Ok(dir) => return Ok(dir),
            Err(error) => first = first.or(Some(error)),
        }
    }
    Err(first.unwrap_or_else(|| io::ErrorKind::NotFound.into()))
}

/// Returns why the store can't be written.
fn reason(layout: &Layout) -> Option<String> {
    if let Some(foreign) = entry::foreign_format(layout) {
        return Some(foreign);
    }
    let rooms = [layout.builds(), layout.tmp(), layout.all_layers(), layout.all_mounts(), layout.all_fresh()];
    let mut rooms = rooms.iter().filter(|dir| is_there(dir)).map(PathBuf::as_path);
    let refused = refusal(&layout.store).or_else(|| rooms.find_map(refusal));
    let refused = refused.or_else(|| lock::refusal(layout))?;
    Some(format!(
        "the store `{}` is not writable ({refused}): this build has no record and saves nothing\nfree \
         some space, correct the permissions, or name another directory with --cache-dir",
        layout.store.display()
    ))
}

/// Returns the error of writing a file to a directory, or to its nearest existing parent.
fn refusal(dir: &Path) -> Option<String> {
    let there = dir.ancestors().find(|dir| is_there(dir))?;
    if !there.is_dir() {
        return Some(format!("`{}` is not a directory", there.display()));
    }
    probe(there).err().map(|error| {
        let error = error.to_string();
        error.split(" at path ").next().unwrap_or_default().to_owned()
    })
}

/// Returns whether anything has this name, also a symbolic link to a missing directory.
fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// Writes some bytes to a file without a name.
fn probe(dir: &Path) -> io::Result<()> {
    let mut file = tempfile::tempfile_in(dir)?;
    file.write_all(&[0xd5; PROBE])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_can_not_be_written_is_named_with_the_cause() {
        let dir = tempfile::tempdir().expect("a directory");
        let layout = |name: &str| Layout::new("/", dir.path().join(name));
        assert_eq!(reason(&layout("new/store")), None);
        std::fs::write(dir.path().join("file"), "").expect("written");
        let why = reason(&layout("file/store")).expect("a file is in the way");
        assert!(why.contains("file` is not a directory"), "{why}");
        std::fs::create_dir(dir.path().join("store")).expect("made");
        std::fs::write(dir.path().join("store/mounts"), "").expect("written");
        let why = reason(&layout("store")).expect("a file is in the way");
        assert!(why.contains("mounts` is not a directory"), "{why}");
        std::os::unix::fs::symlink("missing", dir.path().join("link")).expect("linked");
        for store in ["link", "link/store"] {
            let why = reason(&layout(store)).expect("a link to nothing is in the way");
            assert!(why.contains("link` is not a directory"), "{why}");
        }
        assert!(refusal(Path::new("/proc/self")).is_some(), "no file can be made there");
        assert!(temporary().expect("a directory").path().is_dir());
    }
}
