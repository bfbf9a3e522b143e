//! Moving cache mounts between the builder and the store. One mount's trouble leaves the store and the builder as they were.

mod arrived;
mod call;
mod loopback;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use jiff::Timestamp;
use xshell::Shell;

use self::arrived::arrived;
use self::call::{call, call_and_verify, damaged, each_blob, prepare, reason, silent};
use self::loopback::Listening;
use super::budget::Budget;
use crate::engine::disk_usage::{self, Which};
use crate::layout::Layout;
use crate::plan::mounts::transfer::Transfer;
use crate::plan::mounts::{Direction, PlannedMount, TransferTemplate};
use crate::process::signals;
use crate::progress::Watcher;
use crate::progress::bake_outcome::BakeOutcome;
use crate::project::mount::Sharing;
use crate::record::log::Log;
use crate::store::layout_check;
use crate::store::mount::MountEntry;

/// Who holds a lock for longer than this is not waited for; whoever works says so every five seconds.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Where a transfer happens.
pub struct TransferContext<'a> {
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
pub struct TransferResult {
    /// Mounts that were put back, or whose save is the newest there can be, with the bytes of new packs.
    pub done: Vec<(MountEntry, u64)>,
    /// What did not work, for people.
    pub warnings: Vec<String>,
    /// How long all of it took.
    pub seconds: f64,
}

impl TransferResult {
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
    site: &TransferContext<'_>,
    carrier: &TransferTemplate,
    way: Direction,
    mounts: &[PlannedMount],
    watcher: &mut dyn Watcher,
) -> Result<TransferResult> {
    let started = Instant::now();
    // Another one for each transfer: one build may have several.
    let nonce = format!("{:x}-{:x}", Timestamp::now().as_nanosecond(), std::process::id());
    let mut moved = TransferResult::default();
    let result = MountTransfer { site, carrier, way, mounts, nonce }.run(watcher, &mut moved);
    signals::check()?;
    if let Err(error) = result {
        let verb = if way == Direction::Restore { "put back" } else { "saved" };
        moved.warnings.push(format!("the cache mounts are not {verb}: {error:#}"));
    }
    moved.seconds = started.elapsed().as_secs_f64();
    Ok(moved)
}

struct MountTransfer<'a> {
    site: &'a TransferContext<'a>,
    carrier: &'a TransferTemplate,
    way: Direction,
    mounts: &'a [PlannedMount],
    nonce: String,
}

impl MountTransfer<'_> {
    fn run(&self, watcher: &mut dyn Watcher, moved: &mut TransferResult) -> Result<()> {
        let (site, mounts) = (self.site, self.mounts);
        if self.way == Direction::Save {
            let dirs: Vec<PathBuf> = mounts.iter().map(|mount| mount.dir.clone()).collect();
            site.budget.room_for(site.expected, &dirs)?;
        }
        let mut left = in_use(self.carrier, mounts, moved)?;
        let mut is_verified = self.way == Direction::Save;
        if self.way == Direction::Restore {
            let has = |_: usize, mount: &PlannedMount| each_blob(mount, layout_check::has);
            moved.leave(damaged((mounts, &left), &has)?, &mut left);
        }
        let mut by_loopback = self.carrier.loopback;
        let transfer = loop {
            if left.len() == mounts.len() {
                return Ok(());
            }
            let listening = by_loopback.then(Listening::open).and_then(Result::ok);
            let address = listening.as_ref().map(Listening::address);
            let now = site.now.as_second();
            let transfer = self.carrier.transfer(self.way, mounts, &left, &self.nonce, now, address);
            let (ended, damaged) = self.call(&transfer, &left, listening, is_verified, watcher)?;
            is_verified = true;
            if !damaged.is_empty() {
                moved.leave(damaged, &mut left);
            } else if ended.success {
                break transfer;
            } else if ended.stalled {
                moved.warnings.extend(self.leave_blocked(&ended, &mut left)?);
            } else if transfer.loopback.is_some() {
                // Its containers are in a network of their own, or it forbids them any other: BuildKit's way is open to all.
                by_loopback = false;
            } else {
                bail!("{}", reason(&ended));
            }
        };
        for number in (0..mounts.len()).filter(|number| !left.contains(number)) {
            let mount = &mounts[number];
            match (self.way, &mount.held) {
                (Direction::Restore, Some(held)) => moved.done.push((held.clone(), 0)),
                (Direction::Restore, None) => {}
                (Direction::Save, _) => match arrived(site, &transfer, number) {
                    Ok(new) => moved.done.extend(new),
                    Err(error) => {
                        let id = &mount.identity.id;
                        moved.warnings.push(format!("the cache mount `{id}` is not saved: {error:#}"));
                    }
                },
            }
        }
        Ok(())
    }

    /// One call, with the mounts that it found damaged.
    fn call(
        &self,
        transfer: &Transfer,
        left: &BTreeSet<usize>,
        listening: Option<Listening>,
        is_verified: bool,
        watcher: &mut dyn Watcher,
    ) -> Result<(BakeOutcome, BTreeMap<usize, String>)> {
        let (site, mounts) = (self.site, self.mounts);
        prepare(transfer)?;
        let unread = if is_verified { BTreeSet::new() } else { (0..mounts.len()).collect() };
        let serving = listening.map(|listening| listening.serve(transfer, unread)).transpose()?;
        if let Some(serving) = &serving {
            let packs = mounts.iter().flat_map(|mount| &mount.held).flat_map(MountEntry::blobs);
            let total = (self.way == Direction::Restore).then(|| packs.map(|pack| pack.size).sum());
            watcher.carried(serving.carried(), total);
        }
        if !is_verified {
            let pass = |number| serving.iter().for_each(|serving| serving.pass(number));
            return call_and_verify(site, transfer, (mounts, left), watcher, &pass);
        }
        let meter = site.budget.meter(site.expected, &transfer.dir);
        let ended = call(site, transfer, watcher, &|| self.way == Direction::Save && meter.is_full())?;
        meter.check(ended.full)?;
        Ok((ended, BTreeMap::new()))
    }

    /// Leaves mounts that somebody holds; gives what is to be said.
    fn leave_blocked(&self, ended: &BakeOutcome, left: &mut BTreeSet<usize>) -> Result<Vec<String>> {
        let silent = silent(ended, self.mounts.len());
        let blocked: Vec<usize> = silent.into_iter().filter(|number| left.insert(*number)).collect();
        if blocked.is_empty() || left.len() == self.mounts.len() {
            bail!("another build holds them");
        }
        let said = |number: &usize| {
            let (id, seconds) = (&self.mounts[*number].identity.id, IDLE_TIMEOUT.as_secs());
            format!("the cache mount `{id}` is left alone: another build has been holding it for {seconds} s")
        };
        Ok(blocked.iter().map(said).collect())
    }
}

/// Private mounts that a build is using now: whoever asks for one of those gets another, empty one, which builds would find later.
fn in_use(
    carrier: &TransferTemplate,
    mounts: &[PlannedMount],
    moved: &mut TransferResult,
) -> Result<BTreeSet<usize>> {
    if mounts.iter().all(|mount| mount.sharing != Sharing::Private) {
        return Ok(BTreeSet::new());
    }
    let records = disk_usage::read(&Shell::new()?, &carrier.builder, Which::InUse)?;
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
