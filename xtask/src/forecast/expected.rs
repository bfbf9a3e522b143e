//! The expected time of a build, from the times of earlier builds and their steps.

use std::collections::{BTreeMap, BTreeSet};

use super::processors::Span;
use super::{ExpectedTime, ForecastInputs, PredictedState};
use crate::forecast::reasons::counterpart;
use crate::project::graph::GraphStep;
use crate::record::steps::BuildSteps;

/// The number of newest runs that count. Older ones had another machine load or project size.
const RUNS: usize = 5;

/// The times of a build and its steps.
pub(crate) struct Times {
    /// The time of each step if it runs, in seconds, including the load of expected parallel steps;
    /// `None` if unknown.
    pub of_steps: Vec<Option<f64>>,
    /// The time from the build's start to its images; `None` if the time of a step that will run is
    /// unknown.
    pub of_build: Option<ExpectedTime>,
}

/// A step of a Dockerfile, regardless of its inputs.
type Name<'a> = (&'a str, &'a str, &'a str);

impl Times {
    /// Estimates the times of a build with these predictions.
    pub(crate) fn new(known: &ForecastInputs<'_>, states: &[PredictedState]) -> Self {
        let alone = Alone::of(known);
        let steps: Vec<Option<ExpectedTime>> = (0..states.len()).map(|at| alone.of_step(at)).collect();
        let chances: Vec<f64> = (0..states.len()).map(|at| chance(known, states, at)).collect();
        let together = |chance: &dyn Fn(usize) -> f64, time: fn(ExpectedTime) -> f64| -> Vec<Span> {
            let seconds = (0..steps.len()).map(|at| chance(at) * steps[at].map_or(0.0, time));
            known.processors.together(known.graph, &seconds.collect::<Vec<f64>>())
        };
        let spans = together(&|at| chances[at], |time| time.seconds);
        let of_steps = (0..steps.len()).map(|at| {
            let is_sure = states[at] == PredictedState::Runs;
            steps[at].map(|alone| if is_sure { spans[at].to - spans[at].from } else { alone.seconds })
        });
        let end = |spans: &[Span]| spans.iter().map(|span| span.to).fold(0.0, f64::max);
        let is_known =
            |state: PredictedState| (0..steps.len()).all(|at| states[at] != state || steps[at].is_some());
        let of_steps_and_all = || {
            let overhead = overhead(known.past)
                .filter(|_| is_known(PredictedState::Runs) && is_known(PredictedState::IfChanged))?;
            let sum = |chance: &dyn Fn(PredictedState) -> bool, time| {
                end(&together(&|at| f64::from(u8::from(chance(states[at]))), time))
            };
            Some(ExpectedTime {
                seconds: end(&spans) + overhead.seconds,
                low: sum(&|state| state == PredictedState::Runs, |time| time.low) + overhead.low,
                high: sum(&|state| state != PredictedState::Cached, |time| time.high) + overhead.high,
            })
        };
        let of_build = of_same(known, &chances).or_else(of_steps_and_all);
        Self { of_steps: of_steps.collect(), of_build }
    }
}

/// Returns the time of earlier builds that ran exactly the same steps, if no step is in doubt.
fn of_same(known: &ForecastInputs<'_>, chances: &[f64]) -> Option<ExpectedTime> {
    let mut names: BTreeSet<Name<'_>> = BTreeSet::new();
    for (step, chance) in known.graph.iter().zip(chances).filter(|(_, chance)| **chance > 0.0) {
        if *chance < 1.0 {
            return None;
        }
        names.insert((&step.target, &step.stage, &step.text));
    }
    let targets: BTreeSet<&str> = known.graph.iter().map(|step| step.target.as_str()).collect();
    let same = known.past.iter().filter(|past| past.is_good && ran(past) == names && past.of() == targets);
    spread(same.map(|past| past.seconds).take(RUNS).collect())
}

