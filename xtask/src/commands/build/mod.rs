//! `base-build`, `frankenphp`, `build` and `plan`: from options to facts, plan, execution and
//! report.

mod build_inputs;
mod damaged_results;
mod dry_run;
pub(crate) mod facts;
mod forecast;
mod full_disk;
mod known_secrets;
mod missing_mounts;
mod package_mirror;
mod packages;
pub(crate) mod registries;
mod restore;
mod restore_ahead;
pub(crate) mod run;
mod save_results;
mod shown_results;
mod store_upkeep;
mod transfer_context;
mod up_to_date;

use std::time::Instant;

use anyhow::Result;

use super::build::forecast::{ForecastTask, StepOutcomes};
use super::build::run::Expected;
use super::build::up_to_date::{Candidate, Verdict, Watch};

use crate::args::Parsed;
use crate::build_id;
use crate::build_id::random;
use crate::engine::facts as engine_facts;
use crate::error;
use crate::exec::scratch::Scratch;
use crate::exec::{bake, provisioning, read_only_store, steps};
use crate::json;
use crate::outcome::failure::BuildFailure;
use crate::outcome::{BuildReport, BuildResult, assemble};
use crate::plan::build::{self as planning, Plan};
use crate::plan::options::BuildOptions;
use crate::process::signals;
use crate::process::stdio::{err, errln, out, outln};
use crate::project::requested::check_files;
use crate::provision;
use crate::record::Record;
use crate::record::inputs::BuildInputs;
use crate::report;
use crate::session::Session;
use crate::store::lock::Holds;

/// The target of `base-build`.
const BASE: &str = "frankenphp-base-builder";
/// The target of `frankenphp`.
const RUNTIME: &str = "frankenphp";

/// Runs `base-build`.
pub(crate) fn base_build(session: &Session, parsed: &Parsed) -> Result<u8> {
    build_image(session, parsed, BASE)
}

/// Runs `frankenphp`.
pub(crate) fn frankenphp(session: &Session, parsed: &Parsed) -> Result<u8> {
    build_image(session, parsed, RUNTIME)
}

/// Builds one of the FrankenPHP images, or a target of that name in another file.
fn build_image(session: &Session, parsed: &Parsed, target: &str) -> Result<u8> {
    if parsed.many("--file").is_empty() {
        session.layout.require_images()?;
    }
    build_targets(session, &BuildOptions::new(session, parsed, vec![target.into()])?)
}

/// Runs `build TARGET...`.
pub(crate) fn build(session: &Session, parsed: &Parsed) -> Result<u8> {
    build_targets(session, &BuildOptions::new(session, parsed, parsed.free.clone())?)
}

/// Runs `plan TARGET...`. Accepts the command `base-build` in place of its target.
pub(crate) fn plan(session: &Session, parsed: &Parsed) -> Result<u8> {
    let target = |word: &String| if word == "base-build" { BASE.to_owned() } else { word.clone() };
    let options = BuildOptions::new(session, parsed, parsed.free.iter().map(target).collect())?;
    build_targets(session, &BuildOptions { dry_run: true, ..options })
}

fn build_targets(session: &Session, options: &BuildOptions) -> Result<u8> {
    check_files(&options.files)?;
    if let Some(replacement) = read_only_store::needed(session)? {
        let options = BuildOptions { unsaved: Some(replacement.reason), ..options.clone() };
        return build_with(&replacement.session, &options);
    }
    build_with(session, options)
}

fn build_with(session: &Session, options: &BuildOptions) -> Result<u8> {
    let missing = if options.provision { provision::steps(session)? } else { Vec::new() };
    if !options.dry_run {
        provisioning::run(session, &missing)?;
    }
    let engine = match engine_facts::read(session) {
        Ok(engine) => engine,
        Err(problem) if options.dry_run => {
            return dry_run::without_engine(session, options, problem, missing);
        }
        Err(problem) => return Err(problem.into_error()),
    };
    // A dry run creates nothing, and needs an id only for its output.
    let scratch =
        (!options.dry_run).then(|| Scratch::new(&session.layout, session.host.now, "")).transpose()?;
    let id = scratch
        .as_ref()
        .map_or_else(|| build_id::new_id(session.host.now, random()), |scratch| scratch.id().to_owned());
    let candidate = Candidate::find(session, options);
    let mut facts = facts::facts(session, options, engine, &id)?;
    let held = facts::hold(session, &mut facts);
    packages::resolve(session, options, &mut facts)?;
    let mut plan = planning::plan(&facts, options, &id);
    let redact = |text: &mut String| *text = session.redactor.text(text).into_owned();
    plan.warnings.iter_mut().for_each(redact);
    if options.dry_run {
        let forecast_task = ForecastTask::begin(session, &facts, options, &plan, Expected::Unknown);
        return dry_run::show(session, &missing, &plan, forecast_task.end().as_ref());
    }
    let begun = Instant::now();
    match candidate.check(session, &facts, options, &plan) {
        Verdict::Repeat(inputs, report) => repeat(session, &plan, begun, &inputs, *report),
        Verdict::Ask(watch, expected) => {
            let forecast_task = ForecastTask::begin(session, &facts, options, &plan, expected);
            execute(session, &plan, forecast_task, held, (watch, expected))
        }
    }
}

