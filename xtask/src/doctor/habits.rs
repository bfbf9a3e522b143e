//! Findings from recorded builds: files that no image needs, a COPY that makes many steps run
//! again, empty mounts, saves that cost more than they save. Each with a figure and advice. Pure.

use crate::doctor::Check;
use crate::engine::disk_usage::Record;
use crate::outcome::BuildReport;
use crate::project::graph::GraphStep;
use crate::record::steps::{BuildSteps, StepOutcome};
use crate::text::size::show;
use crate::text::{one_line, seconds, without_mount_flags};

/// The recorded builds.
#[derive(Default)]
pub(crate) struct Habits {
    /// Builds, newest first, with the outcomes of their steps.
    pub builds: Vec<BuildSteps>,
    /// The graph of the newest build of each set of targets.
    pub graphs: Vec<Vec<GraphStep>>,
    /// Reports of the builds, newest first.
    pub reports: Vec<BuildReport>,
    /// The builder's records.
    pub records: Vec<Record>,
}

/// The size from which files are reported: they are read, compared and sent.
const LARGE: u64 = 100_000_000;
/// The number of builds from which a repetition is reported.
const OFTEN: usize = 2;
const BUILDS: usize = 10;
/// The seconds from which a change of a Dockerfile is worth it.
const LONG: f64 = 10.0;
/// The maximum size of an empty directory.
const EMPTY: u64 = 8_192;

/// Returns every finding.
pub(crate) fn checks(habits: &Habits) -> Vec<Check> {
    let steps = || habits.graphs.iter().flatten();
    let mut found: Vec<Check> = steps().filter_map(large).collect();
    found.extend(steps().filter_map(with_git));
    for graph in &habits.graphs {
        found.extend((0..graph.len()).filter_map(|at| early(habits, graph, at)));
        found.extend(graph.iter().flat_map(|step| mounts(habits, step)));
    }
    found.extend(save(habits));
    found.dedup();
    found
}

fn name(step: &GraphStep) -> String {
    format!("`{}` of {} ({})", one_line(&without_mount_flags(&step.text), 50), step.stage, step.target)
}

fn large(step: &GraphStep) -> Option<Check> {
    if step.bytes < LARGE {
        return None;
    }
    let most = step
        .largest
        .as_ref()
        .map_or_else(String::new, |(path, bytes)| format!(", {} of it {path}", show(*bytes)));
    Some(Check::warn(
        "context",
        format!("{} takes {}{most}", name(step), show(step.bytes)),
        "exclude unneeded files in .dockerignore, or copy fewer",
    ))
}

fn with_git(step: &GraphStep) -> Option<Check> {
    let is_git = |path: &str| {
        path == ".git" || path.starts_with(".git/") || path.contains("/.git/") || path.contains(":.git/")
    };
    step.files.iter().any(|file| is_git(&file.path)).then(|| {
        Check::warn(
            ".dockerignore",
            format!("{} copies .git: each commit and fetch makes it run again", name(step)),
            "echo .git >>.dockerignore",
        )
    })
}

/// Finds a COPY of many files with a reason of its own, and the steps based on it.
fn early(habits: &Habits, graph: &[GraphStep], at: usize) -> Option<Check> {
    let step = &graph[at];
    let is_copy = ["COPY", "ADD"].iter().any(|word| step.text.to_ascii_uppercase().starts_with(word));
    if !is_copy || step.files.len() < 2 {
        return None;
    }
    let dependents = dependents(graph, at);
    let newest: Vec<&BuildSteps> = habits
        .builds
        .iter()
        .filter(|build| build.steps.iter().any(|done| done.is(step)))
        .take(BUILDS)
        .collect();
    let ran = |build: &&&BuildSteps| {
        let of = |step: &GraphStep| build.steps.iter().find(|done| done.is(step)).and_then(|done| done.ran);
        of(step).is_some() && step.parents.iter().all(|parent| of(&graph[*parent]).is_none())
    };
    let again: Vec<&&BuildSteps> = newest.iter().filter(ran).collect();
    let cost = |build: &&&BuildSteps| -> f64 {
        let after = dependents.iter().filter_map(|at| build.steps.iter().find(|done| done.is(&graph[*at])));
        after.filter_map(StepOutcome::seconds).sum()
    };
    let worst = again.iter().map(cost).fold(0.0, f64::max);
    (again.len() >= OFTEN && worst >= LONG).then(|| {
        Check::warn(
            "early COPY",
            format!(
                "{} ran in {} of {} builds, and with it up to {} of steps after it",
                name(step),
                again.len(),
                newest.len(),
                seconds(worst)
            ),
            "copy the input of the slow steps first (a lock file, a manifest), run them, and copy the \
             rest after them",
        )
    })
}

/// Returns the steps of the same stage that are based on one, directly or indirectly.
fn dependents(graph: &[GraphStep], at: usize) -> Vec<usize> {
    let mut found = vec![at];
    for (next, step) in graph.iter().enumerate().skip(at + 1) {
        if step.parents.iter().any(|parent| found.contains(parent)) {
            found.push(next);
        }
    }
    found.split_off(1)
}

/// Finds empty cache mounts of a step that has run, and mounts that differ in each build.
fn mounts(habits: &Habits, step: &GraphStep) -> Vec<Check> {
    let runs = habits
        .builds
        .iter()
        .flat_map(|build| &build.steps)
        .filter(|done| done.is(step) && done.ran.is_some())
        .count();
    let targets = step.parts.keys().filter_map(|name| name.strip_prefix("mount cache "));
    let found = targets.filter_map(|target| {
        let command = step.parts.get("command").map_or("", String::as_str).lines().next().unwrap_or_default();
        let is_its =
            |record: &&Record| record.mount_target() == Some(target) && record.description.contains(command);
        let held: Vec<&Record> = habits.records.iter().filter(is_its).collect();
        let what = if held.is_empty() || runs < OFTEN {
            return None;
        } else if held.iter().all(|record| record.bytes <= EMPTY) {
            format!("is empty after {runs} runs: its tool writes to another directory")
        } else if held.len() >= 3 && held.len() >= runs {
            format!("changed in each of {runs} runs: its id, uid, gid or mode differs")
        } else {
            return None;
        };
        let remedy = "set its target to the directory that the tool uses, and give it a constant id";
        Some(Check::warn("cache mounts", format!("{target} in {} {what}", name(step)), remedy))
    });
    found.collect()
}

/// Compares saves with the time of a build without them.
fn save(habits: &Habits) -> Option<Check> {
    let report = habits.reports.iter().find(|report| report.cache.saved.is_some())?;
    let targets: Vec<&str> = report.targets.iter().map(|target| target.name.as_str()).collect();
    let graph = habits
        .graphs
        .iter()
        .find(|graph| graph.iter().all(|step| targets.contains(&step.target.as_str())))?;
    let last = |step: &GraphStep| {
        let done = habits.builds.iter().flat_map(|build| &build.steps).filter(|done| done.is(step));
        done.filter_map(StepOutcome::seconds).next()
    };
    let all: f64 = graph.iter().map(last).sum::<Option<f64>>()?;
    let save = report.cache.save_seconds;
    (save > all && save >= 1.0).then(|| {
        Check::warn(
            "saves",
            format!(
                "saving {} took {}, and all its steps together take {}",
                targets.join(", "),
                seconds(save),
                seconds(all)
            ),
            "cargo xtask build ... --no-save",
        )
    })
}

#[cfg(test)]
#[path = "habits_tests.rs"]
mod tests;
