//! Transfers cache mounts between the builder and the store. A failure of one mount leaves the
//! store and the builder unchanged.

mod arrived;
mod call;
mod codec;
pub(crate) mod incoming;
pub(crate) mod loopback;
mod outgoing;
pub(crate) mod pack;
mod sink;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use xshell::Shell;

use self::arrived::arrived;
use self::call::{
    bring, call, call_and_verify, damaged, each_blob, hold, prepare, present_mounts, reason, silent_mounts,
};
use self::loopback::Listening;
use self::outgoing::Outgoing;
use super::budget::{Budget, LONGEST_WAIT, Need};
use super::reservation::Reservation;
use crate::engine::disk_usage::{self, Which};
use crate::layout::Layout;
use crate::plan::mounts::transfer::{Part, Transfer};
use crate::plan::mounts::{Direction, PlannedMount, TransferTemplate};
use crate::process::signals;
use crate::progress::Watcher;
use crate::progress::bake_outcome::{BakeOutcome, BakeStatus};
use crate::project::mount::Sharing;
use crate::record::log::Log;
use crate::store::layout_check;
use crate::store::mount::MountEntry;

/// The timeout for a lock. A working process sends output every five seconds.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// The environment of a transfer.
pub struct TransferContext<'a> {
    /// The store.
    pub layout: &'a Layout,
    /// The log of the build.
    pub log: &'a Log,
    /// The current time.
    pub now: Timestamp,
    /// The platform of the builder.
    pub platform: &'a str,
    /// The limit of the store.
    pub budget: &'a Budget,
}

/// The result of one transfer.
#[derive(Debug, Default)]
pub struct TransferResult {
    /// Mounts that were restored, or whose save is up to date, with the number of bytes of new
    /// packs.
    pub done: Vec<(MountEntry, u64)>,
    /// The failures.
    pub warnings: Vec<String>,
    /// The total time.
    pub seconds: f64,
}

impl TransferResult {
    /// Adds the result of another transfer of the same build.
    pub fn add(&mut self, other: Self) {
        self.done.extend(other.done);
        self.warnings.extend(other.warnings);
        self.seconds += other.seconds;
    }

    /// Removes mounts from a transfer, with their warnings.
    fn skip(&mut self, mounts: BTreeMap<usize, String>, skipped: &mut BTreeSet<usize>) {
        skipped.extend(mounts.keys());
        self.warnings.extend(mounts.into_values());
    }
}

/// Transfers mounts. Failures become warnings; only Ctrl-C is an error.
pub fn run(
    context: &TransferContext<'_>,
    template: &TransferTemplate,
    direction: Direction,
    mounts: &[PlannedMount],
    watcher: &mut dyn Watcher,
) -> Result<TransferResult> {
    let started = Instant::now();
    // A separate one for each transfer, because a build may have several.
    let nonce = format!("{:x}-{:x}", Timestamp::now().as_nanosecond(), std::process::id());
    let mut result = TransferResult::default();
    let done = MountTransfer { context, template, direction, mounts, nonce }.run(watcher, &mut result);
    signals::check()?;
    if let Err(error) = done {
        let verb = if direction.is_restore() { "restored" } else { "saved" };
        result.warnings.push(format!("the cache mounts are not {verb}: {error:#}"));
    }
    result.seconds = started.elapsed().as_secs_f64();
    Ok(result)
}

struct MountTransfer<'a> {
    context: &'a TransferContext<'a>,
    template: &'a TransferTemplate,
    direction: Direction,
    mounts: &'a [PlannedMount],
    nonce: String,
}

