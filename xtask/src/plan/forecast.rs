//! What a build will cost: which steps will be cached, which will run, and how long that takes.

use serde::{Deserialize, Serialize};

use crate::exec::trace::Label;
use crate::report::Cause;

/// What is foreseen of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Its result is there.
    Cached,
    /// It runs.
    Runs,
    /// It follows one that runs, and is cached where that one's output is what it was before.
    IfChanged,
}

/// A step of a build to come.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StepForecast {
    /// The target.
    pub target: String,
    /// The stage, as BuildKit prints it.
    pub stage: String,
    /// The instruction in one line.
    pub instruction: String,
    /// The line of the Dockerfile that it begins in, counted from 0.
    pub line: usize,
    /// What is foreseen.
    pub state: State,
    /// How long it takes if it runs, in seconds; nothing where it never ran here.
    pub seconds: Option<f64>,
    /// Why it runs.
    pub cause: Option<Cause>,
}

/// A time that is expected, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Expected {
    /// The most likely.
    pub seconds: f64,
    /// The shortest that is likely.
    pub low: f64,
    /// The longest that is likely.
    pub high: f64,
}

/// What is foreseen of a build.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Forecast {
    /// Steps in the order of targets and Dockerfiles.
    pub steps: Vec<StepForecast>,
    /// From its start to its images; nothing where a step that will run never ran here.
    pub expected: Option<Expected>,
}

impl Forecast {
    /// What is foreseen of a step that BuildKit names like this, in one of these targets.
    pub fn of(&self, targets: &[String], label: &Label) -> Option<&StepForecast> {
        let fits = |step: &&StepForecast| {
            step.stage == label.stage
                && targets.contains(&step.target)
                && step.instruction == label.instruction
        };
        self.steps.iter().find(fits)
    }
}
