//! Removing what a plan lists, exactly that: renamed out of the way first, so that nobody ever sees a part.

use std::fs;

use anyhow::{Context, Result};
use jiff::Timestamp;

use super::steps;
use crate::build_id;
use crate::layout::Layout;
use crate::plan::gc::GcPlan;

/// Removes what is listed. The caller holds the store's lock, or what is listed may come to be in use.
pub fn run(layout: &Layout, plan: &GcPlan, now: Timestamp) -> Result<()> {
    if plan.removals.is_empty() {
        return Ok(());
    }
    let bin = layout.tmp().join(format!("{}-gc", build_id::new_id(now, std::process::id())));
    fs::create_dir_all(&bin).with_context(|| format!("failed to make `{}`", bin.display()))?;
    let moved = plan.removals.iter().enumerate().try_for_each(|(index, removal)| {
        let moved = fs::rename(&removal.path, bin.join(index.to_string()));
        match moved {
            // Who else removes it does the same work.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            other => other.with_context(|| format!("failed to remove `{}`", removal.path.display())),
        }
    });
    moved.and(steps::remove(&bin))
}
