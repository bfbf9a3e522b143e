//! The steps of a build for display: each once, by stage, in the order of time, with the critical
//! path and the dependencies.

use std::collections::BTreeMap;

use crate::outcome::{CauseKind, StepReport};

/// A step for display.
#[derive(Debug, Clone)]
pub(crate) struct TimelineRow<'a> {
    /// The step of the first of its targets.
    pub step: &'a StepReport,
    /// Its index in the report.
    pub index: usize,
    /// All targets that have it.
    pub targets: Vec<&'a str>,
    /// Rows of its dependencies.
    pub needs: Vec<usize>,
    /// Whether it is on the critical path.
    pub is_critical: bool,
    /// The row with the original reason for its run, if it is another one.
    pub follows: Option<usize>,
}

/// All steps of a build.
#[derive(Debug, Clone)]
pub(crate) struct Timeline<'a> {
    /// Each once, in the order of the report.
    pub rows: Vec<TimelineRow<'a>>,
    /// Stages in the order in which BuildKit reached them, with their rows.
    pub stages: Vec<(&'a str, Vec<usize>)>,
    /// The rows of the critical path in order; empty if the record has no dependencies.
    pub critical: Vec<usize>,
    /// The end of the last step in seconds after the start of the build; `None` if the record has
    /// no start times.
    pub span: Option<f64>,
}

impl<'a> Timeline<'a> {
    /// Creates the timeline of a report's steps.
    pub(crate) fn of(steps: &'a [StepReport]) -> Self {
        let mut rows = once_each(steps);
        let critical = critical(&rows);
        critical.iter().for_each(|index| rows[*index].is_critical = true);
        let follows = follows(&rows);
        rows.iter_mut().zip(follows).for_each(|(row, follows)| row.follows = follows);
        let ends = steps.iter().filter_map(|step| Some(step.started? + step.seconds));
        let span = ends.max_by(f64::total_cmp);
        Self { stages: stages(&rows), critical, span, rows }
    }

    /// Returns the number of steps that ran.
    pub(crate) fn ran(&self) -> usize {
        self.rows.iter().filter(|row| !row.step.cached).count()
    }

    /// Returns the time of the critical path in seconds.
    pub(crate) fn critical_seconds(&self) -> f64 {
        self.critical.iter().map(|index| cost(&self.rows[*index])).fold(0.0, |sum, cost| sum + cost)
    }

    /// Returns steps with a reason of their own, each with the steps that followed.
    pub(crate) fn causes(&self) -> Vec<(usize, Vec<usize>)> {
        let ran = || (0..self.rows.len()).filter(|index| !self.rows[*index].step.cached);
        let first = ran().filter(|index| self.rows[*index].follows.is_none());
        first
            .map(|first| (first, ran().filter(|index| self.rows[*index].follows == Some(first)).collect()))
            .collect()
    }
}

/// Returns rows of steps. One that several targets share has one row.
fn once_each(steps: &[StepReport]) -> Vec<TimelineRow<'_>> {
    let mut places: BTreeMap<_, usize> = BTreeMap::new();
    let mut row_of = Vec::with_capacity(steps.len());
    let mut rows: Vec<TimelineRow<'_>> = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        let begun = step.started.map(f64::to_bits);
        let key = (&step.stage, &step.instruction, step.cached, step.seconds.to_bits(), begun);
        let known = places.get(&key).copied().filter(|at| !rows[*at].targets.contains(&step.target.as_str()));
        let at = known.unwrap_or(rows.len());
        match known {
            Some(at) => rows[at].targets.push(&step.target),
            None => {
                places.insert(key, at);
                let targets = vec![step.target.as_str()];
                rows.push(TimelineRow {
                    step,
                    index,
                    targets,
                    needs: Vec::new(),
                    is_critical: false,
                    follows: None,
                });
            }
        }
        row_of.push(at);
    }
    for (index, step) in steps.iter().enumerate() {
        let at = row_of[index];
        for need in step.needs.iter().filter_map(|need| row_of.get(*need)) {
            if *need != at && !rows[at].needs.contains(need) {
                rows[at].needs.push(*need);
            }
        }
    }
    rows
}

