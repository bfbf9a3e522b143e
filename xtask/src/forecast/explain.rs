//! The reasons why steps of a recorded build ran, compared with another one.

use serde::Serialize;

use super::PredictedState;
use super::reasons::Compared;
use crate::json::SCHEMA;
use crate::outcome::{Cause, CauseKind};
use crate::project::graph::{GraphStep, first_twins};
use crate::record::steps::{BuildSteps, Known};

/// An explained build. Its JSON is the output of `explain --json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Explained {
    /// The version of the document.
    pub schema: u32,
    pub build: String,
    /// The build that it is compared with.
    pub against: Option<String>,
    /// The steps that ran, in the order of its graph.
    pub steps: Vec<ExplainedStep>,
    /// The number of cached steps.
    pub cached: usize,
    /// The number of steps that ran for an unknown reason.
    pub unknown: usize,
}

/// A step that ran.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct ExplainedStep {
    pub target: String,
    pub stage: String,
    /// The instruction in one line.
    pub instruction: String,
    pub seconds: f64,
    pub cause: Cause,
    /// The original step that it followed, as an index of these steps; `None` if it has its own
    /// reason.
    pub follows: Option<usize>,
}

/// Explains a build from its graph and outcome, earlier builds on its builder, and the graph to
/// compare with.
pub(crate) fn explain(
    graph: &[GraphStep],
    build: &BuildSteps,
    earlier: &[BuildSteps],
    against: Option<(&str, &[GraphStep])>,
) -> Explained {
    let ran = |at: usize| build.steps.get(at).is_some_and(|step| step.ran.is_some());
    let compared = Compared { now: graph, before: against.map(|(_, graph)| graph) };
    let (mut steps, mut places) = (Vec::new(), Vec::new());
    let firsts = first_twins(graph);
    for (at, step) in graph.iter().enumerate().filter(|(at, _)| ran(*at) && firsts[*at] == *at) {
        let cause =
            compared.cause(at, &|at| PredictedState::of_ended(ran(at)), Known::of(&step.key, earlier));
        let before = step.needs().find_map(|at| places.iter().position(|place| *place == firsts[at]));
        let follows = before.filter(|_| cause.kind == CauseKind::Parent).map(|place| {
            let before: &ExplainedStep = &steps[place];
            before.follows.unwrap_or(place)
        });
        places.push(at);
        steps.push(ExplainedStep {
            target: step.target.clone(),
            stage: step.stage.clone(),
            instruction: step.text.clone(),
            seconds: build.steps[at].seconds().unwrap_or_default(),
            cause,
            follows,
        });
    }
    let unknown = steps.iter().filter(|step| step.cause.kind == CauseKind::Unknown).count();
    Explained {
        schema: SCHEMA,
        build: build.build.clone(),
        against: against.map(|(id, _)| id.to_owned()),
        cached: build.steps.iter().filter(|step| step.is_done && step.ran.is_none()).count(),
        steps,
        unknown,
    }
}
