//! Restores cache mounts before the build starts, so that every step starts with its mount: those
//! of the steps that, by the forecast, will or may run. The watch of the running build
//! ([`super::missing_mounts`]) handles what a forecast cannot know.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, TryLockError};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::registries;
use crate::engine::disk_usage::{self, Record, Which};
use crate::files;
use crate::forecast::{Forecast, PredictedState, StepForecast};
use crate::layout::Layout;
use crate::live::SharedForecast;
use crate::plan::build::Plan;
use crate::plan::mounts::PlannedMount;
use crate::plan::mounts::plan::MountPlan;
use crate::process::signals;
use crate::process::stdio::errln;
use crate::project::dockerfile::mounts::Use;
use crate::session::Session;
use crate::store::mount_image::RemoteMount;

/// The timeout for the forecast. One that reads gigabytes of contexts for the first time takes
/// longer, and is not worth the wait.
const FORECAST_TIMEOUT: Duration = Duration::from_secs(5);

/// The timeout for another build that restores mounts.
const LONGEST_TURN: Duration = Duration::from_secs(120);

/// The mounts to restore, as indexes in the plan.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ahead {
    /// Mounts that the builder certainly lacks and that are never empty, because they begin as a
    /// copy.
    pub(super) seeded: Vec<usize>,
    /// Mounts that it seems to lack. They are restored if they turn out to be empty.
    pub(super) empty: Vec<usize>,
    /// Copies in registries of those that the store lacks.
    pub(super) remote: BTreeMap<usize, RemoteMount>,
}

/// Finds the mounts to restore, and prevents other builds from restoring the same ones. Asks the
/// builder and registries only if a step with a mount will run.
pub(super) fn find(
    session: &Session,
    plan: &Plan,
    forecast_slot: &SharedForecast,
) -> Result<Option<(Ahead, Option<File>)>> {
    let mounts = &plan.mounts;
    let has_source = |mount: &PlannedMount| mount.held.is_some() || !mounts.registries.is_empty();
    if mounts.template.is_none() || !mounts.mounts.iter().any(has_source) {
        return Ok(None);
    }
    let Some(forecast) = provisional(forecast_slot)? else { return Ok(None) };
    let needed = needed(mounts, forecast);
    let mut remote = in_registries(session, plan, &needed);
    let wanted = wanted(mounts, &needed, &remote);
    if wanted.is_empty() {
        return Ok(None);
    }
    let turn = turn(&session.layout)?;
    // While a builder measures a mount, a step that begins gets another one. So its mounts are
    // queried only while no other build uses any.
    let ask = |which| disk_usage::read(&session.sh, &plan.builder, which);
    let Ok(used) = ask(Which::InUse) else { return Ok(None) };
    let is_busy = used.iter().any(|record| record.kind == "exec.cachemount");
    let Ok(held) = (if is_busy { Ok(None) } else { ask(Which::Mounts).map(Some) }) else { return Ok(None) };
    let mut ahead = choose(mounts, &wanted, &used, held.as_deref());
    remote.retain(|at, _| mounts.mounts[*at].held.is_none());
    ahead.remote = remote;
    Ok(Some((ahead, turn)))
}

