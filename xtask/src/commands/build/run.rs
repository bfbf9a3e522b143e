//! Makes a plan's call of bake, and repeats it if that helps: after a race of the engine, and
//! without results that a registry or the engine lost.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::{damaged_results, shown_results};
use crate::exec::bake::{self, Call};
use crate::exec::mounts::TransferResult;
use crate::exec::steps;
use crate::exec::supervisor::Condition;
use crate::files;
use crate::live;
use crate::live::SharedForecast;
use crate::plan::bake_args;
use crate::plan::build::Plan;
use crate::process::signals;
use crate::process::stdio::errln;
use crate::progress::Watcher;
use crate::progress::bake_outcome::BakeOutcome;
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
    pub restored: TransferResult,
    /// Damaged results that the build read.
    pub damaged: Vec<Damaged>,
    /// Whether BuildKit was shown the saved results of the plan.
    pub reads_results: bool,
}

/// The expected work of a build.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::commands) enum Expected {
    /// Anything from no step to all of them.
    Unknown,
    /// No step runs: the inputs are those of the last build on this builder.
    Nothing,
}

/// Prepares and makes the call, with its output in `log`. After Ctrl-C returns what happened until
/// then.
pub(in crate::commands) fn bake(
    session: &Session,
    plan: &Plan,
    log: &Log,
    forecast_slot: &SharedForecast,
    expected: Expected,
) -> Result<Built> {
    files::make_dir(&plan.scratch)?;
    steps::run(&plan.prepare, session.globals.verbose)?;
    let names = plan.targets.iter().map(|target| target.name.clone()).collect();
    let watcher = RefCell::new(live::watcher(session, SharedForecast::clone(forecast_slot)));
    let started = Instant::now();
    let mut run =
        Run { session, plan, first: plan.without_caches.clone(), log, names, watcher, forecast_slot };
    let mut before = None;
    if expected == Expected::Nothing {
        let ended = run.call_until(&run.first, &Trace::started_a_step, None)?;
        if ended.is_success() || signals::interrupted() {
            let restored = TransferResult::default();
            return Ok(Built { ended, restored, damaged: Vec::new(), reads_results: false });
        }
        // The builder has dropped results. The saved ones may have them.
        before = Some(ended.trace);
    }
    let superfluous = shown_results::superfluous(plan, forecast_slot)?;
    let superfluous: Vec<&Path> = superfluous.iter().map(PathBuf::as_path).collect();
    run.first = bake_args::without_results(&plan.bake, &superfluous);
    let (mut ended, restored) = run.with_mounts(before)?;
    if signals::interrupted() {
        return Ok(Built { ended, restored, damaged: Vec::new(), reads_results: true });
    }
    let damaged = damaged_results::find(plan, &ended);
    // Instead of a damaged result, another one may have its steps.
    let left_out: Vec<&Path> = match damaged[..] {
        [] => superfluous,
        _ => damaged.iter().map(|item| item.path.as_path()).collect(),
    };
    let mut command = bake_args::without_results(&plan.bake, &left_out);
    if !damaged.is_empty() {
        let warnings: Vec<String> = damaged.iter().map(Damaged::warning).collect();
        warnings.iter().for_each(|warning| errln!("warning: {warning}"));
        retry(&mut ended, started, || run.call(&command))?;
        ended.trace.warnings.extend(warnings);
        ended.trace.is_repeated = true;
    }
    if let Some(without) = plan.without_registries.as_ref().filter(|_| ended.is_missing_registry_blob()) {
        errln!("warning: {UNDELIVERED}");
        command = bake_args::without_results(without, &left_out);
        retry(&mut ended, started, || run.call(&command))?;
        ended.trace.warnings.push(UNDELIVERED.into());
        ended.trace.is_repeated = true;
    }
    for pause in RACES {
        if !ended.is_engine_race() {
            break;
        }
        errln!("warning: the engine hit a race with another build; retrying");
        pause_for(pause)?;
        retry(&mut ended, started, || run.call(&command))?;
    }
    Ok(Built { ended, restored, damaged, reads_results: true })
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

/// A build whose calls are made.
pub(super) struct Run<'a> {
    pub(super) session: &'a Session,
    pub(super) plan: &'a Plan,
    /// The first call: the plan's, without superfluous results. If no step is expected to run,
    /// without any: to read them takes a third of such a call.
    pub(super) first: Command,
    pub(super) log: &'a Log,
    names: Vec<String>,
    /// The watcher of all calls.
    watcher: RefCell<Box<dyn Watcher>>,
    /// The forecast, when it is known.
    pub(super) forecast_slot: &'a SharedForecast,
}

impl Run<'_> {
    fn call(&self, command: &Command) -> Result<BakeOutcome> {
        self.call_until(command, &|_| false, None)
    }

    /// Makes a call that ends as soon as `end_if` returns true.
    pub(super) fn call_until(
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::bake_outcome::BakeStatus;

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
