//! The transfer of some cache mounts: calls, until one succeeds without the mounts that cannot be
//! transferred.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::mpsc;

use anyhow::{Context, Result, bail};
use xshell::Shell;

use super::announcing::Announcing;
use super::arrived::arrived;
use super::call::{
    IDLE_TIMEOUT, bring, call, call_and_verify, damaged, each_blob, hold, prepare, present_mounts, reason,
    silent_mounts,
};
use super::loopback::Listening;
use super::outgoing::Outgoing;
use super::{Skipped, TransferContext, TransferResult};
use crate::engine::disk_usage::{self, Which};
use crate::exec::budget::Need;
use crate::exec::reservation::Reservation;
use crate::plan::mounts::transfer::{Part, Transfer};
use crate::plan::mounts::{Direction, PlannedMount, TransferTemplate};
use crate::progress::Watcher;
use crate::progress::bake_outcome::{BakeOutcome, BakeStatus};
use crate::project::mount::Sharing;
use crate::store::layout_check;

/// One transfer of mounts, which repeats calls until one succeeds.
pub(super) struct MountTransfer<'a> {
    pub(super) context: &'a TransferContext<'a>,
    pub(super) template: &'a TransferTemplate,
    pub(super) direction: Direction,
    pub(super) mounts: &'a [PlannedMount],
    pub(super) nonce: String,
}

/// The state of a transfer between its calls.
struct State<'a> {
    /// The space of a save in the store.
    reservation: Option<Reservation<'a>>,
    /// The mounts that are no longer part of the transfer.
    skipped: BTreeSet<usize>,
    /// The lists and packs that have arrived.
    outgoing: BTreeMap<usize, Outgoing>,
    /// Whether the packs to restore are known to be intact.
    is_verified: bool,
}

impl MountTransfer<'_> {
    /// Transfers the mounts and adds them, and the failures of single mounts, to the result.
    pub(super) fn run(&self, watcher: &mut dyn Watcher, result: &mut TransferResult) -> Result<()> {
        let (context, mounts) = (self.context, self.mounts);
        let reservation = if self.direction == Direction::Save {
            // More as soon as the lists of files have arrived.
            Some(context.budget.reserve(Need::Bytes(0, &[]), &mut |line| watcher.say(line))?)
        } else {
            None
        };
        let mut state = State {
            reservation,
            skipped: in_use(self.template, mounts, result)?,
            outgoing: BTreeMap::new(),
            is_verified: self.direction == Direction::Save,
        };
        if self.direction.is_restore() {
            let has = |_: usize, mount: &PlannedMount| each_blob(mount, layout_check::has);
            result.skip(damaged((mounts, &state.skipped), &has)?, &mut state.skipped);
        }
        let (mut by_loopback, mut part) = (self.template.loopback, Part::List);
        let (transfer, ended) = loop {
            if state.skipped.len() == mounts.len() {
                return Ok(());
            }
            let listening = by_loopback.then(Listening::open).and_then(Result::ok);
            let address = listening.as_ref().map(Listening::address);
            let transfer =
                self.template.transfer((self.direction, part), mounts, &state.skipped, &self.nonce, address);
            let listening = listening.filter(|_| transfer.loopback.is_some());
            if listening.is_none() && !state.is_verified {
                state.is_verified = true;
                let verify = |_: usize, mount: &PlannedMount| each_blob(mount, layout_check::verify);
                result.skip(damaged((mounts, &state.skipped), &verify)?, &mut state.skipped);
                continue;
            }
            let (ended, damaged) = self.call(&transfer, listening, &mut state, watcher)?;
            state.is_verified = true;
            if !damaged.is_empty() {
                result.skip(damaged, &mut state.skipped);
            } else if ended.status == BakeStatus::Stalled {
                result.warnings.extend(self.skip_blocked(&ended, &mut state.skipped)?);
            } else if ended.is_success() && self.direction == Direction::Save && transfer.part == Part::List {
                part = Part::Pack;
                // BuildKit exports the files as they are, and they are compressed afterwards.
                let bytes = state.outgoing.values().map(|list| list.bytes().saturating_mul(2)).sum();
                if let Some(own) = &state.reservation {
                    own.grow_and_wait(bytes, &self.dirs(), &mut |line| watcher.say(line))?;
                }
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
        state.reservation.iter().for_each(Reservation::end);
        let present = present_mounts(&ended, mounts.len());
        for number in
            (0..mounts.len()).filter(|number| !state.skipped.contains(number) && !present.contains(number))
        {
            let mount = &mounts[number];
            if self.direction.is_restore() {
                result.done.extend(mount.held.clone().map(|held| (held, 0)));
            } else if let Some(outgoing) = state.outgoing.remove(&number) {
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
        listening: Option<Listening>,
        state: &mut State<'_>,
        watcher: &mut dyn Watcher,
    ) -> Result<(BakeOutcome, Skipped)> {
        let (context, mounts, now) = (self.context, self.mounts, self.context.now.as_second());
        let State { reservation, skipped, outgoing, is_verified } = state;
        let (reservation, is_verified) = (reservation.as_ref(), *is_verified);
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
        let (dirs, (sender, lines)) = (self.dirs(), mpsc::channel());
        let is_full = || {
            let Some(reservation) = reservation else { return false };
            if let Some((serving, bytes)) = serving.as_ref().and_then(|own| Some((own, own.asked()?)))
                // Without a receiver, the call is over.
                && reservation.grow(bytes, &dirs, &mut |line| drop(sender.send(line.to_owned()))).unwrap_or(true)
            {
                serving.grant();
            }
            reservation.is_full()
        };
        let ended = call(context, transfer, &mut Announcing { watcher, lines }, &is_full)?;
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
