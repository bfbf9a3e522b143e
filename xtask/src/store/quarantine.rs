//! Moves damaged entries to the quarantine, with the reason in a file next to them. They are never
//! used but can be inspected.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use jiff::Timestamp;

use super::lock::{self, Lock};
use crate::build_id;
use crate::build_id::random;
use crate::files::{self, Durability};
use crate::layout::Layout;
use crate::store::damage::{self, Damaged};

/// Moves entries that are still damaged and that no process holds, and returns their new paths. An
/// entry may have been saved again meanwhile.
pub(crate) fn run(layout: &Layout, damaged: &[Damaged]) -> Result<Vec<PathBuf>> {
    // A full check reads everything, so it runs before the lock is taken.
    let damaged: Vec<&Damaged> = damaged.iter().filter(|item| damage::persists(item)).collect();
    if damaged.is_empty() {
        return Ok(Vec::new());
    }
    let _lock = Lock::exclusive(layout)?;
    let mut moved = Vec::new();
    for item in damaged.into_iter().filter(|item| item.is_unchanged()) {
        if let Some(_claim) = lock::claim(&item.path)? {
            moved.push(place(layout, &item.path, &item.reason)?);
        }
    }
    Ok(moved)
}

/// Moves one file or directory and returns its new path. The caller has the store's lock.
pub(super) fn place(layout: &Layout, path: &Path, reason: &str) -> Result<PathBuf> {
    let place = layout.quarantine().join(build_id::new_id(Timestamp::now(), random()));
    files::make_dir(&place).with_context(|| format!("failed to create `{}`", place.display()))?;
    let reason = format!("{}\n{reason}\n", path.display());
    files::write(&place.join("reason"), reason.as_bytes(), Durability::Quick)?;
    files::rename(path, &place.join("content"))
        .with_context(|| format!("failed to move `{}`", path.display()))?;
    Ok(place)
}
