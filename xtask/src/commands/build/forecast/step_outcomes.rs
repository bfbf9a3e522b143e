//! The reasons and records of a build's steps after its end.

use std::collections::BTreeSet;
use std::time::Instant;

use super::{ForecastResult, ForecastTask};
use crate::exec::save::StepKeys;
use crate::forecast::PredictedState;
use crate::forecast::reasons::Compared;
use crate::forecast::unnoticed;
use crate::outcome::{BuildReport, BuildResult, StepReport, assemble};
use crate::plan::build::Plan;
use crate::progress::step_name::StepName;
use crate::progress::trace::Trace;
use crate::project::dockerfile::mounts::Use;
use crate::project::graph::{self, GraphStep};
use crate::record::Record;
use crate::record::own_steps::OwnSteps;
use crate::record::places::{Named, places};
use crate::record::steps::{self, BuildSteps, Known, StepOutcome};
use crate::text::round;

/// The forecast and the outcome of a build's steps, if known.
pub(in crate::commands) struct StepOutcomes {
    found: Option<(ForecastResult, Vec<StepOutcome>)>,
}

impl StepOutcomes {
    /// Adds the reasons why steps ran to the report, and records the steps for later builds.
    pub(in crate::commands) fn report(
        forecast_task: ForecastTask,
        record: &Record,
        plan: &Plan,
        trace: &Trace,
        report: &mut BuildReport,
    ) -> Self {
        let begun = Instant::now();
        let found = forecast_task.end().map(|mut found| {
            let mut outcomes = steps::outcomes(&found.graph, &found.files, trace, is_good(report));
            if !is_good(report) {
                steps::forget_new_keys(&mut outcomes, &found.past);
            }
            unnoticed::mark(&mut found.graph, &found.past, &mut outcomes);
            let own = OwnSteps::new(&found.graph, &found.files, trace);
            let stage =
                |digest: &str, target: &str, _: &StepName| own.stage(digest, target).map(str::to_owned);
            report.steps = assemble::steps_of(trace, &stage);
            found.explain(&outcomes, report);
            found.record(record, plan, &outcomes, report);
            (found, outcomes)
        });
        report.record_seconds = round(begun.elapsed().as_secs_f64());
        Self { found }
    }

    /// Returns the keys of the steps in a target's layers.
    pub(in crate::commands) fn keys(&self, target: &str) -> StepKeys {
        self.found.as_ref().map_or_else(StepKeys::default, |(found, outcomes)| found.keys(target, outcomes))
    }

    /// Returns whether BuildKit may have taken files as they were before.
    pub(in crate::commands) fn are_doubtful(&self) -> bool {
        self.found.iter().flat_map(|(_, outcomes)| outcomes).any(|step| step.is_doubtful)
    }

    /// Returns the keys of the steps that use a cache mount.
    pub(in crate::commands) fn users(&self, uses: &[Use]) -> Vec<String> {
        let is = |step: &&GraphStep, user: &Use| {
            (&user.target, &user.stage, &user.instruction) == (&step.target, &step.stage, &step.text)
        };
        let graph = self.found.iter().flat_map(|(found, _)| &found.graph);
        graph.filter(|step| uses.iter().any(|user| is(step, user))).map(|step| step.key.clone()).collect()
    }
}

fn is_good(report: &BuildReport) -> bool {
    matches!(report.result, BuildResult::Built | BuildResult::Cached)
}

fn named(step: &StepReport) -> Named<'_> {
    let StepReport { target, stage, instruction, number, .. } = step;
    Named { target, stage, instruction, number: *number }
}

impl ForecastResult {
    /// Names the steps as in the plan, and adds the reason to each that ran.
    fn explain(&self, done: &[StepOutcome], report: &mut BuildReport) {
        let compared = Compared { now: &self.graph, before: self.before.as_deref() };
        let firsts = graph::first_twins(&self.graph);
        let names: Vec<Named<'_>> = report.steps.iter().map(named).collect();
        let places = places(&self.graph, &self.files, &names);
        for (step, at) in report.steps.iter_mut().zip(places) {
            let Some(at) = at.map(|at| firsts[at]) else { continue };
            step.stage.clone_from(&self.graph[at].stage);
            step.instruction.clone_from(&self.graph[at].text);
            if step.cached {
                continue;
            }
            let known = Known::of(&self.graph[at].key, &self.past);
            let ran = |at: usize| done.get(at).is_some_and(|step| step.ran.is_some());
            step.cause = Some(compared.cause(at, &|at| PredictedState::of_ended(ran(at)), known));
        }
    }

    /// Returns the keys of the steps in a target's layers.
    fn keys(&self, target: &str, done: &[StepOutcome]) -> StepKeys {
        let mut next: Vec<usize> =
            (0..self.graph.len()).filter(|at| self.graph[*at].target == target).collect();
        let mut found = BTreeSet::new();
        while let Some(at) = next.pop() {
            if found.insert(at) {
                next.extend(self.graph[at].needs());
            }
        }
        let is_done = |at: &usize| done.get(*at).is_some_and(|step| step.is_done && !step.is_doubtful);
        let steps: Vec<&GraphStep> = found.into_iter().filter(is_done).map(|at| &self.graph[at]).collect();
        StepKeys {
            exact: steps.iter().map(|step| step.key.clone()).collect(),
            any_mode: steps.iter().map(|step| step.any_mode.clone()).collect(),
        }
    }

    /// Records the steps for later builds.
    fn record(&self, record: &Record, plan: &Plan, done: &[StepOutcome], report: &BuildReport) {
        let past = BuildSteps {
            build: plan.build.clone(),
            builder: self.builder.clone(),
            targets: plan.targets.iter().map(|target| target.name.clone()).collect(),
            seconds: report.seconds,
            is_good: is_good(report),
            steps: done.to_vec(),
            record_ids: self.record_ids.clone(),
            ..BuildSteps::default()
        };
        record.steps(&past, &self.graph);
    }
}