/// Waits for the forecast that knows the builder from earlier builds. `None` after a timeout.
pub(super) fn provisional(forecast_slot: &SharedForecast) -> Result<Option<&Forecast>> {
    let begun = Instant::now();
    while forecast_slot.provisional.get().is_none() && begun.elapsed() < FORECAST_TIMEOUT {
        signals::check()?;
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(forecast_slot.provisional.get())
}

/// Waits for another build of this machine that restores mounts, which may be the same ones. The
/// turn ends when the returned value is dropped.
fn turn(layout: &Layout) -> Result<Option<File>> {
    let place = layout.all_mounts();
    let Ok(dir) = files::make_dir(&place).and_then(|()| File::open(&place)) else { return Ok(None) };
    let begun = Instant::now();
    let mut is_said = false;
    loop {
        match dir.try_lock() {
            Ok(()) => return Ok(Some(dir)),
            Err(TryLockError::WouldBlock) if begun.elapsed() < LONGEST_TURN => {}
            // On a file system without locks, builds don't wait for each other.
            Err(_) => return Ok(None),
        }
        if !is_said && begun.elapsed() > Duration::from_secs(1) {
            is_said = true;
            errln!("waiting for another build that is restoring cache mounts");
        }
        signals::check()?;
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Returns the steps that use each mount and that, by the forecast, will or may run.
/// The forecast knows the layers of the builder and the store.
fn needed<'a>(plan: &MountPlan, forecast: &'a Forecast) -> BTreeMap<usize, Vec<&'a StepForecast>> {
    let uses = |step: &&StepForecast, mount: &PlannedMount| {
        let is = |user: &Use| {
            (&user.target, &user.stage, &user.instruction) == (&step.target, &step.stage, &step.instruction)
        };
        step.forecast.state != PredictedState::Cached && mount.uses.iter().any(is)
    };
    let steps = |mount: &PlannedMount| forecast.steps.iter().filter(|step| uses(step, mount)).collect();
    let all = plan.mounts.iter().map(steps).enumerate();
    all.filter(|(_, steps): &(usize, Vec<&StepForecast>)| !steps.is_empty()).collect()
}

/// Returns whether a registry has layers of this target.
fn is_in_registry(plan: &MountPlan, target: &str) -> bool {
    plan.registries.iter().any(|held| !held.reads(target).is_empty())
}

/// Asks registries about needed mounts that the store lacks, and about those of steps whose layers
/// a registry may have.
fn in_registries(
    session: &Session,
    plan: &Plan,
    needed: &BTreeMap<usize, Vec<&StepForecast>>,
) -> BTreeMap<usize, RemoteMount> {
    let mounts = &plan.mounts;
    let is_asked = |(at, steps): &(&usize, &Vec<&StepForecast>)| {
        let mount = &mounts.mounts[**at];
        let may_hit = || steps.iter().any(|step| is_in_registry(mounts, &step.target));
        mount.is_shared && (mount.held.is_none() || may_hit())
    };
    let slug = |at: usize| mounts.mounts[at].identity.slug();
    let places: Vec<usize> = needed.iter().filter(is_asked).map(|(at, _)| *at).collect();
    let wanted: Vec<_> = places.iter().map(|at| (slug(*at), plan.platform.clone())).collect();
    if wanted.is_empty() || mounts.registries.is_empty() {
        return BTreeMap::new();
    }
    let mut found = registries::mounts(session, &plan.builder, &mounts.registries, &wanted);
    places.into_iter().filter_map(|at| Some((at, found.remove(&slug(at))?))).collect()
}

/// Returns needed mounts that the store or a registry has. If a registry has layers of the target,
/// a step may be in them: the copy of its mount there names the steps that are.
fn wanted(
    plan: &MountPlan,
    needed: &BTreeMap<usize, Vec<&StepForecast>>,
    remote: &BTreeMap<usize, RemoteMount>,
) -> BTreeSet<usize> {
    let runs = |at: usize, step: &StepForecast| {
        let pushed = remote.get(&at).map_or(&[][..], |mount| &mount.entry.steps);
        !is_in_registry(plan, &step.target) || (!pushed.is_empty() && !pushed.contains(&step.key))
    };
    let is_wanted = |(at, steps): &(&usize, &Vec<&StepForecast>)| {
        let has_source = plan.mounts[**at].held.is_some() || remote.contains_key(at);
        has_source && steps.iter().any(|step| runs(**at, step))
    };
    needed.iter().filter(is_wanted).map(|(at, _)| *at).collect()
}

/// Selects mounts by the builder's records: those in use, and all of its mounts if they could be
/// queried.
fn choose(plan: &MountPlan, wanted: &BTreeSet<usize>, used: &[Record], held: Option<&[Record]>) -> Ahead {
    let mut ahead = Ahead::default();
    let is_nameless = |record: &Record| record.kind == "exec.cachemount" && record.mount_id().is_none();
    if used.iter().chain(held.unwrap_or_default()).any(is_nameless) {
        return ahead;
    }
    for at in wanted.iter().copied() {
        let mount = &plan.mounts[at];
        let id = mount.builder_id();
        let is_used = used.iter().any(|record| record.mount_id() == Some(&id));
        let is_seeded = mount.identity.from.is_some();
        let found = held.map(|held| held.iter().filter(|record| mount.may_be(record)).count());
        match found {
            _ if is_used => {}
            Some(0) if is_seeded => ahead.seeded.push(at),
            _ if is_seeded => {}
            // With other options it is another mount, which a record doesn't show.
            Some(found) if found >= plan.alike(at) => {}
            _ => ahead.empty.push(at),
        }
    }
    ahead
}

#[cfg(test)]
#[path = "restore_ahead_tests.rs"]
mod tests;