/// The times of steps without parallel ones.
struct Alone<'a> {
    known: &'a ForecastInputs<'a>,
    /// By build, newest first, by keys of its steps, in seconds.
    builds: Vec<BTreeMap<&'a str, f64>>,
}

impl<'a> Alone<'a> {
    fn of(known: &'a ForecastInputs<'a>) -> Self {
        Self { known, builds: known.past.iter().map(|past| known.processors.alone(&past.steps)).collect() }
    }

    /// Returns the median of a step's newest runs; for a step with a new text, of the step in its
    /// place.
    fn of_step(&self, at: usize) -> Option<ExpectedTime> {
        let known = self.known;
        self.of_runs(&known.graph[at]).or_else(|| self.of_runs(counterpart(known.graph, at, known.before?)?))
    }

    /// Returns the times of a step with any inputs, and of a different text with the same meaning:
    /// a secret's options don't count.
    fn of_runs(&self, step: &GraphStep) -> Option<ExpectedTime> {
        let done = || self.known.past.iter().flat_map(|past| &past.steps).filter(|done| done.is_done);
        let keys: BTreeSet<&str> =
            done().filter(|done| done.is(step)).map(|done| done.key.as_str()).collect();
        let times = self
            .builds
            .iter()
            .filter_map(|times| times.iter().find_map(|(key, time)| keys.contains(key).then_some(*time)));
        spread(times.take(RUNS).collect())
    }
}

/// Returns the median of some times, with the shortest and longest.
fn spread(mut times: Vec<f64>) -> Option<ExpectedTime> {
    times.sort_by(f64::total_cmp);
    let (low, high) = (*times.first()?, *times.last()?);
    Some(ExpectedTime { seconds: times[times.len() / 2], low, high })
}

/// Returns the probability that a step runs, from 0 to 1. A step whose inputs from other stages may
/// be equal runs as often as recently when they were new.
fn chance(known: &ForecastInputs<'_>, states: &[PredictedState], at: usize) -> f64 {
    let step = &known.graph[at];
    match states[at] {
        PredictedState::Cached => 0.0,
        PredictedState::Runs => 1.0,
        PredictedState::IfChanged => {
            let mut keys: BTreeSet<&str> = BTreeSet::new();
            // Whether it ran when its key was new: the oldest build with each key tells.
            let mut ran = Vec::new();
            for past in known.past.iter().rev() {
                for done in past.steps.iter().filter(|done| done.is_done && done.is(step)) {
                    if keys.insert(&done.key) {
                        ran.push(f64::from(u8::from(done.ran.is_some())));
                    }
                }
            }
            // The first run says nothing.
            let later = ran.get(1..).unwrap_or_default();
            let of_late = &later[later.len().saturating_sub(RUNS)..];
            let count = u32::try_from(of_late.len()).unwrap_or(u32::MAX);
            if count == 0 { 1.0 } else { of_late.iter().sum::<f64>() / f64::from(count) }
        }
    }
}

fn ran(past: &BuildSteps) -> BTreeSet<Name<'_>> {
    past.steps
        .iter()
        .filter(|step| step.ran.is_some())
        .map(|step| (step.target.as_str(), step.stage.as_str(), step.text.as_str()))
        .collect()
}

/// Returns the time of builds outside their steps: reading files, transfers, export. The steps' own
/// time is from the first start to the last end.
fn overhead(past: &[BuildSteps]) -> Option<ExpectedTime> {
    let own = |past: &BuildSteps| {
        let runs: Vec<_> = past.steps.iter().filter_map(|step| step.ran).collect();
        let (from, to) = (runs.iter().map(|run| run.0).min(), runs.iter().map(|run| run.1).max());
        from.zip(to).map_or(0.0, |(from, to)| to.duration_since(from).as_secs_f64())
    };
    let times = past.iter().filter(|past| past.is_good).map(|past| (past.seconds - own(past)).max(0.0));
    spread(times.take(RUNS).collect())
}
