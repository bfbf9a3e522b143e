//! Makes a plan's call of bake, and repeats it if that helps: to restore cache mounts that a step
//! needs, and without results that a registry or the engine lost.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::Result;
use xshell::Shell;

use super::missing_mounts::{MissingMount, MountMonitor};
use super::{damaged_results, restore_ahead, store_upkeep};
use crate::exec::bake::{self, Call};
use crate::exec::budget::Budget;
use crate::exec::mounts::{self, TransferContext, TransferResult};
use crate::files;

use crate::exec::registry::{self, Transport};
use crate::exec::steps;
use crate::exec::supervisor::Condition;
use crate::live;
use crate::live::SharedForecast;
use crate::plan::bake_args;
use crate::plan::build::Plan;
use crate::plan::mounts::{Direction, PlannedMount};
use crate::process::signals;
use crate::process::stdio::errln;
use crate::progress::Watcher;
use crate::progress::bake_outcome::{BakeOutcome, BakeStatus};
use crate::progress::trace::Trace;
use crate::record::log::Log;
use crate::session::Session;
use crate::step::Command;
use crate::store::damage::Damaged;

/// The message of a repeated build without registries.
const UNDELIVERED: &str =
    "a registry does not deliver layers that its cache lists; building without registries";

/// The pauses after each race of the engine. A conflict of two builds may last until the other one
/// is over.
const RACES: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(15),
    Duration::from_secs(30),
];

/// A completed build, and the cache mounts that were restored for it.
pub(in crate::commands) struct Built {
    /// The outcome of all calls together.
    pub ended: BakeOutcome,
    /// The restored mounts.
    pub put_back: TransferResult,
    /// Damaged results that the build read.
    pub damaged: Vec<Damaged>,
}

/// Prepares and makes the call, with its output in `log`. After Ctrl-C returns what happened until
/// then.
pub(in crate::commands) fn bake(
    session: &Session,
    plan: &Plan,
    log: &Log,
    forecast_slot: &SharedForecast,
) -> Result<Built> {
    files::make_dir(&plan.scratch)?;
    steps::run(&plan.prepare, session.globals.verbose)?;
    let names = plan.targets.iter().map(|target| target.name.clone()).collect();
    let watcher = RefCell::new(live::watcher(session, SharedForecast::clone(forecast_slot)));
    let run = Run { session, plan, log, names, watcher, forecast_slot };
    let started = Instant::now();
    let (mut ended, put_back) = run.with_mounts()?;
    if signals::interrupted() {
        return Ok(Built { ended, put_back, damaged: Vec::new() });
    }
    let damaged = damaged_results::find(plan, &ended);
    let left_out: Vec<&Path> = damaged.iter().map(|item| item.path.as_path()).collect();
    let mut command = bake_args::without_results(&plan.bake, &left_out);
    if !damaged.is_empty() {
        let warnings: Vec<String> = damaged.iter().map(Damaged::warning).collect();
        warnings.iter().for_each(|warning| errln!("warning: {warning}"));
        retry(&mut ended, started, || run.call(&command, &|_| false))?;
        ended.trace.warnings.extend(warnings);
        ended.trace.is_repeated = true;
    }
    if let Some(without) = plan.without_registries.as_ref().filter(|_| ended.is_missing_registry_blob()) {
        errln!("warning: {UNDELIVERED}");
        command = bake_args::without_results(without, &left_out);
        retry(&mut ended, started, || run.call(&command, &|_| false))?;
        ended.trace.warnings.push(UNDELIVERED.into());
        ended.trace.is_repeated = true;
    }
    for pause in RACES {
        if !ended.is_engine_race() {
            break;
        }
        errln!("warning: the engine hit a race with another build; retrying");
        pause_for(pause)?;
        retry(&mut ended, started, || run.call(&command, &|_| false))?;
    }
    Ok(Built { ended, put_back, damaged })
}

/// Makes a call after a failed one. Steps that completed in the failed call count as run by this
/// build, and so does its time.
fn retry(
    ended: &mut BakeOutcome,
    started: Instant,
    call: impl FnOnce() -> Result<BakeOutcome>,
) -> Result<()> {
    let before = std::mem::replace(ended, call()?);
    ended.trace.merge_previous(&before.trace);
    ended.seconds = started.elapsed().as_secs_f64();
    Ok(())
}

