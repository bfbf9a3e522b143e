//! What a build will cost: which steps will be cached, which will run, and how long that takes.
//! Pure: from the graph of the build, what came of the builds before, and what builder and store
//! hold.

pub(crate) mod expected;
pub(crate) mod explain;
pub(crate) mod processors;
pub(crate) mod reasons;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::forecast::reasons::Compared;
use crate::outcome::{Cause, CauseKind};
use crate::progress::step_name::StepName;
use crate::project::dockerfile::Dockerfile;
use crate::project::graph::GraphStep;
use crate::record::steps::{BuildSteps, StepOutcome};
use expected::Times;
use processors::Processors;

/// What is foreseen of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum PredictedState {
    /// Its result is there.
    Cached,
    /// It runs.
    Runs,
    /// It follows one that runs, and is cached where that one's output is what it was before.
    IfChanged,
}

/// A step of a build to come.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct StepForecast {
    /// The target.
    pub target: String,
    /// The stage, as BuildKit prints it.
    pub stage: String,
    /// The instruction in one line.
    pub instruction: String,
    /// The line of the Dockerfile that it begins in, counted from 0.
    pub line: usize,
    /// What is foreseen, and how long it takes if it runs.
    pub forecast: StepPrediction,
    /// Why it runs, where it does.
    pub cause: Option<Cause>,
}

/// What is foreseen of one step.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct StepPrediction {
    /// Whether it runs.
    pub state: PredictedState,
    /// How long it takes if it runs, in seconds; nothing where it never ran here.
    pub seconds: Option<f64>,
}

/// A time that is expected, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct ExpectedTime {
    /// The most likely.
    pub seconds: f64,
    /// The shortest that is likely.
    pub low: f64,
    /// The longest that is likely.
    pub high: f64,
}

/// What is foreseen of a build.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Forecast {
    /// Steps in the order in which targets and Dockerfiles need them.
    pub steps: Vec<StepForecast>,
    /// From its start to its images; nothing where a step that will run never ran here.
    pub expected: Option<ExpectedTime>,
    /// Dockerfiles by target: BuildKit's names of steps lead to their instructions through these.
    #[serde(skip)]
    pub files: BTreeMap<String, Dockerfile>,
}

impl Forecast {
    /// What is foreseen of a step that BuildKit names like this, in one of these targets.
    pub(crate) fn of(&self, targets: &[String], label: &StepName) -> Option<&StepForecast> {
        targets.iter().find_map(|target| {
            let file = self.files.get(target)?;
            let (found, stage) = (file.find(&label.stage, &label.instruction)?, file.stage_of(&label.stage));
            let is_there = |step: &&StepForecast| {
                (step.target.as_str(), step.stage.as_str(), step.line) == (target, stage, found.line)
            };
            let mut steps = self.steps.iter().filter(is_there);
            let same_text = steps.clone().find(|step| step.instruction == found.text);
            same_text.or_else(|| steps.next())
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

/// What forecasts are made of.
pub(crate) struct ForecastInputs<'a> {
    /// The build's steps.
    pub graph: &'a [GraphStep],
    /// Builds before on this builder, newest first.
    pub past: &'a [BuildSteps],
    /// The graph of the newest of them with these targets.
    pub before: Option<&'a [GraphStep]>,
    /// Keys of steps that the caches hold that the build reads.
    pub stored: &'a StoredKeys,
    /// What the builder's steps share.
    pub processors: Processors,
    /// Whether the builder holds a step's result, given when it last ran.
    pub holds: &'a dyn Fn(&GraphStep, Option<&StepOutcome>) -> bool,
}

/// Makes the forecast.
pub(crate) fn forecast(known: &ForecastInputs<'_>, files: BTreeMap<String, Dockerfile>) -> Forecast {
    let states = states(known);
    let times = Times::new(known, &states);
    let may_run = |at: usize| states[at] != PredictedState::Cached;
    let compared = Compared { now: known.graph, before: known.before };
    let steps = known.graph.iter().enumerate().map(|(at, step)| {
        let cause = || {
            let by_mode = known.differs_by_mode(at).then(umask);
            by_mode.unwrap_or_else(|| compared.cause(at, &may_run, known.was_made(step)))
        };
        let cause = may_run(at).then(cause);
        StepForecast {
            target: step.target.clone(),
            stage: step.stage.clone(),
            instruction: step.text.clone(),
            line: step.line,
            forecast: StepPrediction { state: states[at], seconds: times.of_steps[at] },
            cause,
        }
    });
    Forecast { steps: steps.collect(), expected: times.of_build, files }
}

impl ForecastInputs<'_> {
    fn done(&self) -> impl Iterator<Item = &StepOutcome> {
        self.past.iter().flat_map(|past| &past.steps).filter(|step| step.is_done)
    }

    /// Whether a step that was never built here is in the caches with other modes of its files.
    fn differs_by_mode(&self, at: usize) -> bool {
        let (step, stored) = (&self.graph[at], self.stored);
        let is_new = self.before.is_none() && !stored.exact.contains(&step.key);
        is_new && !step.files.is_empty() && stored.any_mode.contains(&step.any_mode)
    }

    /// Whether this very result was made here before.
    pub(crate) fn was_made(&self, step: &GraphStep) -> bool {
        self.past.iter().any(|past| past.has(&step.key))
    }

    /// Whether a result with the same inputs, those of other stages left aside, was made here or
    /// elsewhere.
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

/// Goes from each result that is asked for to what it needs, as BuildKit does: below a step that is
/// cached nothing is looked at, so that what the builder dropped there does not matter.
fn states(known: &ForecastInputs<'_>) -> Vec<PredictedState> {
    let graph = known.graph;
    let mut states = vec![PredictedState::Cached; graph.len()];
    // A step that nobody can foresee, or that runs in any case, is looked at also below a result that
    // is there. What stands before comes first in a graph.
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
    // What stands before comes first in a graph.
    for at in 0..graph.len() {
        if states[at] == PredictedState::Runs && may_hit(known, &states, may_change[at], at) {
            states[at] = PredictedState::IfChanged;
        }
    }
    states
}

/// Whether a step runs only if what it reads from other stages comes out otherwise than before.
fn may_hit(known: &ForecastInputs<'_>, states: &[PredictedState], may_change: bool, at: usize) -> bool {
    let step = &known.graph[at];
    if step.is_forced {
        return false;
    }
    if may_change {
        return known.was_made(step);
    }
    let is_made = known.was_made(step) || known.stored.exact.contains(&step.key);
    let parent_may = step.parents.iter().all(|parent| states[*parent] != PredictedState::Runs);
    !is_made && parent_may && known.may_equal(step)
}

#[cfg(test)]
mod tests;