impl MountTransfer<'_> {
    fn run(&self, watcher: &mut dyn Watcher, result: &mut TransferResult) -> Result<()> {
        let (context, mounts) = (self.context, self.mounts);
        let reservation = if self.direction == Direction::Save {
            // More as soon as the lists of files have arrived.
            Some(context.budget.reserve(Need::Bytes(0, &[]), &mut |line| watcher.say(line))?)
        } else {
            None
        };
        let mut skipped = in_use(self.template, mounts, result)?;
        let mut outgoing = BTreeMap::new();
        let mut is_verified = self.direction == Direction::Save;
        if self.direction.is_restore() {
            let has = |_: usize, mount: &PlannedMount| each_blob(mount, layout_check::has);
            result.skip(damaged((mounts, &skipped), &has)?, &mut skipped);
        }
        let (mut by_loopback, mut part) = (self.template.loopback, Part::List);
        let (transfer, ended) = loop {
            if skipped.len() == mounts.len() {
                return Ok(());
            }
            let listening = by_loopback.then(Listening::open).and_then(Result::ok);
            let address = listening.as_ref().map(Listening::address);
            let transfer =
                self.template.transfer((self.direction, part), mounts, &skipped, &self.nonce, address);
            let listening = listening.filter(|_| transfer.loopback.is_some());
            if listening.is_none() && !is_verified {
                is_verified = true;
                let verify = |_: usize, mount: &PlannedMount| each_blob(mount, layout_check::verify);
                result.skip(damaged((mounts, &skipped), &verify)?, &mut skipped);
                continue;
            }
            let state = (is_verified, &mut outgoing);
            let (ended, damaged) =
                self.call(&transfer, &skipped, listening, state, reservation.as_ref(), watcher)?;
            is_verified = true;
            if !damaged.is_empty() {
                result.skip(damaged, &mut skipped);
            } else if ended.status == BakeStatus::Stalled {
                result.warnings.extend(self.skip_blocked(&ended, &mut skipped)?);
            } else if ended.is_success() && self.direction == Direction::Save && transfer.part == Part::List {
                part = Part::Pack;
                // BuildKit exports the files as they are, and they are compressed afterwards.
                let bytes = outgoing.values().map(|list| list.bytes().saturating_mul(2)).sum();
                reservation.iter().try_for_each(|own| own.grow_and_wait(bytes, &self.dirs()))?;
            } else if ended.is_success() {
                break (transfer, ended);
            } else if transfer.loopback.is_some() {
                // Its containers are in a separate network, or it forbids them any other.
                // BuildKit's way always works.
                by_loopback = false;
            } else {
                bail!("{}", reason(&ended));
            }
        };
        reservation.iter().for_each(Reservation::end);
        let present = present_mounts(&ended, mounts.len());
        for number in
            (0..mounts.len()).filter(|number| !skipped.contains(number) && !present.contains(number))
        {
            let mount = &mounts[number];
            if self.direction.is_restore() {
                result.done.extend(mount.held.clone().map(|held| (held, 0)));
            } else if let Some(outgoing) = outgoing.remove(&number) {
                self.keep(result, &transfer, (number, outgoing));
            }
        }
        Ok(())
    }

    fn dirs(&self) -> Vec<PathBuf> {
        self.mounts.iter().map(|mount| mount.dir.clone()).collect()
    }

    fn keep(&self, result: &mut TransferResult, transfer: &Transfer, (number, outgoing): (usize, Outgoing)) {
        let id = &self.mounts[number].identity.id;
        match arrived(self.context, transfer, (number, outgoing)) {
            Ok(arrived) => {
                result.done.extend(arrived.entry);
                let said = |why: String| format!("the cache mount `{id}` is saved in part: {why}");
                result.warnings.extend(arrived.warnings.into_iter().map(said));
            }
            Err(error) => {
                result.warnings.push(format!("failed to save the cache mount `{id}`: {error:#}"));
            }
        }
    }

    /// Makes one call, and returns the mounts that it found damaged.
    fn call(
        &self,
        transfer: &Transfer,
        skipped: &BTreeSet<usize>,
        listening: Option<Listening>,
        (is_verified, outgoing): (bool, &mut BTreeMap<usize, Outgoing>),
        reservation: Option<&Reservation<'_>>,
        watcher: &mut dyn Watcher,
    ) -> Result<(BakeOutcome, BTreeMap<usize, String>)> {
        let (context, mounts, now) = (self.context, self.mounts, self.context.now.as_second());
        let _held = hold(mounts);
        prepare(transfer)?;
        bring(transfer, skipped, outgoing, now)?;
        let unread = if is_verified { BTreeSet::new() } else { (0..mounts.len()).collect() };
        let serving = listening.map(|listening| listening.serve(transfer, unread, now)).transpose()?;
        if let Some(serving) = &serving {
            let left_out = |(number, _): &(usize, &PlannedMount)| !skipped.contains(number);
            let held =
                mounts.iter().enumerate().filter(left_out).filter_map(|(_, mount)| mount.held.as_ref());
            let total = self.direction.is_restore().then(|| held.map(|held| held.bytes).sum());
            watcher.carried(serving.carried(), total);
        }
        if let Some(serving) = serving.as_ref().filter(|_| !is_verified) {
            return call_and_verify(context, transfer, (mounts, skipped), watcher, &|number| {
                serving.pass(number);
            });
        }
        reservation.map_or(Ok(()), |reservation| reservation.begin(&transfer.dir))?;
        let (dirs, started) = (self.dirs(), Instant::now());
        let is_full = || {
            let Some(reservation) = reservation else { return false };
            if let Some((serving, bytes)) = serving.as_ref().and_then(|own| Some((own, own.asked()?)))
                && reservation.grow(bytes, &dirs, started.elapsed() < LONGEST_WAIT).unwrap_or(true)
            {
                serving.grant();
            }
            reservation.is_full()
        };
        let ended = call(context, transfer, watcher, &is_full)?;
        reservation.map_or(Ok(()), |own| own.check(ended.status == BakeStatus::ConditionMet))?;
        if self.direction == Direction::Save && ended.is_success() {
            match serving {
                Some(serving) => *outgoing = serving.arrived(),
                None => self.collect(transfer, skipped, outgoing)?,
            }
        }
        Ok((ended, BTreeMap::new()))
    }

    /// Collects the output that BuildKit exported.
    fn collect(
        &self,
        transfer: &Transfer,
        skipped: &BTreeSet<usize>,
        outgoing: &mut BTreeMap<usize, Outgoing>,
    ) -> Result<()> {
        for number in (0..self.mounts.len()).filter(|number| !skipped.contains(number)) {
            let file = |name: &str| transfer.result(number).join(name);
            if transfer.part == Part::List {
                let list = std::fs::read(file("list")).context("the list of files did not arrive")?;
                outgoing.insert(number, Outgoing::new(&self.mounts[number], &list)?);
            } else if let Some(outgoing) = outgoing.get_mut(&number).filter(|_| file("pack").exists()) {
                outgoing.receive_file(&file("pack"))?;
            }
        }
        Ok(())
    }

    /// Skips mounts that the builder doesn't release, and returns the warnings.
    fn skip_blocked(&self, ended: &BakeOutcome, skipped: &mut BTreeSet<usize>) -> Result<Vec<String>> {
        let silent = silent_mounts(ended, self.mounts.len());
        let blocked: Vec<usize> = silent.into_iter().filter(|number| skipped.insert(*number)).collect();
        let seconds = IDLE_TIMEOUT.as_secs();
        if blocked.is_empty() {
            bail!("no output from the builder for {seconds} s");
        }
        let used = disk_usage::read(&Shell::new()?, &self.template.builder, Which::InUse).unwrap_or_default();
        let said = |number: &usize| {
            let mount = &self.mounts[*number];
            let id = &mount.identity.id;
            let why = if used.iter().any(|record| record.mount_id() == Some(&mount.builder_id())) {
                format!("another build has been using it for {seconds} s")
            } else {
                format!("the builder did not start it within {seconds} s")
            };
            format!("skipped the cache mount `{id}`: {why}")
        };
        Ok(blocked.iter().map(said).collect())
    }
}

/// Returns private mounts that a build is using now. An access to one of those would create
/// another, empty mount, which later builds would find.
fn in_use(
    template: &TransferTemplate,
    mounts: &[PlannedMount],
    result: &mut TransferResult,
) -> Result<BTreeSet<usize>> {
    if mounts.iter().all(|mount| mount.sharing != Sharing::Private) {
        return Ok(BTreeSet::new());
    }
    let records = disk_usage::read(&Shell::new()?, &template.builder, Which::InUse)?;
    let is_used = |mount: &PlannedMount| {
        let id = mount.builder_id();
        let mut own = records.iter().filter(|record| record.mount_id() == Some(&id));
        mount.sharing == Sharing::Private && own.any(|record| !record.reclaimable)
    };
    let used: BTreeSet<usize> = (0..mounts.len()).filter(|number| is_used(&mounts[*number])).collect();
    result.warnings.extend(used.iter().map(|number| {
        let id = &mounts[*number].identity.id;
        format!("skipped the cache mount `{id}`: it is private, and another build is using it")
    }));
    Ok(used)
}
