//! The forecast of a build: which steps will be cached, which will run, and how long that takes.
//! Pure: from the graph of the build, the outcomes of earlier builds, and the content of builder
//! and store.

pub(crate) mod expected;
pub(crate) mod explain;
pub(crate) mod processors;
pub(crate) mod reasons;
pub(crate) mod unnoticed;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::forecast::reasons::Compared;
use crate::outcome::{Cause, CauseKind};
use crate::progress::step_name::StepName;
use crate::project::dockerfile::Dockerfile;
use crate::project::graph::{GraphStep, first_twins};
use crate::record::steps::{BuildSteps, Known, StepOutcome};
use expected::Times;
use processors::Processors;

/// The forecast of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum PredictedState {
    /// Its result exists.
    Cached,
    /// The step will run.
    Runs,
    /// The step may run: it follows one that will run, and is cached if the output of that one is
    /// the same as before.
    IfChanged,
}

impl PredictedState {
    /// Returns the state of a step of a build that has ended.
    pub(crate) fn of_ended(ran: bool) -> Self {
        if ran { Self::Runs } else { Self::Cached }
    }
}

/// A step of a future build.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct StepForecast {
    pub target: String,
    /// The stage, as BuildKit prints it.
    pub stage: String,
    /// The instruction in one line.
    pub instruction: String,
    /// The first line of its instruction, counted from 0.
    pub line: usize,
    /// The digest of its inputs.
    #[serde(skip)]
    pub key: String,
    pub forecast: StepPrediction,
    /// The reason, if it runs.
    pub cause: Option<Cause>,
}

/// The forecast of one step.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct StepPrediction {
    /// Whether it runs.
    pub state: PredictedState,
    /// Its time in seconds if it runs; `None` if it never ran here.
    pub seconds: Option<f64>,
}

/// An expected time in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct ExpectedTime {
    /// The most likely time.
    pub seconds: f64,
    /// The shortest likely time.
    pub low: f64,
    /// The longest likely time.
    pub high: f64,
}

/// The forecast of a build.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Forecast {
    /// Steps in dependency order.
    pub steps: Vec<StepForecast>,
    /// The time from its start to its images; `None` if a step that will run never ran here.
    pub expected: Option<ExpectedTime>,
    /// Dockerfiles by target, which map BuildKit's names of steps to instructions.
    #[serde(skip)]
    pub files: BTreeMap<String, Dockerfile>,
    /// Steps of stages that begin like another one, by target, stage and line: the step of the
    /// other stage that is the same in BuildKit.
    #[serde(skip)]
    pub twins: BTreeMap<(String, String, usize), StepForecast>,
}

impl Forecast {
    /// Returns the forecast of a step with this name in BuildKit, in one of these targets.
    pub(crate) fn of(&self, targets: &[String], label: &StepName) -> Option<&StepForecast> {
        targets.iter().find_map(|target| {
            let file = self.files.get(target)?;
            let (found, stage) = (file.find(&label.stage, &label.instruction)?, file.stage_of(&label.stage));
            let is_there = |step: &&StepForecast| {
                (step.target.as_str(), step.stage.as_str(), step.line) == (target, stage, found.line)
            };
            let mut steps = self.steps.iter().filter(is_there);
            let same_text = steps.clone().find(|step| step.instruction == found.text);
            let twin = || self.twins.get(&(target.clone(), stage.to_owned(), found.line));
            same_text.or_else(|| steps.next()).or_else(twin)
        })
    }
}

/// Keys of the steps whose layers the caches hold that a build reads.
#[derive(Debug, Default)]
pub(crate) struct StoredKeys {
    /// Those that BuildKit has.
    pub exact: BTreeSet<String>,
    /// The same without the modes that a checkout has by its umask.
    pub any_mode: BTreeSet<String>,
}

/// The input of forecasts.
pub(crate) struct ForecastInputs<'a> {
    /// The build's steps.
    pub graph: &'a [GraphStep],
    /// Earlier builds on this builder, newest first.
    pub past: &'a [BuildSteps],
    /// The graph of the newest of them with these targets.
    pub before: Option<&'a [GraphStep]>,
    /// Keys of steps in the caches that the build reads.
    pub stored: &'a StoredKeys,
    /// The processors of the builder.
    pub processors: Processors,
    /// Returns whether the builder has a step's result, for the time of its last run.
    pub holds: &'a dyn Fn(&GraphStep, Option<&StepOutcome>) -> bool,
}

/// Makes the forecast.
pub(crate) fn forecast(known: &ForecastInputs<'_>, files: BTreeMap<String, Dockerfile>) -> Forecast {
    let firsts = first_twins(known.graph);
    let states = states(known, &firsts);
    let times = Times::new(known, &states);
    let compared = Compared { now: known.graph, before: known.before };
    let step = |at: usize| {
        let step = &known.graph[at];
        let cause = || {
            let by_mode = known.differs_by_mode(at).then(umask);
            by_mode.unwrap_or_else(|| compared.cause(at, &|at| states[at], Known::of(&step.key, known.past)))
        };
        let cause = (states[at] != PredictedState::Cached).then(cause);
        StepForecast {
            target: step.target.clone(),
            stage: step.stage.clone(),
            instruction: step.text.clone(),
            line: step.line,
            key: step.key.clone(),
            forecast: StepPrediction { state: states[at], seconds: times.of_steps[at] },
            cause,
        }
    };
    let (shown, others): (Vec<usize>, Vec<usize>) = (0..known.graph.len()).partition(|at| firsts[*at] == *at);
    let twin = |at: usize| {
        let other = &known.graph[at];
        ((other.target.clone(), other.stage.clone(), other.line), step(firsts[at]))
    };
    Forecast {
        steps: shown.into_iter().map(step).collect(),
        expected: times.of_build,
        files,
        twins: others.into_iter().map(twin).collect(),
    }
}

