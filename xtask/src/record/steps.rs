//! The inputs and outcomes of a build's steps: `graph.json`, read for reasons, and `steps.json`,
//! which is small and read of all builds for every forecast.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::own_steps::OwnSteps;
use super::places::{Named, places};
use super::record_ids::RecordIds;
use crate::files;
use crate::layout::Layout;
use crate::progress::trace::Trace;

use crate::project::dockerfile::Dockerfile;
use crate::project::graph::{GraphStep, first_twins};
use crate::store::entry::subdirectories;

/// Whether builds had exactly a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Known {
    No,
    /// They had it, unless BuildKit took files as they were before (`forecast::unnoticed`).
    Perhaps,
    Certainly,
}

impl Known {
    /// Returns what some builds say of the result with this key.
    pub(crate) fn of(key: &str, past: &[BuildSteps]) -> Self {
        past.iter().map(|past| past.known(key)).max().unwrap_or(Self::No)
    }
}

/// The outcomes of a build's steps.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct BuildSteps {
    /// The version of the document.
    pub schema: u32,
    /// The build's id.
    pub build: String,
    pub builder: String,
    /// Its targets, requested ones first.
    pub targets: Vec<String>,
    /// The time from its start to its images in seconds.
    pub seconds: f64,
    /// Whether it succeeded.
    pub is_good: bool,
    /// Its steps, in the order of its graph.
    pub steps: Vec<StepOutcome>,
    /// The builder's records at its start.
    pub record_ids: RecordIds,
}

impl BuildSteps {
    /// Returns whether it has exactly the result with this key, made by it or existing before.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.known(key) == Known::Certainly
    }

    /// Returns whether it has the result with this key.
    pub(crate) fn known(&self, key: &str) -> Known {
        let done = self.steps.iter().filter(|step| step.is_done && step.key == key);
        done.map(|step| if step.is_doubtful { Known::Perhaps } else { Known::Certainly })
            .max()
            .unwrap_or(Known::No)
    }

    /// Returns the targets of its steps.
    pub(crate) fn of(&self) -> BTreeSet<&str> {
        self.steps.iter().map(|step| step.target.as_str()).collect()
    }
}

/// The outcome of one step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct StepOutcome {
    pub target: String,
    pub stage: String,
    /// The instruction in one line.
    pub text: String,
    /// The digest of its inputs.
    pub key: String,
    /// The digest without the content of other stages.
    pub soft: String,
    /// Whether its result exists since then.
    pub is_done: bool,
    /// Whether that may be the result of files as they were before (`forecast::unnoticed`).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_doubtful: bool,
    /// The time span of its run by the builder's clock; `None` if it was cached.
    pub ran: Option<(Timestamp, Timestamp)>,
    /// The instruction as BuildKit names the result of that run.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub named: String,
}

impl StepOutcome {
    /// Returns its time in seconds.
    pub(crate) fn seconds(&self) -> Option<f64> {
        self.ran.map(|(from, to)| to.duration_since(from).as_secs_f64().max(0.0))
    }

    /// Returns whether it is this step of the Dockerfile, with any inputs.
    pub(crate) fn is(&self, step: &GraphStep) -> bool {
        self.target == step.target && self.stage == step.stage && self.text == step.text
    }
}

/// Returns the outcome of each step of a graph, from the trace of its build and whether that
/// succeeded.
pub(crate) fn outcomes(
    graph: &[GraphStep],
    files: &BTreeMap<String, Dockerfile>,
    trace: &Trace,
    is_good: bool,
) -> Vec<StepOutcome> {
    let mut done: Vec<StepOutcome> = graph
        .iter()
        .map(|step| StepOutcome {
            target: step.target.clone(),
            stage: step.stage.clone(),
            text: step.text.clone(),
            key: step.key.clone(),
            soft: step.soft.clone(),
            ..StepOutcome::default()
        })
        .collect();
    for (at, digest) in matched(graph, files, trace) {
        let state = &trace.vertices[digest];
        done[at].is_done = state.error.is_empty()
            && (state.cached || state.completed.is_some())
            && (is_good || !trace.may_have_lost(digest, state));
        done[at].ran = state.started.zip(state.completed).filter(|_| !state.cached);
        if done[at].ran.is_some() {
            done[at].named.clone_from(&state.shown);
        }
    }
    // BuildKit shows a vertex of several stages once.
    for (at, first) in first_twins(graph).into_iter().enumerate() {
        let (one, other) = if done[first].is_done { (first, at) } else { (at, first) };
        (done[other].is_done, done[other].ran) = (done[one].is_done, done[one].ran);
        done[other].named = done[one].named.clone();
    }
    done
}

/// Takes back the results of a failed build that BuildKit found by their content only. It may not
/// have kept their new keys: a later build then looks for them again, and may run them.
pub(crate) fn forget_new_keys(done: &mut [StepOutcome], past: &[BuildSteps]) {
    for step in done.iter_mut().filter(|step| step.ran.is_none()) {
        step.is_done &= past.iter().any(|past| past.known(&step.key) > Known::No);
    }
}

