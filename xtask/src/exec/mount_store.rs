//! Writing saved cache mounts into the store.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::steps;
use crate::layout::Layout;
use crate::store::layout_check;
use crate::store::lock::Lock;
use crate::store::mount::{self, MountEntry};

/// A hard link, or a copy where the file system has none.
pub(super) fn link(from: &Path, to: &Path) -> Result<()> {
    if to.exists() || fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    fs::copy(from, to).with_context(|| format!("failed to copy `{}`", from.display()))?;
    Ok(())
}

/// Moves blobs into the mount's folder; the renaming of `entry.json` is what makes them count, and what it does not name goes.
/// `upon` is what the new packs add to: where the store holds another save by now, they fit nothing.
pub fn commit(
    layout: &Layout,
    from: &Path,
    dir: &Path,
    entry: &MountEntry,
    upon: Option<&MountEntry>,
) -> Result<()> {
    let _lock = Lock::writing(layout)?;
    if upon.is_some_and(|upon| mount::read(dir).ok().as_ref() != Some(upon)) {
        bail!("another build saved it meanwhile; the next build saves what is new");
    }
    move_in(from, dir, entry)
}

/// The moving itself, for who holds the exclusive lock.
pub(super) fn move_in(from: &Path, dir: &Path, entry: &MountEntry) -> Result<()> {
    let blobs = layout_check::blobs(dir);
    fs::create_dir_all(&blobs)?;
    for blob in entry.blobs().filter(|blob| layout_check::has(dir, blob).is_err()) {
        let new = layout_check::blobs(from).join(&blob.digest);
        fs::rename(&new, blobs.join(&blob.digest))
            .with_context(|| format!("failed to move `{}`", new.display()))?;
    }
    let beside = dir.join("entry.json.new");
    fs::write(&beside, serde_json::to_vec_pretty(entry)?)?;
    fs::rename(&beside, dir.join("entry.json"))?;
    for file in fs::read_dir(&blobs)?.flatten() {
        if !entry.blobs().any(|blob| file.file_name().to_str() == Some(&blob.digest)) {
            let _ = fs::remove_file(file.path());
        }
    }
    steps::remove(from)
}
