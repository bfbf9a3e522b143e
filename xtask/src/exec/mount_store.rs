//! Writing saved cache mounts into the store.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::steps;
use crate::files::{self, Durability};
use crate::layout::Layout;
use crate::store::layout_check;
use crate::store::lock::{self, Lock};
use crate::store::mount::{self, MountEntry};

/// A hard link, or a copy where the file system has none.
pub(super) fn link(from: &Path, to: &Path) -> Result<()> {
    if to.exists() || fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    fs::copy(from, to).with_context(|| format!("failed to copy `{}`", from.display()))?;
    Ok(())
}

/// Moves blobs into the mount's directory; the renaming of `entry.json` is what makes them count,
/// and what it does not name goes. `base` is what the new packs add to: if the store holds another
/// save by now, they fit nothing.
pub(crate) fn commit(
    layout: &Layout,
    from: &Path,
    dir: &Path,
    entry: &MountEntry,
    base: Option<&MountEntry>,
) -> Result<()> {
    sync(from, entry)?;
    {
        let _lock = Lock::exclusive(layout)?;
        if base.is_some_and(|base| mount::read(dir).ok().as_ref() != Some(base)) {
            bail!("another build saved it meanwhile; the next build saves the new files");
        }
        move_in(from, dir, entry)?;
    }
    steps::remove(from)
}

/// Waits until the disk has what is new of a mount.
pub(super) fn sync(from: &Path, entry: &MountEntry) -> Result<()> {
    for blob in entry.blobs() {
        if let Ok(file) = File::open(layout_check::blobs(from).join(&blob.digest)) {
            file.sync_all()?;
        }
    }
    Ok(())
}

/// The moving itself, for who holds the store's lock. Blobs that a restore may be reading stay for
/// `gc`.
pub(super) fn move_in(from: &Path, dir: &Path, entry: &MountEntry) -> Result<()> {
    let blobs = layout_check::blobs(dir);
    files::make_dir(&blobs)?;
    for blob in entry.blobs().filter(|blob| layout_check::has(dir, blob).is_err()) {
        let new = layout_check::blobs(from).join(&blob.digest);
        fs::rename(&new, blobs.join(&blob.digest))
            .with_context(|| format!("failed to move `{}`", new.display()))?;
        files::seal_one(&blobs.join(&blob.digest))?;
    }
    files::sync_dir(&blobs)?;
    files::write(&dir.join("entry.json"), &serde_json::to_vec_pretty(entry)?, Durability::Synced)?;
    let Ok(Some(_claim)) = lock::claim(dir) else { return Ok(()) };
    for file in fs::read_dir(&blobs)?.flatten() {
        if !entry.blobs().any(|blob| file.file_name().to_str() == Some(&blob.digest)) {
            let _ = fs::remove_file(file.path());
        }
    }
    Ok(())
}
