//! Saves the results of a build to the store and registries. A failure costs a warning, never the
//! build.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use anyhow::Result;

use super::forecast::StepOutcomes;
use super::run::Built;
use super::store_upkeep;
use super::transfer_context;
use crate::engine::registry::{advice, timeout as registry_timeout};
use crate::exec::mounts::{self, TransferResult};
use crate::exec::save::{BuiltLayers, SaveContext};
use crate::exec::{push, registry, save, steps};
use crate::live;
use crate::outcome::{BuildReport, MountReport, assemble};
use crate::plan::build::Plan;
use crate::plan::mounts::{Direction, PlannedMount};
use crate::plan::push::Push;
use crate::plan::registry_state::RegistryState;
use crate::plan::save::Save;
use crate::process::signals;
use crate::process::stdio::errln;
use crate::record::Record;
use crate::record::log::Log;
use crate::session::Session;
use crate::store::mount::{MountEntry, SavedMount};
use crate::store::used;
use crate::text;

/// Saves the results of a successful build.
pub(in crate::commands) fn keep(
    session: &Session,
    plan: &Plan,
    built: &Built,
    outcomes: &StepOutcomes,
    record: &Record,
    report: &mut BuildReport,
) -> Result<()> {
    // A build that uses the results from before is worse than an unsaved one, so this comes first.
    if let Err(error) = steps::run(&plan.remember, session.globals.verbose) {
        let why = "failed to record which steps were run again: the next build may use the results from \
         before";
        warn(session, report, &format!("{why}: {error:#}"));
    }
    let trace = &built.ended.trace;
    for save in &plan.saves {
        let target = report.targets.iter().find(|target| target.name == save.target);
        let digest = target.and_then(|target| target.digest.clone());
        let layers = BuiltLayers { digest: digest.as_ref(), steps: outcomes.keys(&save.target) };
        if save::is_needed(save, &layers, assemble::ran(trace, &save.target)) {
            save_one(session, plan, save, layers, record, report)?;
        }
    }
    let needed = |push: &&Push| push::is_needed(push, assemble::ran(trace, &push.target));
    // After a failure of a registry, the next target would wait just as long.
    let mut failed = BTreeSet::new();
    for push in plan.pushes.iter().filter(needed) {
        let to = &push.registry.reference;
        if !failed.contains(to) && !push_one(session, push, record, report)? {
            failed.insert(to);
        }
    }
    let moved = save_mounts(session, plan, built, record, report)?;
    if plan.saves_mounts {
        publish(session, plan, (&moved, outcomes), &failed, record.log(), report)?;
    }
    Ok(())
}

/// Saves the mounts of steps that ran, and those that the store lacks if it or a registry has just
/// received the layers.
fn save_mounts(
    session: &Session,
    plan: &Plan,
    built: &Built,
    record: &Record,
    report: &mut BuildReport,
) -> Result<Vec<MountEntry>> {
    let trace = &built.ended.trace;
    let mut used = BTreeSet::new();
    for (state, label) in trace.steps().filter(|(state, _)| !state.cached && state.started.is_some()) {
        used.extend(plan.mounts.of_step(&state.targets, label));
    }
    if report.cache.saved.is_some() || !report.cache.pushed.is_empty() {
        used.extend((0..plan.mounts.mounts.len()).filter(|at| plan.mounts.mounts[*at].held.is_none()));
    }
    let mut moved = TransferResult::default();
    if let Some(template) = plan.mounts.template.as_ref().filter(|_| plan.saves_mounts && !used.is_empty()) {
        let mounts: Vec<PlannedMount> = used.iter().map(|at| plan.mounts.mounts[*at].clone()).collect();
        if !session.globals.json {
            let ids: Vec<&str> = mounts.iter().map(|mount| mount.identity.id.as_str()).collect();
            errln!("saving cache mounts: {}", ids.join(", "));
        }
        let (log, budget) = (record.log(), store_upkeep::budget(session, plan));
        let context = transfer_context::for_builder(session, plan, log, &budget);
        moved = mounts::run(
            &context,
            template,
            Direction::Save,
            &mounts,
            &mut *live::side_task(session, "saving cache mounts"),
        )?;
    }
    for (entry, _) in built.restored.done.iter().chain(&moved.done) {
        used::mark_used(&session.layout.all_mounts().join(entry.identity.slug()));
    }
    report.cache.mounts = mount_reports(&built.restored, &moved);
    report.cache.restore_seconds = text::round(built.restored.seconds);
    report.cache.mount_save_seconds = text::round(moved.seconds);
    report.warnings.extend(built.restored.warnings.iter().cloned());
    for warning in moved.warnings {
        warn(session, report, &warning);
    }
    Ok(moved.done.into_iter().map(|(entry, _)| entry).collect())
}