/// Returns the steps of a graph with the digests of their vertices in the trace.
fn matched<'a>(
    graph: &[GraphStep],
    files: &BTreeMap<String, Dockerfile>,
    trace: &'a Trace,
) -> Vec<(usize, &'a str)> {
    let own = OwnSteps::new(graph, files, trace);
    let (mut names, mut digests) = (Vec::new(), Vec::new());
    // A vertex that BuildKit merged with another one never starts, and comes last here.
    for (digest, state, label) in trace.digests() {
        for target in &state.targets {
            let Some(stage) = own.stage(digest, target) else { continue };
            names.push(Named { target, stage, instruction: &label.instruction, number: label.number });
            digests.push(digest);
        }
    }
    let found = places(graph, files, &names).into_iter().zip(digests);
    found.filter_map(|(at, digest)| Some((at?, digest))).collect()
}

/// Returns the graph of a build, if it is recorded.
pub(crate) fn graph(layout: &Layout, build: &str) -> Option<Vec<GraphStep>> {
    read(&layout.build(build).join("graph.json"))
}

/// Returns the outcomes of a build's steps; `None` if they are not recorded.
pub(super) fn of(layout: &Layout, build: &str) -> Option<BuildSteps> {
    read(&layout.build(build).join("steps.json"))
}

/// Returns all builds with recorded steps, newest first.
pub(crate) fn all(layout: &Layout) -> Vec<BuildSteps> {
    let mut builds: Vec<BuildSteps> = subdirectories(&layout.builds())
        .into_iter()
        .filter_map(|dir| read(&dir.join("steps.json")))
        .collect();
    builds.sort_by(|one, other| other.build.cmp(&one.build));
    builds
}

/// Returns the newest of some builds with all these targets: a successful one if there is any,
/// because after a failure the changes before it are still relevant.
pub(crate) fn newest_with<'a>(builds: &'a [BuildSteps], targets: &BTreeSet<&str>) -> Option<&'a BuildSteps> {
    let has_all = |build: &&BuildSteps| targets.is_subset(&build.of());
    let with_all = || builds.iter().filter(has_all);
    with_all().find(|build| build.is_good).or_else(|| with_all().next())
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&files::read(path).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_merged_vertices_the_one_that_ran_counts() {
        let file = Dockerfile::parse(b"FROM x AS s\nCOPY a b\n");
        let files = ["job", "web"].map(|name| (name.to_owned(), file.clone())).into();
        let step = |target: &str| GraphStep {
            target: target.into(),
            stage: "s".into(),
            line: 1,
            text: "COPY a b".into(),
            ..GraphStep::default()
        };
        let mut trace = Trace::new(&["job".to_owned(), "web".to_owned()]);
        let begun = "2026-11-27T07:00:00Z";
        let chunk = serde_json::json!({"vertexes": [
            {"digest": "2", "name": "[web s 2/2] COPY a b"},
            {"digest": "1", "name": "[job s 2/2] COPY a b", "started": begun, "completed": begun},
            {"digest": "1", "name": "[web s 2/2] COPY a b", "started": begun, "completed": begun},
        ]});
        trace.apply(&serde_json::from_value(chunk).expect("well formed"));
        let done = outcomes(&[step("job"), step("web")], &files, &trace, true);
        assert!(done.iter().all(|step| step.is_done && step.ran.is_some()), "{done:?}");
    }

    #[test]
    fn a_result_that_a_canceled_build_may_have_lost_is_not_done() {
        let files = BTreeMap::from([("a".to_owned(), Dockerfile::parse(b"FROM x AS s\nCOPY a b\n"))]);
        let step = |target: &str, text: &str| GraphStep {
            target: target.into(),
            stage: "s".into(),
            line: 1,
            text: text.into(),
            ..GraphStep::default()
        };
        let mut trace = Trace::new(&["a".to_owned(), "b".to_owned()]);
        let (begun, ended) = ("2026-11-27T07:00:00Z", "2026-11-27T07:00:05Z");
        let chunk = serde_json::json!({"vertexes": [
            {"digest": "1", "name": "[a s 2/2] COPY a b", "started": begun, "completed": ended, "inputs": ["i"]},
            {"digest": "2", "name": "[b s 2/2] RUN false", "started": begun, "completed": ended, "inputs": ["i"],
                "error": "exit code: 1"},
        ]});
        trace.apply(&serde_json::from_value(chunk).expect("well formed"));
        let graph = [step("a", "COPY a b"), step("b", "RUN false")];
        let done = |is_good| outcomes(&graph, &files, &trace, is_good)[0].clone();
        assert!(done(true).is_done && !done(false).is_done);
        assert!(done(false).ran.is_some(), "its time counts");
    }

    #[test]
    fn a_failed_build_keeps_no_key_that_only_equal_content_gave() {
        let step = |key: &str, ran: bool| StepOutcome {
            key: key.into(),
            is_done: true,
            ran: ran.then_some((Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH)),
            ..StepOutcome::default()
        };
        let past = [BuildSteps { steps: vec![step("known", true)], ..BuildSteps::default() }];
        let mut done = [step("known", false), step("new", false), step("made", true)];
        forget_new_keys(&mut done, &past);
        assert_eq!(done.map(|step| step.is_done), [true, false, true]);
    }
}
