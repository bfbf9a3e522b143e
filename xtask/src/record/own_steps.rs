//! Finds the own steps of each target among those that BuildKit shows. A vertex that several
//! targets share is shown under the name of one, and the vertices of a target that another one
//! takes as a context are shown under both.

use std::collections::{BTreeMap, BTreeSet};

use crate::progress::trace::Trace;
use crate::progress::vertex::VertexState;
use crate::project::dockerfile::Dockerfile;
use crate::project::graph::{GraphStep, find, find_all};

/// The stages in which targets have the vertices of a build, by digest and target.
pub(crate) struct OwnSteps<'a>(BTreeMap<(&'a str, &'a str), &'a str>);

impl<'a> OwnSteps<'a> {
    pub(crate) fn new(
        graph: &'a [GraphStep],
        files: &'a BTreeMap<String, Dockerfile>,
        trace: &'a Trace,
    ) -> Self {
        let (mut stages, mut named) = (BTreeMap::new(), BTreeSet::new());
        let vertices = || {
            let all = trace.digests().filter(|(_, state, _)| !state.is_internal());
            all.flat_map(|(digest, state, label)| {
                state.targets.iter().map(move |target| (digest, target.as_str(), state, label))
            })
        };
        for (digest, target, state, label) in vertices() {
            if is_own(graph, files, state, target) {
                stages.insert((digest, target), label.stage.as_str());
                named.extend(find_all(graph, files, target, (&label.stage, &label.instruction)));
            }
        }
        // Equal steps of two targets are one vertex, which has the name of one.
        for (digest, target, state, label) in vertices() {
            let of = |target: &str| find_all(graph, files, target, (&label.stage, &label.instruction));
            if stages.contains_key(&(digest, target)) || !of(target).is_empty() {
                continue;
            }
            let others = state.targets.iter().flat_map(|other| of(other));
            let keys: BTreeSet<&str> = others.map(|at| graph[at].key.as_str()).collect();
            let is_it = |(at, step): &(usize, &GraphStep)| {
                step.target == target && keys.contains(step.key.as_str()) && !named.contains(at)
            };
            if let Some((at, step)) = graph.iter().enumerate().find(is_it) {
                stages.insert((digest, target), step.stage.as_str());
                named.insert(at);
            }
        }
        Self(stages)
    }

    /// Returns the stage in which a target has a vertex; `None` if it is no step of the target.
    pub(crate) fn stage(&self, digest: &str, target: &str) -> Option<&'a str> {
        self.0.get(&(digest, target)).copied()
    }
}

/// Returns whether a vertex is a step of this target. BuildKit shows the steps of a target that
/// another one takes as a context under the other's name, too.
fn is_own(
    graph: &[GraphStep],
    files: &BTreeMap<String, Dockerfile>,
    state: &VertexState,
    target: &str,
) -> bool {
    let Some(label) = state.label.as_ref().filter(|_| state.targets.len() > 1) else { return true };
    let step = |target: &str| find(graph, files, target, (&label.stage, &label.instruction));
    let others = || state.targets.iter().filter(|other| *other != target);
    let Some(own) = step(target) else { return !others().any(|other| step(other).is_some()) };
    let is_below = |other: &String| {
        let differs = |at: usize| graph[at].key != graph[own].key;
        step(other).is_some_and(differs) && takes(graph, target, other)
    };
    !others().any(is_below)
}

