//! Makes the report from a plan and the events.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use super::failure::BuildFailure;
use super::{BuildReport, BuildResult, CacheReport, Cause, CauseKind, StepReport, TargetReport, needs};
use crate::json::SCHEMA;
use crate::plan::build::Plan;
use crate::plan::planned_target::PlannedTarget;
use crate::progress::bake_outcome::{BakeOutcome, BakeStatus};
use crate::progress::step_name::StepName;
use crate::progress::trace::Trace;
use crate::progress::vertex::VertexState;
use crate::text::round;

/// Returns the report of a build before its save.
pub(crate) fn report(
    plan: &Plan,
    ended: &BakeOutcome,
    digests: &BTreeMap<String, String>,
    failure: Option<BuildFailure>,
) -> BuildReport {
    let result = match (&failure, anything_ran(&ended.trace)) {
        (Some(_), _) => BuildResult::Failed,
        (None, true) => BuildResult::Built,
        (None, false) => BuildResult::Cached,
    };
    let targets = plan.targets.iter().map(|target| TargetReport {
        name: target.name.clone(),
        image: target.image.clone(),
        digest: digests.get(&target.name).cloned(),
    });
    BuildReport {
        schema: SCHEMA,
        build: plan.build.clone(),
        result,
        bake_called: true,
        same_as: None,
        seconds: round(ended.seconds),
        record_seconds: 0.0,
        targets: targets.collect(),
        steps: steps(&ended.trace),
        cache: cache(plan),
        failure,
        warnings: plan.warnings.iter().chain(&ended.trace.warnings).cloned().collect(),
    }
}

/// Returns the report of a build that ended before BuildKit answered.
pub(crate) fn broken(plan: &Plan, time: Duration, failure: BuildFailure, interrupted: bool) -> BuildReport {
    let nothing = BakeOutcome {
        status: BakeStatus::Failed,
        trace: Trace::default(),
        text: Vec::new(),
        seconds: time.as_secs_f64(),
    };
    if interrupted {
        return BuildReport {
            result: BuildResult::Interrupted,
            ..report(plan, &nothing, &BTreeMap::new(), None)
        };
    }
    report(plan, &nothing, &BTreeMap::new(), Some(failure))
}

/// The report of a build that has nothing to do: the images and the steps are those of an earlier
/// build, and BuildKit warns of the same.
pub(crate) fn repeated(
    plan: &Plan,
    time: Duration,
    earlier: BuildReport,
    warnings: &[String],
) -> BuildReport {
    let nothing = BakeOutcome {
        status: BakeStatus::Succeeded,
        trace: Trace::default(),
        text: Vec::new(),
        seconds: time.as_secs_f64(),
    };
    let report = report(plan, &nothing, &BTreeMap::new(), None);
    let cached =
        |step: StepReport| StepReport { cached: true, seconds: 0.0, started: None, cause: None, ..step };
    BuildReport {
        result: BuildResult::Cached,
        bake_called: false,
        same_as: Some(earlier.build),
        targets: earlier.targets,
        steps: earlier.steps.into_iter().map(cached).collect(),
        cache: CacheReport { read: Vec::new(), ..report.cache },
        warnings: report.warnings.into_iter().chain(warnings.iter().cloned()).collect(),
        ..report
    }
}

/// Returns the caches that BuildKit read, before anything is saved.
fn cache(plan: &Plan) -> CacheReport {
    let shown = |target: &PlannedTarget| {
        let local = target.read.iter().map(|dir| dir.display().to_string());
        local.chain(target.remote.iter().map(|read| read.reference.clone())).collect::<Vec<_>>()
    };
    let first = plan.targets.first();
    CacheReport {
        key: first.and_then(|target| Some(target.key.as_ref()?.short().to_owned())),
        read: plan.targets.iter().flat_map(shown).collect(),
        ..CacheReport::default()
    }
}

/// Returns BuildKit's warnings about caches, which are only in its log.
pub(crate) fn unread(trace: &Trace) -> impl Iterator<Item = String> + '_ {
    trace.unread().map(|(cache, why)| {
        format!(
            "the builder could not read the cache `{cache}`, and built without it: {why}\nthe builder \
             connects to registries from its own machine: check that it reaches this one"
        )
    })
}

/// Returns whether any step had to run.
fn anything_ran(trace: &Trace) -> bool {
    work(trace).any(|(_, state, _)| !state.cached)
}

