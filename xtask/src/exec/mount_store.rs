//! Writes saved cache mounts to the store.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::steps;
use crate::files::{self, Durability};
use crate::layout::Layout;
use crate::store::layout_check;
use crate::store::lock::{self, Lock};
use crate::store::mount::{self, MountEntry};

/// Makes a hard link, or a copy if the file system has none.
pub(super) fn link(from: &Path, to: &Path) -> Result<()> {
    if to.exists() || fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    fs::copy(from, to).with_context(|| format!("failed to copy `{}`", from.display()))?;
    Ok(())
}

/// Moves blobs to the mount's directory. They take effect when `entry.json` is renamed, and unnamed
/// blobs are removed. `base` is the entry that the new packs extend: they don't fit if the store
/// has another save by now.
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

/// Waits until the new files of a mount are on the disk.
pub(super) fn sync(from: &Path, entry: &MountEntry) -> Result<()> {
    for blob in entry.blobs() {
        if let Ok(file) = File::open(layout_check::blobs(from).join(&blob.digest)) {
            file.sync_all()?;
        }
    }
    Ok(())
}

/// Moves the files. The caller has the store's lock. Blobs that a restore may be reading are left
/// to `gc`.
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
