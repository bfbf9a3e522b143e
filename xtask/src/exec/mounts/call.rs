//! One call of a transfer: its files, the packs that are read in parallel, and its output.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::incoming::Incoming;
use super::outgoing::Outgoing;
use super::{Skipped, TransferContext, codec};
use crate::exec::bake::{self, Call};
use crate::exec::idle_timeout::IdleTimeout;
use crate::exec::steps;
use crate::exec::supervisor::Condition;
use crate::plan::mounts::dockerfile;
use crate::plan::mounts::transfer::Transfer;
use crate::plan::mounts::{Direction, PlannedMount};
use crate::progress::Watcher;
use crate::progress::bake_outcome::BakeOutcome;
use crate::store::layout_check::{self, Blob};
use crate::store::lock::Holds;
use crate::store::mount::{self, MountEntry};

/// The timeout for a lock. A working process sends output every five seconds.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Restores, and verifies the packs while the engine starts. Passes each intact mount to `pass`.
/// Ends the call as soon as one is found damaged.
pub(super) fn call_and_verify(
    site: &TransferContext<'_>,
    transfer: &Transfer,
    (mounts, left): (&[PlannedMount], &BTreeSet<usize>),
    watcher: &mut dyn Watcher,
    pass: &(dyn Fn(usize) + Sync),
) -> Result<(BakeOutcome, Skipped)> {
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
        let damaged = verifying.join().unwrap_or_else(|_| bail!("failed to read the packs"));
        Ok((ended?, damaged?))
    })
}

/// Holds the entries of mounts in the store.
pub(super) fn hold(mounts: &[PlannedMount]) -> Holds {
    Holds::of(mounts.iter().filter(|mount| mount.held.is_some()).map(|mount| mount.dir.as_path()))
}

/// Checks every blob of a mount in the store.
pub(super) fn each_blob(mount: &PlannedMount, check: fn(&Path, &Blob) -> Result<()>) -> Result<()> {
    let mut blobs = mount.held.iter().flat_map(MountEntry::blobs);
    blobs.try_for_each(|blob| check(&mount.dir, blob))
}

/// Returns damaged mounts, except those in `left`, with their warnings. They are not restored.
pub(super) fn damaged(
    (mounts, left): (&[PlannedMount], &BTreeSet<usize>),
    check: &dyn Fn(usize, &PlannedMount) -> Result<()>,
) -> Result<Skipped> {
    let _held = hold(mounts);
    let moved = mounts.iter().enumerate().filter(|(number, _)| !left.contains(number));
    let failed =
        moved.filter_map(|(number, mount)| Some((number, warning(mount, &check(number, mount).err()?))));
    Ok(failed.collect())
}

/// Returns the warning about a mount that cannot be restored. There is none for a mount that had to
/// make room since it was planned: like one that was never saved, it is not in the store.
fn warning(mount: &PlannedMount, why: &anyhow::Error) -> Option<String> {
    if !mount::is_saved(&mount.dir) {
        return None;
    }
    let is_other = mount::read(&mount.dir).is_ok_and(|entry| mount.held.as_ref() != Some(&entry));
    let why = if is_other {
        "another build saved it meanwhile; the next build restores that".to_owned()
    } else {
        format!("{why:#}\nrun `cargo xtask cache verify` to quarantine it")
    };
    Some(format!("failed to restore the cache mount `{}`: {why}", mount.identity.id))
}

/// Writes the call's files, and removes unfinished output of an earlier call.
pub(super) fn prepare(transfer: &Transfer) -> Result<()> {
    steps::remove(&transfer.dir)?;
    fs::create_dir_all(transfer.empty())?;
    for (path, text) in &transfer.files {
        fs::create_dir_all(path.parent().unwrap_or(path))?;
        fs::write(path, text).with_context(|| format!("failed to write `{}`", path.display()))?;
    }
    Ok(())
}

/// Writes the files that BuildKit transfers to the RUNs.
pub(super) fn bring(
    transfer: &Transfer,
    left: &BTreeSet<usize>,
    outgoing: &BTreeMap<usize, Outgoing>,
    now: i64,
) -> Result<()> {
    if !transfer.has_input() {
        return Ok(());
    }
    for (number, mount) in transfer.items.iter().enumerate().filter(|(number, _)| !left.contains(number)) {
        let dir = transfer.input(number);
        fs::create_dir_all(&dir)?;
        match (&mount.held, outgoing.get(&number)) {
            (_, Some(outgoing)) => fs::write(dir.join("names"), outgoing.names())?,
            (Some(held), None) => {
                let names = (0..dockerfile::streams(held.bytes)).map(|at| format!("stream-{at}.zst"));
                let writers = names.map(|name| codec::create(&dir.join(name))).collect::<Result<Vec<_>>>()?;
                let incoming = Incoming::open(&mount.dir, held, now)?;
                for writer in incoming.write(writers)? {
                    writer.finish()?;
                }
                if transfer.direction == Direction::Fill {
                    fs::write(dir.join("directories"), incoming.directories())?;
                }
            }
            (None, None) => {}
        }
    }
    Ok(())
}

