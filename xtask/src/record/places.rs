//! The steps of a graph that BuildKit's names of steps mean.

use std::collections::BTreeMap;

use crate::project::dockerfile::Dockerfile;
use crate::project::graph::{GraphStep, find_all};

/// A step as BuildKit names it, with its target.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Named<'a> {
    pub target: &'a str,
    pub stage: &'a str,
    pub instruction: &'a str,
    /// Its number in its stage.
    pub number: u32,
}

/// Returns the index of each named step in the graph. Steps of a stage that have one text, or
/// differ only in variables that BuildKit replaces, are in the order of their numbers, because
/// BuildKit reports them in any order.
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
        let fitting = find_all(graph, files, target, (stage, instruction));
        let free = fitting.into_iter().find(|at| !is_taken[*at]);
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
    use crate::project::dockerfile::Instruction;

    fn graph(text: &str) -> (Vec<GraphStep>, BTreeMap<String, Dockerfile>) {
        let file = Dockerfile::parse(text.as_bytes());
        let step = |one: &Instruction| GraphStep {
            target: "app".into(),
            stage: "stage-0".into(),
            line: one.line,
            text: one.text.clone(),
            ..GraphStep::default()
        };
        let steps = file.stages[0].instructions.iter().map(step).collect();
        (steps, BTreeMap::from([("app".to_owned(), file)]))
    }

    fn named(instruction: &str, number: u32) -> Named<'_> {
        Named { target: "app", stage: "stage-0", instruction, number }
    }

    #[test]
    fn texts_that_differ_in_variables_are_matched_by_their_numbers() {
        let (graph, files) = graph("FROM scratch\nRUN echo $A\nRUN echo $B\nRUN echo $A b\n");
        let names = [named("RUN echo 2", 3), named("RUN echo 2 b", 4), named("RUN echo 1", 2)];
        assert_eq!(places(&graph, &files, &names), [Some(1), Some(2), Some(0)]);
    }

    #[test]
    fn equal_texts_of_a_stage_are_matched_by_their_numbers() {
        let (graph, files) = graph("FROM scratch\nRUN make\nWORKDIR /w\nRUN make\nRUN make\n");
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
