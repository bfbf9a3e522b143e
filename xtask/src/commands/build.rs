//! `base-build`, `frankenphp`, `build` and `plan`: from options to facts, plan, execution and report.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;

use super::gather;
use crate::cli::Session;
use crate::cli::parse::Parsed;
use crate::engine::facts as engine_facts;
use crate::engine::problem::Problem;
use crate::engine::provision;
use crate::exec::bake::{self, Call, Ended};
use crate::exec::{lock::Lock, push, save, signals, steps};
use crate::plan::build::{self as planning, Plan};
use crate::plan::options::BuildOptions;
use crate::plan::push::Push;
use crate::plan::step::Step;
use crate::record::{self, Record};
use crate::report::failure::BuildFailure;
use crate::report::{self, BuildReport, outcome, watch};
use crate::{error, plan::save::Save};

/// The target of `base-build`.
const BASE: &str = "frankenphp-base-builder";
/// The target of `frankenphp`.
const RUNTIME: &str = "frankenphp";

/// `base-build`.
pub fn base_build(session: &Session, parsed: &Parsed) -> Result<u8> {
    run(session, &BuildOptions::new(session, parsed, vec![BASE.into()])?)
}

/// `frankenphp`.
pub fn frankenphp(session: &Session, parsed: &Parsed) -> Result<u8> {
    run(session, &BuildOptions::new(session, parsed, vec![RUNTIME.into()])?)
}

/// `build TARGET...`.
pub fn build(session: &Session, parsed: &Parsed) -> Result<u8> {
    run(session, &BuildOptions::new(session, parsed, parsed.free.clone())?)
}

/// `plan TARGET...`; who types the command `base-build` for its target is understood.
pub fn plan(session: &Session, parsed: &Parsed) -> Result<u8> {
    let target = |word: &String| if word == "base-build" { BASE.to_owned() } else { word.clone() };
    let options = BuildOptions::new(session, parsed, parsed.free.iter().map(target).collect())?;
    run(session, &BuildOptions { dry_run: true, ..options })
}

fn run(session: &Session, options: &BuildOptions) -> Result<u8> {
    gather::check_files(&options.files)?;
    let missing = if options.provision { provision::steps(session)? } else { Vec::new() };
    if !options.dry_run {
        steps::run(&missing, session.globals.verbose)?;
    }
    let engine = match engine_facts::read(session) {
        Ok(engine) => engine,
        Err(problem) if options.dry_run => return without_engine(session, options, problem, missing),
        Err(problem) => return Err(problem.into_error()),
    };
    let id = record::new_id(session.host.now, std::process::id());
    let facts = gather::facts(session, options, engine, &id)?;
    let plan = planning::plan(&facts, options, &id);
    if options.dry_run {
        return show(session, &missing, &plan);
    }
    execute(session, &plan)
}

/// `plan` and `--dry-run`.
fn show(session: &Session, missing: &[Step], plan: &Plan) -> Result<u8> {
    if session.globals.json {
        println!("{}", report::json::line(plan)?);
    } else {
        missing.iter().for_each(|step| println!("{}", step.to_shell()));
        print!("{}", report::plan::text(plan));
    }
    Ok(0)
}

/// A dry run where nothing can be asked: the steps that would mend that, and the call as far as it is known.
fn without_engine(
    session: &Session,
    options: &BuildOptions,
    problem: Problem,
    missing: Vec<Step>,
) -> Result<u8> {
    if !problem.can_provision() {
        return Err(problem.into_error());
    }
    let first = if options.provision { missing } else { provision::steps(session)? };
    if session.globals.json {
        let document = serde_json::json!({
            "schema": report::json::SCHEMA, "problem": problem.what(), "remedy": problem.remedy(), "provision": first,
        });
        println!("{document}");
        return Ok(0);
    }
    println!("{}\n{}\nwith --provision, these steps come first:", problem.what(), problem.remedy());
    first.iter().for_each(|step| println!("{}", step.to_shell()));
    println!("then the declaration is read, and its targets are built:");
    println!("docker buildx bake -f {} {}", options.files[0].display(), options.targets.join(" "));
    Ok(0)
}

fn execute(session: &Session, plan: &Plan) -> Result<u8> {
    if !session.globals.json {
        plan.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
    }
    let record = Record::open(&session.layout, plan)?;
    let result = build_and_save(session, plan, &record);
    steps::clean(&plan.cleanup);
    let report = result?;
    record.close(&report)?;
    if session.globals.json {
        println!("{}", report::json::line(&report)?);
    }
    if let Some(failure) = report.failure {
        return Err(error::build_failed(failure.to_string()));
    }
    if !session.globals.json {
        print!("{}", report::text::build(&report));
    }
    Ok(0)
}

/// Said where a build is made again without registries.
const UNDELIVERED: &str =
    "a registry does not deliver layers that its cache promised; building without registries";