/// Waits. Ctrl-C ends it.
fn pause_for(pause: Duration) -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < pause {
        signals::check()?;
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Returns the environment for transfers of cache mounts.
pub(in crate::commands) fn site<'a>(
    session: &'a Session,
    plan: &'a Plan,
    log: &'a Log,
    budget: &'a Budget,
) -> TransferContext<'a> {
    TransferContext {
        layout: &session.layout,
        log,
        now: session.host.now,
        platform: &plan.platform,
        budget,
        expected: 0,
    }
}

struct Run<'a> {
    session: &'a Session,
    plan: &'a Plan,
    log: &'a Log,
    names: Vec<String>,
    /// The watcher of all calls.
    watcher: RefCell<Box<dyn Watcher>>,
    /// The forecast, when it is known.
    forecast_slot: &'a SharedForecast,
}

impl Run<'_> {
    fn call(&self, command: &Command, stop: &dyn Fn(&Trace) -> bool) -> Result<BakeOutcome> {
        self.call_until(command, stop, None)
    }

    /// Makes a call that ends as soon as `end_if` returns true.
    fn call_until(
        &self,
        command: &Command,
        stop: &dyn Fn(&Trace) -> bool,
        end_if: Option<Condition<'_>>,
    ) -> Result<BakeOutcome> {
        if self.session.globals.verbose {
            errln!("$ {}", command.to_shell());
        }
        let call = Call { stop, end_if, ..Call::new(command, &self.names, self.log) };
        bake::run_to_its_end(&call, &mut **self.watcher.borrow_mut())
    }

    /// Restores mounts before steps need them. A step that still begins without an available mount
    /// stops the build, which continues after the restore: finished steps are cached by then, and
    /// count with their first result.
    fn with_mounts(&self) -> Result<(BakeOutcome, TransferResult)> {
        let started = Instant::now();
        let lookout = MountMonitor::new(self.plan);
        let mut put_back = TransferResult::default();
        self.restore_ahead(&lookout, &mut put_back)?;
        let mut before: Option<Trace> = None;
        loop {
            let mut ended = self.call_and_look(&lookout)?;
            if let Some(before) = &before {
                ended.trace.merge_previous(before);
            }
            let goes_on = ended.status == BakeStatus::ConditionMet && !signals::interrupted();
            if !goes_on {
                ended.seconds = started.elapsed().as_secs_f64();
                return Ok((ended, put_back));
            }
            let lacking = lookout.lacking(self.session, &ended.trace);
            before = Some(ended.trace);
            let mounts = self.fetch(lacking, &mut put_back)?;
            self.restore(Direction::Restore, &mounts, &mut put_back)?;
        }
    }

    /// Makes the call while a thread asks the builder about mounts of starting steps, so that the
    /// event stream never waits.
    fn call_and_look(&self, lookout: &MountMonitor<'_>) -> Result<BakeOutcome> {
        let asking = Session {
            sh: Shell::new()?,
            host: self.session.host.clone(),
            layout: self.session.layout.clone(),
            globals: self.session.globals.clone(),
            redactor: self.session.redactor.clone(),
        };
        let is_lacking = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let (questions, asked) = mpsc::channel();
            let is_found = &is_lacking;
            scope.spawn(move || {
                for new in asked {
                    if lookout.is_lacking(&asking, &new) {
                        is_found.store(true, Ordering::Relaxed);
                    }
                }
            });
            let look = |trace: &Trace| {
                let new = lookout.look(trace);
                if !new.is_empty() {
                    let _ = questions.send(new);
                }
                false
            };
            // Without a way to restore, an ended call could not go on.
            let can_restore = self.plan.mounts.carrier.is_some();
            let end_if = || can_restore && is_lacking.load(Ordering::Relaxed);
            self.call_until(&self.plan.bake, &look, Some(&end_if))
        })
    }

    fn restore_ahead(&self, lookout: &MountMonitor<'_>, put_back: &mut TransferResult) -> Result<()> {
        let Some((ahead, _turn)) = restore_ahead::find(self.session, self.plan, self.forecast_slot)? else {
            return Ok(());
        };
        for (way, places) in [(Direction::Restore, ahead.seeded), (Direction::Fill, ahead.empty)] {
            let mounts: Vec<PlannedMount> =
                places.iter().map(|at| self.plan.mounts.mounts[*at].clone()).collect();
            self.restore(way, &mounts, put_back)?;
            // A refused mount is not tried again, because that would only stop the build.
            lookout.settle(places);
        }
        Ok(())
    }

    fn restore(&self, way: Direction, mounts: &[PlannedMount], put_back: &mut TransferResult) -> Result<()> {
        let Some(carrier) = self.plan.mounts.carrier.as_ref().filter(|_| !mounts.is_empty()) else {
            return Ok(());
        };
        let budget = store_upkeep::budget(self.session, self.plan);
        let site = site(self.session, self.plan, self.log, &budget);
        self.say(mounts);
        let mut aside = live::side_task(self.session, "restoring cache mounts");
        let moved = mounts::run(&site, carrier, way, mounts, &mut *aside)?;
        moved.warnings.iter().for_each(|warning| errln!("warning: {warning}"));
        put_back.add(moved);
        Ok(())
    }

    fn say(&self, mounts: &[PlannedMount]) {
        let ids: Vec<&str> = mounts.iter().map(|mount| mount.identity.id.as_str()).collect();
        if !self.session.globals.json {
            errln!("restoring cache mounts: {}", ids.join(", "));
        }
    }

    /// Pulls mounts from registries to the store. Returns all that are there then.
    fn fetch(&self, lacking: Vec<MissingMount>, put_back: &mut TransferResult) -> Result<Vec<PlannedMount>> {
        let (env, started) = (BTreeMap::new(), Instant::now());
        let budget = store_upkeep::budget(self.session, self.plan);
        let transport = transport(self.session, self.plan, (self.log, &budget), &env);
        let mut mounts = Vec::new();
        for MissingMount { mut mount, remote } in lacking {
            if let Some(remote) = remote {
                let (fetched, warnings) = registry::fetch_mounts(
                    &transport,
                    &[remote],
                    &mut *live::side_task(self.session, "fetching cache mounts"),
                )?;
                warnings.iter().for_each(|warning| errln!("warning: {warning}"));
                put_back.warnings.extend(warnings);
                mount.held = fetched.into_iter().next().map(|saved| saved.entry);
            }
            mounts.extend(mount.held.is_some().then_some(mount));
        }
        put_back.seconds += started.elapsed().as_secs_f64();
        Ok(mounts)
    }
}