/// Returns the slowest chain of steps that ran, in order: with unlimited cores the build would
/// still take that long.
pub(crate) fn critical(rows: &[TimelineRow<'_>]) -> Vec<usize> {
    if rows.iter().all(|row| row.needs.is_empty()) {
        return Vec::new();
    }
    let mut longest: Vec<f64> = rows.iter().map(cost).collect();
    let mut before: Vec<Option<usize>> = vec![None; rows.len()];
    for index in in_order(rows) {
        let best = rows[index].needs.iter().copied().max_by(|a, b| longest[*a].total_cmp(&longest[*b]));
        if let Some(best) = best.filter(|best| longest[*best] > 0.0) {
            longest[index] = cost(&rows[index]) + longest[best];
            before[index] = Some(best);
        }
    }
    let last = (0..rows.len()).max_by(|a, b| longest[*a].total_cmp(&longest[*b]));
    // Limited to the number of steps, because a record may be broken.
    let chain = std::iter::successors(last, |index| before[*index]).take(rows.len());
    let mut chain: Vec<usize> = chain.filter(|index| cost(&rows[*index]) > 0.0).collect();
    chain.reverse();
    chain
}

/// Returns the seconds of this build that a step took: for one that another build had started, the
/// rest.
fn cost(row: &TimelineRow<'_>) -> f64 {
    let left = row.step.started.map_or(row.step.seconds, |started| row.step.seconds + started.min(0.0));
    if row.step.cached { 0.0 } else { left.max(0.0) }
}

/// Returns the rows in dependency order. Rows in a cycle, which only a broken record has, are left
/// out.
fn in_order(rows: &[TimelineRow<'_>]) -> Vec<usize> {
    let mut missing: Vec<usize> = rows.iter().map(|row| row.needs.len()).collect();
    let mut needed_by: Vec<Vec<usize>> = vec![Vec::new(); rows.len()];
    for (index, row) in rows.iter().enumerate() {
        row.needs.iter().for_each(|need| needed_by[*need].push(index));
    }
    let mut order: Vec<usize> = (0..rows.len()).filter(|index| missing[*index] == 0).collect();
    let mut at = 0;
    while at < order.len() {
        for next in &needed_by[order[at]] {
            missing[*next] -= 1;
            if missing[*next] == 0 {
                order.push(*next);
            }
        }
        at += 1;
    }
    order
}

/// Returns for each step that followed another one the original step, which has a reason of its
/// own.
fn follows(rows: &[TimelineRow<'_>]) -> Vec<Option<usize>> {
    let is_parent = |row: &TimelineRow<'_>| {
        !row.step.cached && row.step.cause.as_ref().is_some_and(|cause| cause.kind == CauseKind::Parent)
    };
    let mut roots: Vec<Option<usize>> = vec![None; rows.len()];
    for index in in_order(rows).into_iter().filter(|index| is_parent(&rows[*index])) {
        let ran = rows[index].needs.iter().copied().filter(|need| !rows[*need].step.cached);
        // The dependency that ended last delayed the step.
        let end = |need: &usize| rows[*need].step.started.unwrap_or(0.0) + rows[*need].step.seconds;
        let parent = ran.max_by(|a, b| end(a).total_cmp(&end(b)));
        roots[index] = parent.map(|parent| roots[parent].unwrap_or(parent));
    }
    roots
}

fn stages<'a>(rows: &[TimelineRow<'a>]) -> Vec<(&'a str, Vec<usize>)> {
    let mut stages: Vec<(&str, Vec<usize>)> = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        match stages.iter_mut().find(|(name, _)| *name == row.step.stage) {
            Some((_, of_stage)) => of_stage.push(index),
            None => stages.push((&row.step.stage, vec![index])),
        }
    }
    stages
}

#[cfg(test)]
#[path = "timeline_tests.rs"]
mod tests;
