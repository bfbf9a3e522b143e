//! Finds the own target of a step that BuildKit shows under several.

use std::collections::{BTreeMap, BTreeSet};

use crate::progress::vertex::VertexState;
use crate::project::dockerfile::Dockerfile;
use crate::project::graph::{GraphStep, find};

/// Returns whether a vertex is a step of this target. BuildKit shows the steps of a target that
/// another one takes as a context under the other's name, too.
pub(crate) fn is_own(
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
}