impl ForecastInputs<'_> {
    fn done(&self) -> impl Iterator<Item = &StepOutcome> {
        self.past.iter().flat_map(|past| &past.steps).filter(|step| step.is_done)
    }

    /// Returns whether a step that was never built here is in the caches with other modes of its
    /// files.
    fn differs_by_mode(&self, at: usize) -> bool {
        let (step, stored) = (&self.graph[at], self.stored);
        let is_new = self.before.is_none() && !stored.exact.contains(&step.key);
        is_new && !step.files.is_empty() && stored.any_mode.contains(&step.any_mode)
    }

    /// Returns whether exactly this result was made here before.
    pub(crate) fn was_made(&self, step: &GraphStep) -> bool {
        self.past.iter().any(|past| past.has(&step.key))
    }

    /// Returns whether a result with the same inputs, except those of other stages, was made here
    /// or elsewhere.
    fn may_equal(&self, step: &GraphStep) -> bool {
        self.done().any(|done| done.soft == step.soft)
    }

    fn is_there(&self, step: &GraphStep) -> bool {
        if self.stored.exact.contains(&step.key) {
            return true;
        }
        if !self.was_made(step) {
            return false;
        }
        let last_run = self.done().find(|done| done.key == step.key && done.ran.is_some());
        (self.holds)(step, last_run)
    }
}

/// The reason of a step whose files have other modes than elsewhere.
fn umask() -> Cause {
    let detail = "its files have other modes than where its layers were saved, as after a checkout with \
                  another umask";
    Cause { kind: CauseKind::File, detail: detail.to_owned() }
}

/// Walks from each requested result to its dependencies, as BuildKit does. Dependencies of a cached
/// step are not checked, so it doesn't matter whether the builder has them.
fn states(known: &ForecastInputs<'_>, firsts: &[usize]) -> Vec<PredictedState> {
    let graph = known.graph;
    let mut states = vec![PredictedState::Cached; graph.len()];
    // A step that no forecast knows, or that always runs, is checked even below an existing result.
    // Dependencies come first in a graph.
    let mut may_change: Vec<bool> = Vec::with_capacity(graph.len());
    for step in graph {
        let follows = step.needs().any(|needed| may_change[needed]);
        may_change.push(step.is_open || step.is_forced || follows);
    }
    let is_needed_by_none = |at: usize| !graph.iter().any(|step| step.needs().any(|needed| needed == at));
    let mut next: Vec<usize> = (0..graph.len()).filter(|at| is_needed_by_none(*at)).collect();
    let mut seen = BTreeSet::new();
    while let Some(at) = next.pop() {
        let is_there = !may_change[at] && known.is_there(&graph[at]);
        if !seen.insert(at) || is_there {
            continue;
        }
        states[at] = PredictedState::Runs;
        next.extend(graph[at].needs());
    }
    // Dependencies come first in a graph.
    for at in 0..graph.len() {
        if states[at] == PredictedState::Runs && may_hit(known, &states, may_change[at], at) {
            states[at] = PredictedState::IfChanged;
        }
    }
    // The first of equal steps stands for all, and is needed if one of them is.
    for (at, &first) in firsts.iter().enumerate() {
        if states[first] == PredictedState::Cached {
            states[first] = states[at];
        }
    }
    states
}

/// Returns whether a step runs only if the content that it reads from other stages changes.
fn may_hit(known: &ForecastInputs<'_>, states: &[PredictedState], may_change: bool, at: usize) -> bool {
    let step = &known.graph[at];
    if step.is_forced {
        return false;
    }
    let is_made = known.was_made(step);
    let may_equal = parents_may_equal(known.graph, states, at) && known.may_equal(step);
    if may_change {
        return is_made || may_equal;
    }
    !is_made && !known.stored.exact.contains(&step.key) && may_equal
}

/// Returns whether a step can have the same key though the steps that it is based on have others.
/// If BuildKit compares their content, commands that run again may make the same; another COPY does
/// not.
fn parents_may_equal(graph: &[GraphStep], states: &[PredictedState], at: usize) -> bool {
    let running = |at: usize| {
        graph[at].parents.iter().copied().filter(|parent| states[*parent] == PredictedState::Runs)
    };
    let mut next: Vec<usize> = running(at).collect();
    if !graph[at].compares_root {
        return next.is_empty();
    }
    while let Some(at) = next.pop() {
        if !graph[at].text.get(..3).is_some_and(|word| word.eq_ignore_ascii_case("run")) {
            return false;
        }
        next.extend(running(at));
    }
    true
}

#[cfg(test)]
mod tests;