/// Pushes saved mounts to each writable registry, and all mounts of the store with the first layers
/// of a registry.
fn publish(
    session: &Session,
    plan: &Plan,
    (saved, outcomes): (&[MountEntry], &StepOutcomes),
    failed: &BTreeSet<&String>,
    log: &Log,
    report: &mut BuildReport,
) -> Result<()> {
    let is_saved = |held: &&MountEntry| saved.iter().any(|entry| entry.identity == held.identity);
    let others = plan.mounts.mounts.iter().filter_map(|mount| mount.held.as_ref());
    let others = others.filter(|held| !report.cache.pushed.is_empty() && !is_saved(held));
    let with_steps = |entry: &MountEntry| {
        let mut own = plan.mounts.mounts.iter().filter(|mount| mount.identity == entry.identity);
        let steps = own.next().map(|mount| outcomes.users(&mount.uses)).unwrap_or_default();
        let mut entry = MountEntry { steps, ..entry.clone() };
        entry.add_steps(&[]);
        entry
    };
    let saved: Vec<SavedMount> = saved
        .iter()
        .chain(others)
        .filter(|entry| entry.is_shared)
        .map(|entry| SavedMount {
            dir: session.layout.all_mounts().join(entry.identity.slug()),
            entry: with_steps(entry),
        })
        .collect();
    let (env, budget) = (BTreeMap::new(), store_upkeep::budget(session, plan));
    let is_open = |held: &&RegistryState| {
        held.takes_pushes() && held.registry.has_mounts && !failed.contains(&held.registry.reference)
    };
    for held in plan.mounts.registries.iter().filter(is_open).filter(|_| !saved.is_empty()) {
        let started = Instant::now();
        let transport = transfer_context::for_registries(session, plan, (log, &budget), &env);
        let (pushed, warnings) = registry::publish_mounts(
            &transport,
            &held.registry,
            &saved,
            &mut *live::side_task(session, "pushing cache mounts"),
        )?;
        report.cache.pushed.extend(pushed);
        report.cache.push_seconds = text::round(report.cache.push_seconds + started.elapsed().as_secs_f64());
        warnings.into_iter().for_each(|warning| warn(session, report, &warning));
    }
    Ok(())
}

/// Returns each mount once.
fn mount_reports(restores: &TransferResult, saves: &TransferResult) -> Vec<MountReport> {
    let report = |restored: bool| {
        move |(entry, new): &(crate::store::mount::MountEntry, u64)| MountReport {
            id: entry.identity.id.clone(),
            target: entry.target.clone(),
            restored,
            bytes: entry.bytes,
            saved_bytes: *new,
        }
    };
    let mut all: Vec<MountReport> = restores.done.iter().map(report(true)).collect();
    for saved in saves.done.iter().map(report(false)) {
        match all.iter_mut().find(|known| known.id == saved.id && known.target == saved.target) {
            Some(known) => *known = MountReport { restored: true, ..saved },
            None => all.push(saved),
        }
    }
    all
}

/// Does one save. A failure costs a warning, never the build. Ctrl-C ends it.
fn save_one(
    session: &Session,
    plan: &Plan,
    save: &Save,
    layers: BuiltLayers<'_>,
    record: &Record,
    report: &mut BuildReport,
) -> Result<()> {
    if !session.globals.json {
        errln!("saving the layers of {} for other builders ({})", save.image, save.key);
    }
    let budget = &store_upkeep::budget(session, plan);
    let guess = || store_upkeep::guess(session, tag_of(plan, save), budget);
    let context = SaveContext {
        layout: &session.layout,
        log: record.log(),
        now: session.host.now,
        budget,
        expected: save.expected.unwrap_or_else(guess),
    };
    let saved = save::run(&context, save, layers, &mut *live::side_task(session, "saving layers"));
    signals::check()?;
    match saved {
        Ok(saved) => {
            report.cache.save_seconds = text::round(report.cache.save_seconds + saved.seconds);
            report.cache.saved = Some(saved.entry.key.short().to_owned());
        }
        Err(error) => {
            warn(session, report, &format!("failed to save the layers of {}: {error:#}", save.image));
        }
    }
    Ok(())
}

/// Returns the name of the image in the engine.
fn tag_of<'a>(plan: &'a Plan, save: &'a Save) -> &'a str {
    let target = plan.targets.iter().find(|target| target.name == save.target);
    target.and_then(|target| target.image.as_deref()).unwrap_or(&save.image)
}

/// Does one push. A failure costs a warning. Returns whether it succeeded.
fn push_one(session: &Session, push: &Push, record: &Record, report: &mut BuildReport) -> Result<bool> {
    if !session.globals.json {
        errln!("pushing the layers of {} to {}", push.image, push.reference);
    }
    let pushed = push::run(
        push,
        registry_timeout(session),
        record.log(),
        &mut *live::side_task(session, "pushing layers"),
    );
    signals::check()?;
    match pushed {
        Ok(pushed) => {
            report.cache.push_seconds = text::round(report.cache.push_seconds + pushed.seconds);
            report.cache.pushed.push(push.reference.clone());
            if let Some(warning) = pushed.warning {
                warn(session, report, &warning);
            }
            Ok(true)
        }
        Err(error) => {
            let (image, to, reason) = (&push.image, &push.registry.reference, format!("{error:#}"));
            let next = advice::of_push(&reason);
            warn(
                session,
                report,
                &format!("failed to push the layers of {image} to `{to}`: {reason}\n{next}"),
            );
            Ok(false)
        }
    }
}

/// Prints a warning and adds it to the report.
pub(in crate::commands) fn warn(session: &Session, report: &mut BuildReport, warning: &str) {
    let warning = session.redactor.text(warning).into_owned();
    if !session.globals.json {
        errln!("warning: {warning}");
    }
    report.warnings.push(warning);
}
