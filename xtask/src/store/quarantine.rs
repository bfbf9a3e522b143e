//! Moving what is damaged out of the way, with the reason beside it, so that it is never used and can still be looked at.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use jiff::Timestamp;

use super::lock::Lock;
use crate::build_id;
use crate::layout::Layout;
use crate::store::damage::{self, Damaged};

/// Moves what is still damaged once the store is locked; gives where each went. Somebody may have saved it anew meanwhile. A build
/// does not wait for others that read the store.
pub fn run(layout: &Layout, damaged: &[Damaged], now: Timestamp, waits: bool) -> Result<Vec<PathBuf>> {
    if damaged.is_empty() {
        return Ok(Vec::new());
    }
    let lock = if waits { Some(Lock::exclusive(layout)?) } else { Lock::exclusive_now(layout)? };
    let Some(_lock) = lock else { bail!("another build reads the store") };
    let mut moved = Vec::new();
    for (index, item) in damaged.iter().filter(|item| damage::persists(item)).enumerate() {
        let id = format!("{}-{index}", build_id::new_id(now, std::process::id()));
        let place = layout.quarantine().join(id);
        fs::create_dir_all(&place).with_context(|| format!("failed to make `{}`", place.display()))?;
        let reason = format!("{}\n{}\n", item.path.display(), item.reason);
        fs::write(place.join("reason"), reason)?;
        fs::rename(&item.path, place.join("content"))
            .with_context(|| format!("failed to move `{}`", item.path.display()))?;
        moved.push(place);
    }
    Ok(moved)
}
