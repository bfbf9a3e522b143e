//! How long a build will take, from how long builds and their steps took.

use std::collections::BTreeSet;

use super::forecast::{Expected, Known, State};
use crate::explain::counterpart;
use crate::project::graph::GraphStep;
use crate::record::steps::{BuildSteps, StepOutcome};

/// How many of the newest runs count: what is older was another machine load, another size of the project.
const RUNS: usize = 5;

/// How long a step takes if it runs: the median of its newest runs; of one whose text is new, what the step took that was in its place.
pub fn of_step(known: &Known<'_>, at: usize) -> Option<Expected> {
    let step = &known.graph[at];
    let runs = |step: &GraphStep| {
        let runs =
            known.past.iter().flat_map(|past| &past.steps).filter(|done| done.is_done && done.is(step));
        spread(runs.filter_map(StepOutcome::seconds).take(RUNS).collect())
    };
    runs(step).or_else(|| runs(counterpart(known.graph, at, known.before?)?))
}

/// The median of some times, and the shortest and longest of them.
fn spread(mut times: Vec<f64>) -> Option<Expected> {
    times.sort_by(f64::total_cmp);
    let (low, high) = (*times.first()?, *times.last()?);
    Some(Expected { seconds: times[times.len() / 2], low, high })
}

/// A step of a Dockerfile, whatever it is made of.
type Name<'a> = (&'a str, &'a str, &'a str);

/// From the build's start to its images. Where builds ran the same steps, that is what they took; else the longest chain of the steps
/// that run, and what builds take beside their steps.
pub fn of_build(known: &Known<'_>, states: &[State]) -> Option<Expected> {
    let likely: Vec<bool> = (0..states.len()).map(|at| is_likely(known, states, at)).collect();
    let names: BTreeSet<Name<'_>> = known
        .graph
        .iter()
        .zip(&likely)
        .filter(|(_, runs)| **runs)
        .map(|(step, _)| (step.target.as_str(), step.stage.as_str(), step.text.as_str()))
        .collect();
    let targets: BTreeSet<&str> = known.graph.iter().map(|step| step.target.as_str()).collect();
    let of_same: Vec<f64> = known
        .past
        .iter()
        .filter(|past| past.is_good && ran(past) == names && past.of() == targets)
        .map(|past| past.seconds)
        .take(RUNS)
        .collect();
    if let Some(expected) = spread(of_same) {
        return Some(expected);
    }
    let chain = |runs: &dyn Fn(usize) -> bool, time: fn(Expected) -> f64| {
        longest(known.graph, &|at| {
            if runs(at) { of_step(known, at).map(time) } else { Some(0.0) }
        })
    };
    let beside = beside(known.past)?;
    let seconds = chain(&|at| likely[at], |time| time.seconds)? + beside.seconds;
    let low = chain(&|at| states[at] == State::Runs, |time| time.low)? + beside.low;
    let high =
        chain(&|at| states[at] != State::Cached, |time| time.high).map_or(seconds, |high| high + beside.high);
    Some(Expected { seconds, low: low.min(seconds), high: high.max(seconds) })
}

/// Whether a step is taken to run: one whose inputs from other stages may be equal, as often as not it is like the last time that they
/// were made anew.
fn is_likely(known: &Known<'_>, states: &[State], at: usize) -> bool {
    let step = &known.graph[at];
    match states[at] {
        State::Cached => false,
        State::Runs => true,
        State::IfChanged => {
            let mut later: BTreeSet<&str> = BTreeSet::new();
            // Whether it ran when its key was new: of each key the oldest build tells.
            let mut first_runs = Vec::new();
            for past in known.past.iter().rev() {
                for done in past.steps.iter().filter(|done| done.is_done && done.is(step)) {
                    if later.insert(&done.key) {
                        first_runs.push(done.ran.is_some());
                    }
                }
            }
            // The very first time says nothing.
            first_runs.get(1..).and_then(<[bool]>::last).copied().unwrap_or(true)
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

/// What builds took beside their steps: reading files, transfers, export. From their first step's beginning to their last one's end is
/// the steps' own.
fn beside(past: &[BuildSteps]) -> Option<Expected> {
    let own = |past: &BuildSteps| {
        let runs: Vec<_> = past.steps.iter().filter_map(|step| step.ran).collect();
        let (from, to) = (runs.iter().map(|run| run.0).min(), runs.iter().map(|run| run.1).max());
        from.zip(to).map_or(0.0, |(from, to)| to.duration_since(from).as_secs_f64())
    };
    let times = past.iter().filter(|past| past.is_good).map(|past| (past.seconds - own(past)).max(0.0));
    spread(times.take(RUNS).collect())
}

/// The longest chain of steps; nothing where the time of one is not known.
fn longest(graph: &[GraphStep], seconds: &dyn Fn(usize) -> Option<f64>) -> Option<f64> {
    let mut ends: Vec<f64> = Vec::with_capacity(graph.len());
    for (at, step) in graph.iter().enumerate() {
        let before = step.needs().filter_map(|needed| ends.get(needed));
        let start = before.fold(0.0, |latest: f64, end| latest.max(*end));
        ends.push(start + seconds(at)?);
    }
    ends.into_iter().reduce(f64::max).or(Some(0.0))
}
