//! Moving cache mounts between the builder and the store. One mount's trouble leaves the store and the builder as they were.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use xshell::Shell;

use super::bake::{self, Call, Watcher};
use super::budget::Budget;
use super::ended::Ended;
use super::lock::Lock;
use super::stall::Stall;
use super::{mount_store, signals};
use crate::cache::key::FORMAT;
use crate::cache::layout_check::{self, Blob};
use crate::cache::mount::{MountEntry, Sharing};
use crate::engine::usage;
use crate::layout::Layout;
use crate::plan::mounts::{Carrier, PlannedMount, Way};
use crate::plan::transfer::Transfer;
use crate::record::log::Log;

/// Who holds a lock for longer than this is not waited for; whoever works says so every five seconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where a transfer happens.
pub struct Site<'a> {
    /// The store.
    pub layout: &'a Layout,
    /// The log of the build.
    pub log: &'a Log,
    /// The time.
    pub now: Timestamp,
    /// The platform of the builder.
    pub platform: &'a str,
    /// What the store may take.
    pub budget: &'a Budget,
    /// How many bytes what is taken out is expected to take.
    pub expected: u64,
}

/// What became of the mounts of one transfer.
#[derive(Debug, Default)]
pub struct Moved {
    /// Mounts that were put back, or whose save is the newest there can be, with the bytes of new packs.
    pub done: Vec<(MountEntry, u64)>,
    /// What did not work, for people.
    pub warnings: Vec<String>,
    /// How long all of it took.
    pub seconds: f64,
}

impl Moved {
    /// Takes in what another transfer of the same build did.
    pub fn add(&mut self, other: Self) {
        self.done.extend(other.done);
        self.warnings.extend(other.warnings);
        self.seconds += other.seconds;
    }

    /// Takes mounts out of a transfer, with what is to be said of each.
    fn leave(&mut self, mounts: BTreeMap<usize, String>, left: &mut BTreeSet<usize>) {
        left.extend(mounts.keys());
        self.warnings.extend(mounts.into_values());
    }
}

/// Moves mounts. What goes wrong is in the warnings; an error is Ctrl-C alone.
pub fn run(
    site: &Site<'_>,
    carrier: &Carrier,
    way: Way,
    mounts: &[PlannedMount],
    watcher: &mut dyn Watcher,
) -> Result<Moved> {
    let started = Instant::now();
    // Another one for each transfer: one build may have several.
    let nonce = format!("{:x}-{:x}", Timestamp::now().as_nanosecond(), std::process::id());
    let mut moved = Moved::default();
    let result = attempt(site, carrier, way, mounts, &nonce, watcher, &mut moved);
    signals::check()?;
    if let Err(error) = result {
        let verb = if way == Way::In { "put back" } else { "saved" };
        moved.warnings.push(format!("the cache mounts are not {verb}: {error:#}"));
    }
    moved.seconds = started.elapsed().as_secs_f64();
    Ok(moved)
}

