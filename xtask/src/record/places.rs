//! The steps of a graph that BuildKit's names of steps mean.

use std::collections::BTreeMap;

use crate::project::dockerfile::Dockerfile;
use crate::project::graph::{GraphStep, find};

/// A step as BuildKit names it, with its target.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Named<'a> {
    pub target: &'a str,
    pub stage: &'a str,
    pub instruction: &'a str,
    /// Its number in its stage.
    pub number: u32,
}

/// Returns the index of each named step in the graph. Several steps with one text in a stage are in
/// the order of their numbers, because BuildKit reports them in any order.
pub(crate) fn places(
    graph: &[GraphStep],
    files: &BTreeMap<String, Dockerfile>,
    names: &[Named<'_>],
) -> Vec<Option<usize>> {
    let mut order: Vec<usize> = (0..names.len()).collect();
    order.sort_by_key(|at| names[*at].number);
    let mut found = vec![None; names.len()];
    let mut is_taken = vec![false; graph.len()];
    for at in order {
        let Named { target, stage, instruction, .. } = names[at];
        let Some(first) = find(graph, files, target, (stage, instruction)) else { continue };
        let name = |step: &'_ GraphStep| (step.target.clone(), step.stage.clone(), step.text.clone());
        let wanted = name(&graph[first]);
        let free = (first..graph.len()).find(|at| !is_taken[*at] && name(&graph[*at]) == wanted);
        if let Some(free) = free {
            is_taken[free] = true;
            found[at] = Some(free);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_of_a_stage_are_matched_by_their_numbers() {
        let text = "FROM scratch\nRUN make\nWORKDIR /w\nRUN make\nRUN make\n";
        let files = BTreeMap::from([("app".to_owned(), Dockerfile::parse(text.as_bytes()))]);
        let step = |line: usize, text: &str| GraphStep {
            target: "app".into(),
            stage: "stage-0".into(),
            line,
            text: text.into(),
            ..GraphStep::default()
        };
        let graph = [step(1, "RUN make"), step(2, "WORKDIR /w"), step(3, "RUN make"), step(4, "RUN make")];
        let named = |instruction: &'static str, number: u32| Named {
            target: "app",
            stage: "stage-0",
            instruction,
            number,
        };
        let names = [
            named("RUN make", 4),
            named("RUN other", 9),
            named("RUN make", 1),
            named("WORKDIR /w", 2),
            named("RUN make", 3),
            named("RUN make", 5),
        ];
        let found = places(&graph, &files, &names);
        assert_eq!(found, [Some(3), None, Some(0), Some(1), Some(2), None]);
    }
}