/// Records and reports a build that has nothing to do.
fn repeat(
    session: &Session,
    plan: &Plan,
    begun: Instant,
    inputs: &BuildInputs,
    earlier: BuildReport,
) -> Result<u8> {
    let record = open(session, plan);
    let report = assemble::repeated(plan, begun.elapsed(), earlier, &inputs.warnings);
    record.repeats(&session.layout, &inputs.build);
    store_upkeep::touch(plan);
    finish(session, plan, &record, report, Ok(()))
}

fn execute(
    session: &Session,
    plan: &Plan,
    forecast_task: ForecastTask,
    held: Holds,
    checked: (Option<Watch>, Expected),
) -> Result<u8> {
    let record = open(session, plan);
    store_upkeep::quarantine(session, &plan.damaged);
    let (report, done) = build_and_keep(session, plan, &record, forecast_task, held, checked);
    finish(session, plan, &record, report, done)
}

fn open(session: &Session, plan: &Plan) -> Record {
    if !session.globals.json {
        plan.warnings.iter().for_each(|warning| errln!("warning: {warning}"));
    }
    Record::open(&session.layout, plan, session.redactor.clone())
}

fn finish(
    session: &Session,
    plan: &Plan,
    record: &Record,
    mut report: BuildReport,
    done: Result<()>,
) -> Result<u8> {
    report.redact(&session.redactor);
    steps::clean(&plan.cleanup);
    close(session, record, &mut report);
    super::report::summarize(session, &report);
    done?;
    if report.bake_called {
        store_upkeep::settle(session, plan);
    }
    if session.globals.json {
        outln!("{}", json::line(&report)?);
    }
    if let Some(failure) = report.failure {
        return Err(error::build_failed(failure.to_string()));
    }
    if plan.bake.inherits_stdout {
        err!("{}", report::summary::build(&report));
    } else if !session.globals.json {
        out!("{}", report::summary::build(&report));
    }
    Ok(0)
}

/// Writes the outcome to the record. A failure costs one warning.
fn close(session: &Session, record: &Record, report: &mut BuildReport) {
    let before = record.problem();
    report.warnings.extend(before.clone());
    record.close(report);
    if let Some(problem) = record.problem().filter(|_| !session.globals.json) {
        errln!("warning: {problem}");
    }
    if before.is_none() {
        report.warnings.extend(record.problem());
    }
}

/// Builds and saves. Returns the report of any outcome, and an error that is not part of it.
fn build_and_keep(
    session: &Session,
    plan: &Plan,
    record: &Record,
    forecast_task: ForecastTask,
    held: Holds,
    (watch, expected): (Option<Watch>, Expected),
) -> (BuildReport, Result<()>) {
    let (begun, log) = (Instant::now(), record.log());
    let built = match run::bake(session, plan, log, &forecast_task.forecast_slot, expected) {
        Ok(built) => built,
        Err(error) => {
            let failure = BuildFailure::of_error(&error, log.path());
            return (assemble::broken(plan, begun.elapsed(), failure, signals::interrupted()), Err(error));
        }
    };
    // Each save holds its own input. A result that this build read may have to be removed for a new
    // one.
    drop(held);
    store_upkeep::quarantine(session, &built.damaged);
    let ended = &built.ended;
    let is_stopped = signals::interrupted();
    let has_failed = !ended.is_success() && !is_stopped;
    let mut failure = has_failed.then(|| BuildFailure::new(&ended.trace, &ended.text, log.path()));
    failure.iter_mut().for_each(|failure| full_disk::name(session, failure));
    let mut report = assemble::report(plan, ended, &bake::digests(&plan.metadata), failure);
    if !built.reads_results {
        report.cache.read.clear();
    }
    assemble::unread(&ended.trace).for_each(|warning| save_results::warn(session, &mut report, &warning));
    if is_stopped {
        report.result = BuildResult::Interrupted;
    }
    let outcomes = StepOutcomes::report(forecast_task, record, plan, &ended.trace, &mut report);
    if is_stopped {
        return (report, Err(error::interrupted()));
    }
    let mut done = Ok(());
    if report.failure.is_none() {
        store_upkeep::touch(plan);
        let warnings = report.warnings.len();
        done = save_results::keep(session, plan, &built, &outcomes, record, &mut report);
        // The next build tries again to save a result that this one could not.
        let is_kept = done.is_ok() && report.warnings.len() == warnings;
        if let Some(watch) = watch.filter(|_| is_kept) {
            watch.keep(session, plan, record, &ended.trace, &outcomes);
        }
    }
    if let Err(error) = &done {
        report
            .warnings
            .push(format!("the images are built, but saving the results was interrupted: {error:#}"));
        report.result = if signals::interrupted() { BuildResult::Interrupted } else { report.result };
    }
    (report, done)
}