/// Returns whether steps of a target take results of another one's, at last.
fn takes(graph: &[GraphStep], target: &str, other: &str) -> bool {
    let mut next: Vec<usize> = (0..graph.len()).filter(|at| graph[*at].target == target).collect();
    let mut seen = BTreeSet::new();
    while let Some(at) = next.pop() {
        if seen.insert(at) {
            next.extend(graph[at].needs());
        }
    }
    seen.into_iter().any(|at| graph[at].target == other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::step_name::StepName;

    #[test]
    fn steps_of_a_context_are_not_those_of_the_target_that_takes_it() {
        let file = |text: &str| Dockerfile::parse(text.as_bytes());
        let base = file("FROM scratch AS s\nRUN own\nRUN same\n");
        let app = file("FROM scratch AS s\nRUN same\nCOPY --from=base / /\n");
        let files = BTreeMap::from([("base".to_owned(), base), ("app".to_owned(), app)]);
        let step = |target: &str, line: usize, text: &str, draws: &[usize]| GraphStep {
            target: target.into(),
            stage: "s".into(),
            line,
            text: text.into(),
            key: format!("{target}{line}"),
            draws: draws.to_vec(),
            ..GraphStep::default()
        };
        let mut graph = vec![step("base", 1, "RUN own", &[]), step("base", 2, "RUN same", &[])];
        graph.extend([step("app", 1, "RUN same", &[]), step("app", 2, "COPY --from=base / /", &[1])]);
        let vertex = |instruction: &str, targets: &[&str]| {
            let mut state = VertexState::default();
            let instruction = instruction.to_owned();
            state.label = Some(StepName { target: None, stage: "s".into(), instruction, number: 0 });
            state.targets = targets.iter().map(|target| (*target).to_owned()).collect();
            state
        };
        let own = |instruction: &str, targets: &[&str]| {
            let state = vertex(instruction, targets);
            let is_own = |target: &&str| is_own(&graph, &files, &state, target);
            targets.iter().copied().filter(is_own).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(own("RUN own", &["app", "base"]), "base");
        assert_eq!(own("RUN same", &["base", "app"]), "base", "a step of the same name");
        assert_eq!(own("RUN same", &["app"]), "app");
        assert_eq!(own("RUN unknown", &["app", "base"]), "app base");
        let mut shared = graph.clone();
        shared[2].key = shared[1].key.clone();
        let state = vertex("RUN same", &["app", "base"]);
        assert!(["app", "base"].iter().all(|target| is_own(&shared, &files, &state, target)));
    }

    #[test]
    fn a_vertex_of_two_targets_is_a_step_of_each_in_its_own_stage() {
        let text = "FROM x AS web\nCOPY f /f\nRUN make\nRUN web\nFROM x AS worker\nCOPY f /f\nRUN make\n";
        let file = Dockerfile::parse(text.as_bytes());
        let step = |target: &str, line: usize, text: &str, key: &str| GraphStep {
            target: target.into(),
            stage: target.into(),
            line,
            text: text.into(),
            key: key.into(),
            ..GraphStep::default()
        };
        let mut graph = vec![
            step("web", 1, "COPY f /f", "copy"),
            step("web", 2, "RUN make", "make"),
            step("web", 3, "RUN web", "web"),
            step("worker", 5, "COPY f /f", "copy"),
            step("worker", 6, "RUN make", "make"),
        ];
        let files = ["web", "worker"].map(|target| (target.to_owned(), file.clone()));
        let files = BTreeMap::from(files);
        let trace = |vertices: &[(&str, &str)]| {
            let mut trace = Trace::new(&["web".to_owned(), "worker".to_owned()]);
            let vertex = |(digest, name): &(&str, &str)| serde_json::json!({"digest": digest, "name": name, "inputs": ["i"]});
            let vertices: Vec<_> = vertices.iter().map(vertex).collect();
            let chunk = serde_json::json!({ "vertexes": vertices });
            trace.apply(&serde_json::from_value(chunk).expect("well formed"));
            trace
        };
        let stages = |graph: &[GraphStep], trace: &Trace, digest: &str| {
            let own = OwnSteps::new(graph, &files, trace);
            ["web", "worker"].map(|target| own.stage(digest, target).map(str::to_owned))
        };
        let both = [Some("web".to_owned()), Some("worker".to_owned())];
        let shared = [
            ("1", "[web web 2/4] COPY f /f"),
            ("1", "[worker web 2/4] COPY f /f"),
            ("2", "[worker worker 3/3] RUN make"),
            ("2", "[web worker 3/3] RUN make"),
            ("3", "[web web 4/4] RUN web"),
        ];
        assert_eq!(stages(&graph, &trace(&shared), "1"), both);
        assert_eq!(stages(&graph, &trace(&shared), "2"), both);
        assert_eq!(stages(&graph, &trace(&shared), "3"), [Some("web".to_owned()), None]);
        // Equal files of two directories have one key and two vertices.
        let two = [&shared[..2], &[("4", "[worker worker 2/3] COPY f /f")]].concat();
        assert_eq!(stages(&graph, &trace(&two), "1"), [Some("web".to_owned()), None]);
        assert_eq!(stages(&graph, &trace(&two), "4"), [None, Some("worker".to_owned())]);
        graph[3].key = "other".into();
        assert_eq!(stages(&graph, &trace(&shared), "1"), [Some("web".to_owned()), None]);
    }
}