/// Returns whether any step of a target had to run.
pub(crate) fn ran(trace: &Trace, target: &str) -> bool {
    work(trace).any(|(_, state, _)| !state.cached && state.targets.iter().any(|name| name == target))
}

/// Returns steps that do work. FROM doesn't: BuildKit resolves it in every build and reports a run,
/// and its changes make later steps run. Neither does LINK, which only stacks existing layers.
fn work(trace: &Trace) -> impl Iterator<Item = (&str, &VertexState, &StepName)> {
    let is_work =
        |label: &StepName| !["FROM ", "LINK "].iter().any(|word| label.instruction.starts_with(word));
    trace.digests().filter(move |(_, state, label)| is_work(label) && !state.is_internal())
}

/// Returns all steps. A vertex that several targets share is listed once under each.
pub(crate) fn steps(trace: &Trace) -> Vec<StepReport> {
    steps_of(trace, &|_, _, label| Some(label.stage.clone()))
}

/// The steps that are a target's own. `stage` returns the stage in which a target has the vertex
/// with this digest and label, if it has it.
pub(crate) fn steps_of(
    trace: &Trace,
    stage: &dyn Fn(&str, &str, &StepName) -> Option<String>,
) -> Vec<StepReport> {
    let origin = trace.origin();
    let step = |state: &VertexState, label: &StepName, target: &String, stage| StepReport {
        target: target.clone(),
        stage,
        instruction: label.instruction.clone(),
        number: label.number,
        cached: state.cached,
        seconds: round(state.seconds()),
        started: origin.and_then(|origin| began(state, origin)),
        needs: Vec::new(),
        cause: (!state.cached).then(|| Cause { kind: CauseKind::Unknown, detail: String::new() }),
    };
    let (mut digests, mut steps, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (digest, state, label) in work(trace) {
        // BuildKit merges two vertices whose inputs have equal content, runs one of them under the
        // names of both, and never starts the other.
        let own = state.targets.iter().filter_map(|target| Some((target, stage(digest, target, label)?)));
        let own = own.filter(|(target, _)| seen.insert((target.as_str(), state.place())));
        steps.extend(own.map(|(target, stage)| step(state, label, target, stage)));
        digests.resize(steps.len(), digest);
    }
    let needs = needs::of(trace, &digests, &steps);
    steps.iter_mut().zip(needs).for_each(|(step, needs)| step.needs = needs);
    steps
}

/// Returns the start of a step that ran, in seconds after the start of the build; negative if
/// another build had started it before.
fn began(state: &VertexState, origin: Timestamp) -> Option<f64> {
    let started = state.started.filter(|_| !state.cached)?;
    Some(round(started.duration_since(origin).as_secs_f64()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merged_vertices_are_one_step_of_each_target() {
        let begun = "2026-11-22T12:00:00Z";
        let mut trace = Trace::new(&["job".to_owned(), "web".to_owned()]);
        let chunk = serde_json::json!({"vertexes": [
            {"digest": "2", "name": "[web s 1/1] COPY f /"},
            {"digest": "1", "name": "[job s 1/1] COPY f /", "started": begun, "completed": begun},
            {"digest": "1", "name": "[web s 1/1] COPY f /", "started": begun, "completed": begun},
            {"digest": "3", "name": "[web linux/arm64 s 1/1] COPY f /", "started": begun},
        ]});
        trace.apply(&serde_json::from_value(chunk).expect("well formed"));
        let found: Vec<_> = steps(&trace).into_iter().map(|step| (step.target, step.started)).collect();
        let ran = |target: &str| (target.to_owned(), Some(0.0));
        assert_eq!(found, [ran("job"), ran("web"), ran("web")], "the last one is of another platform");
    }

    #[test]
    fn a_step_ran_for_the_targets_that_it_is_in() {
        let mut trace = Trace::new(&["app".to_owned(), "base".to_owned()]);
        let chunk = serde_json::json!({"vertexes": [
            {"digest": "1", "name": "[app 1/2] FROM x", "started": "2026-11-22T12:00:00Z"},
            {"digest": "2", "name": "[app 2/2] COPY a b", "started": "2026-11-22T12:00:00Z"},
            {"digest": "3", "name": "[base php 2/2] RUN x", "started": "2026-11-22T12:00:00Z", "cached": true},
        ]});
        trace.apply(&serde_json::from_value(chunk).expect("well formed"));
        assert!(ran(&trace, "app") && !ran(&trace, "base"));
        assert_eq!(work(&trace).count(), 2);
    }
}