fn attempt(
    site: &Site<'_>,
    carrier: &Carrier,
    way: Way,
    mounts: &[PlannedMount],
    nonce: &str,
    watcher: &mut dyn Watcher,
    moved: &mut Moved,
) -> Result<()> {
    if way == Way::Out {
        let dirs: Vec<PathBuf> = mounts.iter().map(|mount| mount.dir.clone()).collect();
        site.budget.room_for(site.expected, &dirs)?;
    }
    let mut left = in_use(carrier, mounts, moved)?;
    let mut is_verified = way == Way::Out;
    if way == Way::In {
        moved.leave(damaged(site, mounts, layout_check::has, &AtomicBool::new(false))?, &mut left);
    }
    let transfer = loop {
        if left.len() == mounts.len() {
            return Ok(());
        }
        let transfer = carrier.transfer(way, mounts, &left, nonce, site.now.as_second());
        prepare(site, &transfer)?;
        let meter = site.budget.meter(site.expected);
        let (ended, damaged) = if is_verified {
            (call(site, &transfer, watcher, &|| way == Way::Out && meter.is_full())?, BTreeMap::new())
        } else {
            call_and_verify(site, &transfer, mounts, watcher)?
        };
        is_verified = true;
        if !damaged.is_empty() {
            moved.leave(damaged, &mut left);
            continue;
        }
        meter.check(ended.full)?;
        if ended.success {
            break transfer;
        }
        if !ended.stalled {
            bail!("{}", reason(&ended));
        }
        let silent = silent(&ended, mounts.len());
        let blocked: Vec<usize> = silent.into_iter().filter(|number| left.insert(*number)).collect();
        if blocked.is_empty() || left.len() == mounts.len() {
            bail!("another build holds them");
        }
        moved.warnings.extend(blocked.iter().map(|number| {
            let id = &mounts[*number].identity.id;
            format!(
                "the cache mount `{id}` is left alone: another build has been holding it for {} s",
                PATIENCE.as_secs()
            )
        }));
    };
    let numbers = (0..mounts.len()).filter(|number| !left.contains(number));
    for number in numbers {
        let mount = &mounts[number];
        match (way, &mount.held) {
            (Way::In, Some(held)) => moved.done.push((held.clone(), 0)),
            (Way::In, None) => {}
            (Way::Out, _) => match arrived(site, &transfer, number) {
                Ok(Some((entry, bytes))) => moved.done.push((entry, bytes)),
                Ok(None) => {}
                Err(error) => {
                    moved
                        .warnings
                        .push(format!("the cache mount `{}` is not saved: {error:#}", mount.identity.id));
                }
            },
        }
    }
    Ok(())
}

/// Private mounts that a build is using now: whoever asks for one of those gets another, empty one, which builds would find later.
fn in_use(carrier: &Carrier, mounts: &[PlannedMount], moved: &mut Moved) -> Result<BTreeSet<usize>> {
    if mounts.iter().all(|mount| mount.sharing != Sharing::Private) {
        return Ok(BTreeSet::new());
    }
    let records = usage::read(&Shell::new()?, &carrier.builder)?;
    let is_used = |mount: &PlannedMount| {
        let id = mount.builder_id();
        let mut own = records.iter().filter(|record| record.mount_id() == Some(&id));
        mount.sharing == Sharing::Private && own.any(|record| !record.reclaimable)
    };
    let used: BTreeSet<usize> = (0..mounts.len()).filter(|number| is_used(&mounts[*number])).collect();
    moved.warnings.extend(used.iter().map(|number| {
        let id = &mounts[*number].identity.id;
        format!("the cache mount `{id}` is left alone: it is private, and another build is using it")
    }));
    Ok(used)
}

/// Puts back, and reads the packs while the engine gets ready and receives them, which takes four times as long (measured). The call is
/// ended as soon as one is found damaged.
fn call_and_verify(
    site: &Site<'_>,
    transfer: &Transfer,
    mounts: &[PlannedMount],
    watcher: &mut dyn Watcher,
) -> Result<(Ended, BTreeMap<usize, String>)> {
    let is_damaged = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let verifying = scope.spawn(|| damaged(site, mounts, layout_check::verify, &is_damaged));
        let ended = call(site, transfer, watcher, &|| is_damaged.load(Ordering::Relaxed));
        let damaged = verifying.join().unwrap_or_else(|_| bail!("the reading of packs failed"));
        Ok((ended?, damaged?))
    })
}

/// Mounts whose packs are not what they were, with what is to be said; they are not put back. `is_damaged` is set as soon as there is one.
fn damaged(
    site: &Site<'_>,
    mounts: &[PlannedMount],
    check: fn(&Path, &Blob) -> Result<()>,
    is_damaged: &AtomicBool,
) -> Result<BTreeMap<usize, String>> {
    let _reading = Lock::shared(site.layout)?;
    let mut damaged = BTreeMap::new();
    for (number, mount) in mounts.iter().enumerate() {
        let mut blobs = mount.held.iter().flat_map(MountEntry::blobs);
        if let Err(why) = blobs.try_for_each(|blob| check(&mount.dir, blob)) {
            let id = &mount.identity.id;
            let said = format!(
                "the cache mount `{id}` is not put back: {why:#}\n`cargo xtask cache verify` sets it aside"
            );
            damaged.insert(number, said);
            is_damaged.store(true, Ordering::Relaxed);
        }
    }
    Ok(damaged)
}

