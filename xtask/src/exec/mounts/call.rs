//! One call of a transfer: its files, the packs that are read beside it, and what it said.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};

use super::{IDLE_TIMEOUT, TransferContext};
use crate::exec::bake::{self, Call};
use crate::exec::idle_timeout::IdleTimeout;
use crate::exec::mount_store;
use crate::exec::steps;
use crate::plan::mounts::PlannedMount;
use crate::plan::mounts::transfer::Transfer;
use crate::progress::Watcher;
use crate::progress::bake_outcome::BakeOutcome;
use crate::store::layout_check::{self, Blob};
use crate::store::lock::Holds;
use crate::store::mount::MountEntry;

/// Puts back, and reads the packs while the engine gets ready, and receives them where BuildKit carries them, which takes four times as long
/// (measured). Each mount that is whole is told to `pass`; the call is ended as soon as one is found damaged.
pub(super) fn call_and_verify(
    site: &TransferContext<'_>,
    transfer: &Transfer,
    (mounts, left): (&[PlannedMount], &BTreeSet<usize>),
    watcher: &mut dyn Watcher,
    pass: &(dyn Fn(usize) + Sync),
) -> Result<(BakeOutcome, BTreeMap<usize, String>)> {
    let is_damaged = AtomicBool::new(false);
    let check = |number: usize, mount: &PlannedMount| {
        let whole = each_blob(mount, layout_check::verify);
        if whole.is_ok() {
            pass(number);
        } else {
            is_damaged.store(true, Ordering::Relaxed);
        }
        whole
    };
    std::thread::scope(|scope| {
        let verifying = scope.spawn(|| damaged((mounts, left), &check));
        let ended = call(site, transfer, watcher, &|| is_damaged.load(Ordering::Relaxed));
        let damaged = verifying.join().unwrap_or_else(|_| bail!("the reading of packs failed"));
        Ok((ended?, damaged?))
    })
}

/// Keeps what the store holds of mounts where it is.
fn hold(mounts: &[PlannedMount]) -> Holds {
    Holds::of(mounts.iter().filter(|mount| mount.held.is_some()).map(|mount| mount.dir.as_path()))
}

/// Checks what the store holds of a mount.
pub(super) fn each_blob(mount: &PlannedMount, check: fn(&Path, &Blob) -> Result<()>) -> Result<()> {
    let mut blobs = mount.held.iter().flat_map(MountEntry::blobs);
    blobs.try_for_each(|blob| check(&mount.dir, blob))
}

/// Mounts, but for those in `left`, that are not what they were, with what is to be said; they are not put back.
pub(super) fn damaged(
    (mounts, left): (&[PlannedMount], &BTreeSet<usize>),
    check: &dyn Fn(usize, &PlannedMount) -> Result<()>,
) -> Result<BTreeMap<usize, String>> {
    let _held = hold(mounts);
    let said = |(number, mount): (usize, &PlannedMount)| {
        let why = check(number, mount).err()?;
        let id = &mount.identity.id;
        Some((
            number,
            format!(
                "the cache mount `{id}` is not put back: {why:#}\n`cargo xtask cache verify` sets it aside"
            ),
        ))
    };
    let moved = mounts.iter().enumerate().filter(|(number, _)| !left.contains(number));
    Ok(moved.filter_map(said).collect())
}

/// Writes the call's files and links what it reads; what a call before left half done goes.
pub(super) fn prepare(transfer: &Transfer) -> Result<()> {
    steps::remove(&transfer.dir)?;
    fs::create_dir_all(transfer.empty())?;
    for (path, text) in &transfer.files {
        fs::create_dir_all(path.parent().unwrap_or(path))?;
        fs::write(path, text).with_context(|| format!("failed to write `{}`", path.display()))?;
    }
    let _held = hold(&transfer.items);
    for (blob, link) in &transfer.links {
        fs::create_dir_all(link.parent().unwrap_or(link))?;
        mount_store::link(blob, link)?;
    }
    Ok(())
}

pub(super) fn call(
    site: &TransferContext<'_>,
    transfer: &Transfer,
    watcher: &mut dyn Watcher,
    is_full: &(dyn Fn() -> bool + Sync),
) -> Result<BakeOutcome> {
    let call =
        Call { command: &transfer.command, targets: &transfer.targets, log: site.log, stop: &|_| false };
    let stall = IdleTimeout { after: IDLE_TIMEOUT, is_gone: &|_| true };
    bake::run_with(&call, watcher, Some(stall), Some(is_full))
}

/// Items whose RUN said nothing: BuildKit calls a RUN started that waits for its mount.
pub(super) fn silent(ended: &BakeOutcome, items: usize) -> BTreeSet<usize> {
    let spoke = |number: &usize| {
        let stage = format!("durango-{number}");
        let mut runs = ended
            .trace
            .steps()
            .filter(|(_, label)| label.stage == stage && label.instruction.starts_with("RUN "));
        runs.any(|(state, _)| state.cached || !state.tail.is_empty())
    };
    (0..items).filter(|number| !spoke(number)).collect()
}

pub(super) fn reason(ended: &BakeOutcome) -> String {
    let failed = ended.trace.failed();
    let said = failed.and_then(|state| state.tail.back().cloned()).filter(|line| line != "begun");
    let words = || ended.text.iter().rev().find(|line| line.starts_with("ERROR: ")).cloned();
    said.or_else(words).unwrap_or_else(|| "BuildKit gave no reason".to_owned())
}
