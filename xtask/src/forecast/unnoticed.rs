//! Changes of files that BuildKit notices later. It keeps copies of each context and takes over
//! what differs in size, time, type or mode. Another mode of a directory or other extended
//! attributes come with the next change of their file, or when BuildKit makes another copy: if the
//! last one is in use, or was removed, as after a failed transfer. Meanwhile, a step may be cached
//! or may run with the file as it was.
//!
//! Source: `source/local/source.go` of BuildKit, and `diff_containerd.go` and `diskwriter.go` of
//! fsutil.

use std::collections::{BTreeMap, BTreeSet};

use crate::project::context::noticed;
use crate::project::graph::GraphStep;
use crate::record::steps::{BuildSteps, StepOutcome};

/// Finds the files of each step that BuildKit may know with another state, from the steps of the
/// last build. All steps of a target have one copy of a context, so a new step has the file as the
/// others had it.
pub(crate) fn find(now: &mut [GraphStep], before: &[GraphStep]) {
    let mut known: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
    for old in before {
        let files = old.files.iter().map(|file| (file.path.as_str(), file.state.as_str()));
        known.entry(&old.target).or_default().extend(files);
    }
    for old in before.iter().filter(|old| !old.unnoticed.is_empty()) {
        let files = old.unnoticed.iter().map(|(path, state)| (path.as_str(), state.as_str()));
        known.entry(&old.target).or_default().extend(files);
    }
    for step in now {
        let Some(known) = known.get(step.target.as_str()) else { continue };
        let unnoticed = step.files.iter().filter_map(|file| {
            let state = *known.get(file.path.as_str())?;
            let is_unnoticed = state != file.state && noticed(state) == noticed(&file.state);
            is_unnoticed.then(|| (file.path.clone(), state.to_owned()))
        });
        step.unnoticed = unnoticed.collect();
    }
}

/// Marks the steps of a build whose results may be those of files as they were, and the steps that
/// follow from them. `past` has the earlier builds on the same builder.
pub(crate) fn mark(graph: &mut [GraphStep], past: &[BuildSteps], done: &mut [StepOutcome]) {
    let noticed = noticed_now(graph, past, done);
    // Dependencies come first in a graph.
    for at in 0..graph.len() {
        let step = &mut graph[at];
        step.unnoticed.retain(|path, _| !noticed.contains(&(step.target.clone(), path.clone())));
        let follows = step.needs().any(|needed| done[needed].is_doubtful);
        done[at].is_doubtful = follows || !step.unnoticed.is_empty();
    }
}

