//! Changes of files that BuildKit notices later. It keeps a copy of each context and takes over
//! what differs from it, which it finds by size, time, type and mode. Another mode of a directory
//! and other extended attributes come with the next copy of the whole context, or with the next
//! change of their file. BuildKit makes another copy whenever the last one is in use or is removed.
//!
//! Source: `source/local/source.go` of BuildKit and `diff_containerd.go`, `diskwriter.go` of
//! fsutil.

use super::steps::{BuildSteps, Known, StepOutcome};
use crate::project::graph::GraphStep;

/// Marks the steps that BuildKit may have looked up or made with files as they were before a change
/// that it did not notice. `past` has the earlier builds on the same builder.
pub(crate) fn mark(graph: &[GraphStep], past: &[BuildSteps], done: &mut [StepOutcome]) {
    let earlier = || past.iter().flat_map(|past| &past.steps).filter(|step| step.is_done);
    // Dependencies come first in a graph.
    for (at, step) in graph.iter().enumerate() {
        let differs =
            |old: &StepOutcome| old.soft == step.soft && (old.is_doubtful || old.content != step.content);
        let was_cached = done[at].is_done && done[at].ran.is_none();
        let follows = || step.needs().any(|needed| done[needed].is_doubtful);
        done[at].is_doubtful = if was_cached {
            let is_certain = past.iter().any(|past| past.known(&step.key) == Known::Certainly);
            !is_certain && (follows() || (!step.content.is_empty() && earlier().any(differs)))
        } else {
            follows()
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    /// A step that reads files, and one that follows it.
    fn graph(content: &str, command: &str) -> Vec<GraphStep> {
        let copy = GraphStep {
            key: format!("copy {content}"),
            soft: "copy".into(),
            content: content.into(),
            ..GraphStep::default()
        };
        let run = GraphStep {
            key: format!("{command} after {content}"),
            soft: command.into(),
            parents: vec![0],
            ..GraphStep::default()
        };
        vec![copy, run]
    }

    /// Adds a build in which the steps with these numbers ran. Returns the doubtful ones.
    fn build(past: &mut Vec<BuildSteps>, graph: &[GraphStep], ran: &[usize]) -> Vec<usize> {
        let span = Some((Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH));
        let outcome = |(at, step): (usize, &GraphStep)| StepOutcome {
            key: step.key.clone(),
            soft: step.soft.clone(),
            content: step.content.clone(),
            is_done: true,
            ran: span.filter(|_| ran.contains(&at)),
            ..StepOutcome::default()
        };
        let mut steps: Vec<StepOutcome> = graph.iter().enumerate().map(outcome).collect();
        mark(graph, past, &mut steps);
        let doubtful = (0..steps.len()).filter(|at| steps[*at].is_doubtful).collect();
        past.insert(0, BuildSteps { steps, ..BuildSteps::default() });
        doubtful
    }

    #[test]
    fn a_change_that_buildkit_did_not_notice_leaves_a_doubt() {
        let (one, two) = (graph("mode 755", "make"), graph("mode 700", "make"));
        let mut past = Vec::new();
        assert_eq!(build(&mut past, &one, &[0, 1]), [0_usize; 0]);
        assert_eq!(build(&mut past, &one, &[]), [0_usize; 0], "as it was");
        assert_eq!(build(&mut past, &two, &[]), [0, 1]);
        assert_eq!(build(&mut past, &two, &[]), [0, 1], "still not noticed");
        past.truncate(2);
        assert_eq!(build(&mut past, &two, &[]), [0, 1], "the builds before are no longer recorded");
        assert_eq!(build(&mut past, &one, &[]), [0, 1], "what is known of them is not enough");
        let made = graph("mode 700", "other");
        assert_eq!(build(&mut past, &made, &[1]), [0, 1], "made with the files of before");
        assert_eq!(build(&mut past, &two, &[0, 1]), [0_usize; 0], "noticed");
        assert_eq!(build(&mut past, &two, &[]), [0_usize; 0]);
    }

    #[test]
    fn other_stages_and_first_builds_leave_no_doubt() {
        let step = |key: &str| GraphStep { key: key.into(), soft: "soft".into(), ..GraphStep::default() };
        let mut past = Vec::new();
        assert_eq!(build(&mut past, &[step("one")], &[0]), [0_usize; 0]);
        assert_eq!(build(&mut past, &[step("two")], &[]), [0_usize; 0], "BuildKit compared their content");
        let mut past = Vec::new();
        assert_eq!(build(&mut past, &graph("new here", "make"), &[]), [0_usize; 0]);
    }
}