/// Prepares and makes a plan's one call of bake, with its output in `log`; the store is read-locked meanwhile.
pub(super) fn bake(session: &Session, plan: &Plan, log: &Path) -> Result<Ended> {
    std::fs::create_dir_all(&plan.scratch)?;
    steps::run(&plan.prepare, session.globals.verbose)?;
    if session.globals.verbose {
        eprintln!("$ {}", plan.bake.to_shell());
    }
    let names: Vec<String> = plan.targets.iter().map(|target| target.name.clone()).collect();
    let call = Call { command: &plan.bake, targets: &names, log, stop: &|_| false };
    let _reading = Lock::shared(&session.layout)?;
    let mut ended = bake::run(&call, &mut *watch::watcher(session))?;
    if let Some(command) = plan.without_registries.as_ref().filter(|_| ended.lacked_a_layer()) {
        eprintln!("warning: {UNDELIVERED}");
        let call = Call { command, ..call };
        ended = bake::run(&call, &mut *watch::watcher(session))?;
        ended.trace.warnings.push(UNDELIVERED.into());
    }
    if !ended.lost_a_snapshot() {
        return Ok(ended);
    }
    eprintln!("warning: the engine removed a layer while it was unpacked; unpacking again");
    bake::run(&call, &mut *watch::watcher(session))
}

fn build_and_save(session: &Session, plan: &Plan, record: &Record) -> Result<BuildReport> {
    let ended = bake(session, plan, &record.log())?;
    let failure = (!ended.success).then(|| BuildFailure::new(&ended.trace, &ended.text, &record.log()));
    let digests = bake::digests(&plan.metadata);
    let mut report = outcome::report(plan, &ended, &digests, failure);
    outcome::unread(&ended.trace).for_each(|warning| warn(session, &mut report, warning));
    if report.failure.is_none() {
        // A build that finds the results from before is worse than none that is saved, so this comes first.
        if let Err(error) = steps::run(&plan.remember, session.globals.verbose) {
            let warning = format!(
                "what was run again is not remembered, so the next build may find the results from before: {error:#}"
            );
            warn(session, &mut report, warning);
        }
        let needed = |save: &&Save| {
            save::is_needed(save, digests.get(&save.target), outcome::ran(&ended.trace, &save.target))
        };
        for save in plan.saves.iter().filter(needed) {
            save_one(session, save, record, &mut report)?;
        }
        let needed = |push: &&Push| push::is_needed(push, outcome::ran(&ended.trace, &push.target));
        // A registry that failed one target would fail the next one after as long a wait.
        let mut failed = BTreeSet::new();
        for push in plan.pushes.iter().filter(needed) {
            let to = &push.registry.reference;
            if !failed.contains(to) && !push_one(session, push, record, &mut report)? {
                failed.insert(to);
            }
        }
    }
    Ok(report)
}

/// A save that fails costs a warning, never the build; Ctrl-C ends it as it ends all else.
fn save_one(session: &Session, save: &Save, record: &Record, report: &mut BuildReport) -> Result<()> {
    if !session.globals.json {
        eprintln!("saving the layers of {} for other builders ({})", save.image, save.key);
    }
    let digest = report
        .targets
        .iter()
        .find(|target| target.name == save.target)
        .and_then(|target| target.digest.clone());
    let saved =
        save::run(&session.layout, save, digest.as_ref(), &record.log(), session.host.now, &mut watch::Quiet);
    signals::check()?;
    match saved {
        Ok(saved) => {
            report.cache.save_seconds = outcome::round(report.cache.save_seconds + saved.seconds);
            report.cache.saved = Some(saved.entry.key.short().to_owned());
        }
        Err(error) => {
            warn(session, report, format!("the layers of {} are not saved: {error:#}", save.image));
        }
    }
    Ok(())
}

/// A push that fails costs a warning as well; whether it did not.
fn push_one(session: &Session, push: &Push, record: &Record, report: &mut BuildReport) -> Result<bool> {
    if !session.globals.json {
        eprintln!("pushing the layers of {} to {}", push.image, push.reference);
    }
    let pushed = push::run(&session.layout, push, &record.log(), &mut watch::Quiet);
    signals::check()?;
    match pushed {
        Ok(seconds) => {
            report.cache.push_seconds = outcome::round(report.cache.push_seconds + seconds);
            report.cache.pushed.push(push.reference.clone());
            Ok(true)
        }
        Err(error) => {
            let (image, to) = (&push.image, &push.registry.reference);
            warn(session, report, format!("the layers of {image} are not pushed to `{to}`: {error:#}"));
            Ok(false)
        }
    }
}

fn warn(session: &Session, report: &mut BuildReport, warning: String) {
    if !session.globals.json {
        eprintln!("warning: {warning}");
    }
    report.warnings.push(warning);
}
