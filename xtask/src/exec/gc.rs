//! Removing what a plan lists: renamed out of the way first, so that nobody ever sees a part. What
//! is held or was saved anew since the plan was made stays.

use std::path::Path;
use std::{fs, io};

use anyhow::{Context, Result};
use jiff::Timestamp;

use super::scratch::Scratch;
use super::steps;
use crate::files;
use crate::layout::Layout;
use crate::plan::gc::{GcPlan, Removal};
use crate::store::lock::{self, Lock};

/// Removes what is listed; the plan has what went then. The store is locked while things are
/// renamed, not while they are removed.
pub(crate) fn run(layout: &Layout, plan: &mut GcPlan, now: Timestamp) -> Result<()> {
    if plan.removals.is_empty() {
        return Ok(());
    }
    // A full disk may have no room for a directory: then everything is removed where it is.
    let bin = Scratch::new(layout, now, "gc").ok();
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

/// Moves one thing away, or removes it where it is; whether it is gone.
fn take(removal: &Removal, to: Option<&Path>) -> Result<bool> {
    let path = &removal.path;
    if !removal.seen.is_unchanged() {
        return Ok(false);
    }
    let meta = match fs::symlink_metadata(path) {
        // Somebody else who removes it does the same work.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        meta => meta?,
    };
    // A blob belongs to the entry whose directory it is in.
    let owner = if meta.is_dir() { Some(path.as_path()) } else { path.ancestors().nth(3) };
    let claim = owner.map(lock::claim).transpose()?;
    if matches!(claim, Some(None)) {
        return Ok(false);
    }
    let failed = || format!("failed to remove `{}`", path.display());
    match to {
        Some(to) => fs::rename(path, to).with_context(failed)?,
        None => {
            // Without its entry nobody takes it for one.
            let _ = fs::remove_file(path.join("entry.json"));
            steps::remove(path)?;
        }
    }
    let parents = path.ancestors().skip(1).take(2);
    // The directory of a key or an image that has nothing more goes, too.
    if removal.kind == crate::store::contents::ItemKind::Layers {
        parents.for_each(|dir| drop(fs::remove_dir(dir)));
    }
    Ok(true)
}

/// Takes the permissions of others from what programs wrote that builds ran.
pub(crate) fn seal(layout: &Layout, exposed: &[std::path::PathBuf]) {
    for path in files::exposed(&layout.store, exposed) {
        let _ = files::seal_one(path);
    }
}