/// Returns the environment for pushes and pulls of mounts.
pub(in crate::commands) fn transport<'a>(
    session: &'a Session,
    plan: &'a Plan,
    (log, budget): (&'a Log, &'a Budget),
    env: &'a BTreeMap<String, String>,
) -> Transport<'a> {
    let timeout = crate::engine::registry::timeout(session);
    Transport {
        layout: &session.layout,
        builder: &plan.builder,
        scratch: &plan.scratch,
        timeout,
        log,
        budget,
        env,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retried_build_keeps_the_work_of_the_failed_call() {
        let ended = |status: BakeStatus, vertexes: serde_json::Value| {
            let mut trace = Trace::new(&["app".to_owned()]);
            let chunk = serde_json::json!({ "vertexes": vertexes });
            trace.apply(&serde_json::from_value(chunk).expect("well formed"));
            BakeOutcome { status, trace, text: Vec::new(), seconds: 1.0 }
        };
        let (begun, done) = ("2026-11-26T00:00:00Z", "2026-11-26T00:00:05Z");
        let step =
            serde_json::json!({"digest": "a", "name": "[1/2] RUN make", "started": begun, "completed": done});
        let mut first = ended(BakeStatus::Failed, serde_json::json!([&step]));
        let mut cached = step;
        cached["cached"] = true.into();
        let second = ended(BakeStatus::Succeeded, serde_json::json!([cached]));
        let started = Instant::now() - Duration::from_secs(60);
        retry(&mut first, started, || Ok(second)).expect("it is made");
        let (state, _) = first.trace.steps().next().expect("a step");
        assert!(first.is_success() && !state.cached && first.seconds >= 60.0);
    }
}
