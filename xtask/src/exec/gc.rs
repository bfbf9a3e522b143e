//! Removes the entries of a plan. They are renamed first, so that no reader sees a part. Entries
//! that are held, or were saved again since the plan was made, are kept.

use std::path::Path;
use std::{fs, io};

use anyhow::{Context, Result};
use jiff::Timestamp;

use super::scratch::Scratch;
use super::steps;
use crate::files;
use crate::layout::Layout;
use crate::plan::gc::{GcPlan, Removal};
use crate::store::contents::{GC, ItemKind};
use crate::store::lock::{self, Lock};

/// Removes the listed entries and updates the plan to the removed ones. The store is locked for
/// renames only, not for the removal.
pub(crate) fn run(layout: &Layout, plan: &mut GcPlan, now: Timestamp) -> Result<()> {
    if plan.removals.is_empty() {
        return Ok(());
    }
    // A full disk may have no space for a directory. Then entries are removed in place.
    let bin = Scratch::new(layout, now, GC).ok();
    let lock = Lock::exclusive(layout)?;
    let (mut gone, mut stays, mut failed) = (Vec::new(), 0, None);
    for (index, removal) in std::mem::take(&mut plan.removals).into_iter().enumerate() {
        let to = bin.as_ref().map(|bin| bin.dir().join(index.to_string()));
        match take(&removal, to.as_deref()) {
            Ok(true) => gone.push(removal),
            Ok(false) => stays += removal.bytes,
            Err(error) => {
                stays += removal.bytes;
                failed = failed.or(Some(error));
            }
        }
    }
    drop(lock);
    (plan.removals, plan.after) = (gone, plan.after + stays);
    drop(bin);
    failed.map_or(Ok(()), Err)
}

/// Moves one entry away, or removes it in place. Returns whether it is gone.
fn take(removal: &Removal, to: Option<&Path>) -> Result<bool> {
    let path = &removal.path;
    if !removal.seen.is_unchanged() {
        return Ok(false);
    }
    let meta = match fs::symlink_metadata(path) {
        // Another process that removes it does the same work.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        meta => meta?,
    };
    let owner = match removal.kind {
        _ if meta.is_dir() => Some(path.as_path()),
        // A file there belongs to nothing.
        ItemKind::Tmp => None,
        // A blob belongs to the entry whose directory it is in.
        _ => path.ancestors().nth(3),
    };
    let claim = owner.map(lock::claim).transpose()?;
    if matches!(claim, Some(None)) {
        return Ok(false);
    }
    let failed = || format!("failed to remove `{}`", path.display());
    match to {
        Some(to) => fs::rename(path, to).with_context(failed)?,
        None => {
            // Without `entry.json` it is not an entry any more.
            let _ = fs::remove_file(path.join("entry.json"));
            steps::remove(path)?;
        }
    }
    let parents = path.ancestors().skip(1).take(2);
    // An empty directory of a key or an image is removed, too.
    if removal.kind == ItemKind::Layers {
        parents.for_each(|dir| drop(fs::remove_dir(dir)));
    }
    Ok(true)
}

/// Removes the permissions of group and others from files that build programs wrote.
pub(crate) fn seal(layout: &Layout, exposed: &[std::path::PathBuf]) {
    for path in files::exposed(&layout.store, exposed) {
        let _ = files::seal_one(path);
    }
}