pub(super) fn call(
    site: &TransferContext<'_>,
    transfer: &Transfer,
    watcher: &mut dyn Watcher,
    end_if: Condition<'_>,
) -> Result<BakeOutcome> {
    let call = Call {
        idle_timeout: Some(IdleTimeout { after: IDLE_TIMEOUT, is_gone: &|_| true }),
        end_if: Some(end_if),
        ..Call::new(&transfer.command, &transfer.targets, site.log)
    };
    bake::run(&call, watcher)
}

/// Returns items whose RUN printed nothing. BuildKit reports a RUN as started while it waits for
/// its mount.
pub(super) fn silent_mounts(ended: &BakeOutcome, items: usize) -> BTreeSet<usize> {
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

/// Returns mounts that the builder turned out to have.
pub(super) fn present_mounts(ended: &BakeOutcome, items: usize) -> BTreeSet<usize> {
    let has = |number: &usize| {
        let stage = format!("durango-{number}");
        let mut steps = ended.trace.steps().filter(|(_, label)| label.stage == stage);
        steps.any(|(state, _)| state.tail.iter().any(|line| line.starts_with("held: ")))
    };
    (0..items).filter(has).collect()
}

pub(super) fn reason(ended: &BakeOutcome) -> String {
    let failed = ended.trace.failed();
    let said = failed
        .and_then(|state| state.tail.back().cloned())
        .filter(|line| line != "begun" && line != "working");
    let words = || ended.text.iter().rev().find(|line| line.starts_with("ERROR: ")).cloned();
    said.or_else(words).unwrap_or_else(|| "BuildKit gave no reason".to_owned())
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::plan::mounts::fixtures;
    use crate::project::mount::MountIdentity;
    use crate::store::key::FORMAT;
    use crate::store::sealed;
    use crate::store::used::USED;

    /// Writes an entry with one blob, and returns it.
    fn save(dir: &Path, content: &str) -> MountEntry {
        let blob = Blob { digest: format!("{:x}", Sha256::digest(content)), size: content.len() as u64 };
        fs::create_dir_all(layout_check::blobs(dir)).expect("made");
        fs::write(layout_check::blobs(dir).join(&blob.digest), content).expect("written");
        let mount = fixtures::mount(dir);
        let entry = MountEntry {
            format: FORMAT,
            identity: MountIdentity { id: "m".into(), ..mount.identity },
            sharing: mount.sharing,
            target: mount.target,
            platform: "linux/amd64".into(),
            saved: Timestamp::UNIX_EPOCH,
            files: 1,
            bytes: blob.size,
            is_shared: false,
            manifest: blob,
            packs: Vec::new(),
            steps: Vec::new(),
        };
        fs::write(dir.join("entry.json"), sealed::to_json(&entry).expect("JSON")).expect("written");
        fs::write(dir.join(USED), "").expect("written");
        entry
    }

    #[test]
    fn only_a_damaged_mount_is_called_damaged() {
        let root = tempfile::tempdir().expect("a directory");
        let dir = root.path().join("mount");
        let entry = save(&dir, "one");
        let mount = PlannedMount { held: Some(entry.clone()), ..fixtures::mount(&dir) };
        let found = || {
            let has = |_: usize, mount: &PlannedMount| each_blob(mount, layout_check::has);
            damaged((std::slice::from_ref(&mount), &BTreeSet::new()), &has).expect("looked")
        };
        assert!(found().is_empty());
        fs::remove_file(layout_check::blobs(&dir).join(&entry.manifest.digest)).expect("removed");
        assert!(found()[&0].as_ref().expect("a warning").contains("cache verify"));
        save(&dir, "two");
        assert!(found()[&0].as_ref().expect("a warning").contains("another build saved it meanwhile"));
        fs::remove_dir_all(&dir).expect("removed");
        assert_eq!(found(), BTreeMap::from([(0, None)]), "it had to make room");
    }
}