/// Writes the call's files and links what it reads.
fn prepare(site: &Site<'_>, transfer: &Transfer) -> Result<()> {
    for dir in ["in", "empty"] {
        fs::create_dir_all(transfer.dir.join(dir))?;
    }
    for (path, text) in &transfer.files {
        fs::create_dir_all(path.parent().unwrap_or(path))?;
        fs::write(path, text).with_context(|| format!("failed to write `{}`", path.display()))?;
    }
    let _reading = Lock::shared(site.layout)?;
    for (blob, link) in &transfer.links {
        fs::create_dir_all(link.parent().unwrap_or(link))?;
        mount_store::link(blob, link)?;
    }
    Ok(())
}

fn call(
    site: &Site<'_>,
    transfer: &Transfer,
    watcher: &mut dyn Watcher,
    is_full: &(dyn Fn() -> bool + Sync),
) -> Result<Ended> {
    let call =
        Call { command: &transfer.command, targets: &transfer.targets, log: site.log, stop: &|_| false };
    let stall = Stall { after: PATIENCE, is_gone: &|_| true };
    bake::run_with(&call, watcher, Some(stall), Some(is_full))
}

/// Items whose RUN said nothing: BuildKit calls a RUN started that waits for its mount.
fn silent(ended: &Ended, items: usize) -> BTreeSet<usize> {
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

fn reason(ended: &Ended) -> String {
    let failed = ended.trace.failed();
    let said = failed.and_then(|state| state.tail.back().cloned()).filter(|line| line != "begun");
    let words = || ended.text.iter().rev().find(|line| line.starts_with("ERROR: ")).cloned();
    said.or_else(words).unwrap_or_else(|| "BuildKit gave no reason".to_owned())
}

/// What one item left: its new entry in the store, with the bytes that are new; nothing for a mount with nothing to keep.
fn arrived(site: &Site<'_>, transfer: &Transfer, number: usize) -> Result<Option<(MountEntry, u64)>> {
    let mount = &transfer.items[number];
    let result = transfer.result(number);
    let facts = fs::read_to_string(result.join("facts")).context("nothing arrived")?;
    let figure =
        |name: &str| facts.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
    let (Some(files), Some(bytes)) = (figure("files "), figure("bytes ")) else { return Ok(None) };
    let blobs = layout_check::blobs(&result);
    fs::create_dir_all(&blobs)?;
    let take = |name: &str| -> Result<Blob> {
        let path = result.join(name);
        let blob = layout_check::measure(&path)?;
        fs::rename(&path, blobs.join(&blob.digest))?;
        Ok(blob)
    };
    let manifest = take("manifest")?;
    let pack = result.join("pack").exists().then(|| take("pack")).transpose()?;
    let previous = mount.previous();
    if pack.is_none() && previous.is_some_and(|previous| previous.manifest == manifest) {
        return Ok(previous.map(|previous| (previous.clone(), 0)));
    }
    let new = pack.as_ref().map_or(0, |pack| pack.size);
    let older = previous.map(|previous| previous.packs.clone()).unwrap_or_default();
    let entry = MountEntry {
        format: FORMAT,
        identity: mount.identity.clone(),
        sharing: mount.sharing,
        target: mount.target.clone(),
        platform: site.platform.to_owned(),
        saved: site.now,
        files,
        bytes,
        manifest,
        packs: older.into_iter().chain(pack).collect(),
    };
    mount_store::commit(site.layout, &result, &mount.dir, &entry, previous)?;
    Ok(Some((entry, new)))
}