/// Returns the targets and paths of the changes that BuildKit noticed in a build: a step ran that
/// was made before, and nothing else about it differs. Of several changes it may have noticed only
/// one.
fn noticed_now(graph: &[GraphStep], past: &[BuildSteps], done: &[StepOutcome]) -> BTreeSet<(String, String)> {
    let earlier = || past.iter().flat_map(|past| &past.steps).filter(|old| old.is_done);
    let has_noticed = |(at, step): &(usize, &GraphStep)| {
        let (mut needs, is_remote) = (step.needs(), step.remotes().next().is_some());
        let may_differ = is_remote || step.is_open || step.is_forced;
        done[*at].ran.is_some()
            && !(may_differ || needs.any(|needed| done[needed].ran.is_some()))
            && earlier().any(|old| old.soft == step.soft)
    };
    let steps = graph.iter().enumerate().filter(|(_, step)| step.unnoticed.len() == 1).filter(has_noticed);
    steps
        .flat_map(|(_, step)| step.unnoticed.keys().map(|path| (step.target.clone(), path.clone())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::context::Input;
    use crate::record::steps::Known;
    use jiff::Timestamp;

    /// Builds one after another.
    #[derive(Default)]
    struct Builds {
        before: Vec<GraphStep>,
        past: Vec<BuildSteps>,
    }

    impl Builds {
        /// Builds a step that reads a directory and a file, and one that follows it. Returns what
        /// was known of both before, as `n`o, `p`erhaps or `c`ertainly.
        fn build(&mut self, directory: &str, file: &str, ran: &[usize]) -> String {
            let input = |(path, state): (&str, &str)| Input { path: path.into(), state: state.into() };
            let copy = GraphStep {
                stage: "copy".into(),
                key: format!("copy {directory} {file}"),
                soft: format!("copy {}", noticed(file)),
                files: [("d", directory), ("f", file)].map(input).to_vec(),
                ..GraphStep::default()
            };
            let run = GraphStep {
                stage: "run".into(),
                key: format!("run {directory} {file}"),
                soft: format!("run {}", noticed(file)),
                parents: vec![0],
                ..GraphStep::default()
            };
            let mut graph = vec![copy, run];
            find(&mut graph, &self.before);
            let known = |step: &GraphStep| match Known::of(&step.key, &self.past) {
                Known::No => 'n',
                Known::Perhaps => 'p',
                Known::Certainly => 'c',
            };
            let known = graph.iter().map(known).collect();
            let span = Some((Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH));
            let outcome = |(at, step): (usize, &GraphStep)| StepOutcome {
                key: step.key.clone(),
                soft: step.soft.clone(),
                is_done: true,
                ran: span.filter(|_| ran.contains(&at)),
                ..StepOutcome::default()
            };
            let mut steps: Vec<StepOutcome> = graph.iter().enumerate().map(outcome).collect();
            mark(&mut graph, &self.past, &mut steps);
            self.past.insert(0, BuildSteps { steps, ..BuildSteps::default() });
            self.before = graph;
            known
        }
    }

    #[test]
    fn a_change_that_buildkit_did_not_notice_leaves_a_doubt() {
        let mut builds = Builds::default();
        assert_eq!(builds.build("755/", "644:1", &[0, 1]), "nn");
        assert_eq!(builds.build("755/", "644:1", &[]), "cc");
        assert_eq!(builds.build("700/", "644:1", &[]), "nn", "the change");
        assert_eq!(builds.build("700/", "644:1", &[]), "pp");
        assert_eq!(builds.build("700/", "644:2", &[0, 1]), "nn", "it ran, maybe with the old mode");
        assert_eq!(builds.build("700/", "644:2", &[]), "pp");
        assert_eq!(builds.build("700/", "644:2", &[0, 1]), "pp", "nothing differs: it was noticed");
        assert_eq!(builds.build("700/", "644:2", &[]), "cc");
        assert_eq!(builds.build("700/", "644:3", &[0, 1]), "nn");
        assert_eq!(builds.build("700/", "644:3", &[]), "cc");
    }

    #[test]
    fn a_new_step_reads_a_file_as_the_others_know_it() {
        let step = |name: &str, state: &str| GraphStep {
            target: "app".into(),
            key: format!("{name} {state}"),
            files: vec![Input { path: "f".into(), state: state.into() }],
            ..GraphStep::default()
        };
        let mut first = [step("copy", "644:1 xattrs:1")];
        find(&mut first, &[step("copy", "644:1")]);
        let mut second = [step("copy", "644:1 xattrs:1"), step("new", "644:1 xattrs:1")];
        find(&mut second, &first);
        let mut other = [GraphStep { target: "other".into(), ..step("copy", "644:1 xattrs:1") }];
        find(&mut other, &first);
        let doubts = [&first[0], &second[0], &second[1], &other[0]].map(|step| step.unnoticed.len());
        assert_eq!(doubts, [1, 1, 1, 0]);
    }

    #[test]
    fn of_two_changes_buildkit_may_have_noticed_one() {
        let mut builds = Builds::default();
        builds.build("755/", "644:1", &[0, 1]);
        builds.build("700/", "644:1 xattrs:1", &[]);
        assert_eq!(builds.build("700/", "644:1 xattrs:1", &[0, 1]), "pp");
        assert_eq!(builds.build("700/", "644:1 xattrs:1", &[0, 1]), "pp", "the other one");
    }

    #[test]
    fn a_change_that_is_taken_back_or_noticed_leaves_none() {
        let mut builds = Builds::default();
        builds.build("755/", "644:1", &[0, 1]);
        assert_eq!(builds.build("755/", "644:1 xattrs:1", &[]), "nn");
        assert_eq!(builds.build("755/", "644:1", &[]), "cc", "taken back");
        assert_eq!(builds.build("755/", "644:1 xattrs:1", &[]), "pp");
        assert_eq!(builds.build("755/", "644:2 xattrs:1", &[0, 1]), "nn");
        assert_eq!(builds.build("755/", "644:2 xattrs:1", &[]), "cc", "it came with the content");
        assert_eq!(builds.build("755/", "644:2 xattrs:2", &[0, 1]), "nn", "noticed at once");
        assert_eq!(builds.build("755/", "644:2 xattrs:2", &[]), "cc");
    }
}
