//! Compares a build with earlier ones of the same targets.

use std::collections::{BTreeMap, BTreeSet};

use super::sparkline::{self, median};
use crate::outcome::{BuildReport, BuildResult, MountReport, StepReport};
use crate::text::seconds;

/// The number of compared builds. Older ones were of a different project.
const LAST: usize = 20;

/// The result of the comparison.
#[derive(Debug, Clone, Default)]
pub(crate) struct Comparison {
    /// The number of builds with the same result: built, or cached.
    pub alike: usize,
    /// The median of their times.
    pub median: Option<f64>,
    /// The times of all completed builds, with this one last if it completed.
    pub times: Vec<f64>,
    /// The previous build: its id, its result, its time.
    pub previous: Option<(String, BuildResult, f64)>,
    usual: BTreeMap<(String, String), f64>,
    sizes: BTreeMap<(String, String), u64>,
}

impl Comparison {
    /// Compares a report. `builds` has every report, the oldest first, and may include this one.
    pub(crate) fn of<'a>(report: &BuildReport, builds: impl Iterator<Item = &'a BuildReport>) -> Self {
        let targets = targets(report);
        let mut earlier: Vec<&BuildReport> =
            builds.filter(|other| other.build < report.build && self::targets(other) == targets).collect();
        earlier.drain(..earlier.len().saturating_sub(LAST));
        let alike = || earlier.iter().filter(|other| other.result == report.result);
        let mut times: Vec<f64> =
            earlier.iter().filter(|other| is_done(other)).map(|other| other.seconds).collect();
        times.extend(is_done(report).then_some(report.seconds));
        Self {
            alike: alike().count(),
            median: median(alike().map(|other| other.seconds)),
            times,
            previous: earlier.last().map(|other| (other.build.clone(), other.result, other.seconds)),
            usual: usual(&earlier),
            sizes: sizes(&earlier),
        }
    }

    /// Returns the times as bars; empty for fewer than two.
    pub(crate) fn line(&self) -> String {
        if self.times.len() > 1 { sparkline::line(&self.times) } else { String::new() }
    }

    /// Returns the bars in words.
    pub(crate) fn spoken(&self) -> String {
        let extreme = |pick: fn(f64, f64) -> f64| {
            self.times.iter().copied().reduce(pick).map_or(String::new(), seconds)
        };
        let last = self.times.last().copied().map_or(String::new(), seconds);
        format!(
            "{} builds, from {} to {}, the last {last}",
            self.times.len(),
            extreme(f64::min),
            extreme(f64::max)
        )
    }

    /// Returns the median of a step's earlier times.
    pub(crate) fn usual(&self, step: &StepReport) -> Option<f64> {
        self.usual.get(&(step.stage.clone(), step.instruction.clone())).copied()
    }

    /// Returns the last reported size of a mount.
    pub(crate) fn size_before(&self, mount: &MountReport) -> Option<u64> {
        self.sizes.get(&(mount.id.clone(), mount.target.clone())).copied()
    }
}

/// Returns the sorted names of a build's targets.
pub(crate) fn targets(report: &BuildReport) -> BTreeSet<&str> {
    report.targets.iter().map(|target| target.name.as_str()).collect()
}

/// Returns whether a build completed. The time of another one is meaningless.
pub(crate) fn is_done(report: &BuildReport) -> bool {
    matches!(report.result, BuildResult::Built | BuildResult::Cached)
}

fn usual(earlier: &[&BuildReport]) -> BTreeMap<(String, String), f64> {
    let mut times: BTreeMap<(String, String), Vec<f64>> = BTreeMap::new();
    for report in earlier.iter().filter(|report| is_done(report)) {
        for step in report.steps.iter().filter(|step| !step.cached) {
            times.entry((step.stage.clone(), step.instruction.clone())).or_default().push(step.seconds);
        }
    }
    times.into_iter().filter_map(|(step, times)| Some((step, median(times)?))).collect()
}

fn sizes(earlier: &[&BuildReport]) -> BTreeMap<(String, String), u64> {
    let mounts = earlier.iter().flat_map(|report| &report.cache.mounts);
    mounts.map(|mount| ((mount.id.clone(), mount.target.clone()), mount.bytes)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixtures::report;

    #[test]
    fn only_earlier_builds_of_the_same_targets_count() {
        let build = |id: &str, target: &str, result, seconds| {
            let mut report = report();
            report.targets.truncate(1);
            report.targets[0].name = target.into();
            BuildReport { build: id.into(), result, seconds, ..report }
        };
        let all = [
            build("1", "app", BuildResult::Built, 10.0),
            build("2", "base", BuildResult::Built, 500.0),
            build("3", "app", BuildResult::Failed, 3.0),
            build("4", "app", BuildResult::Built, 20.0),
            build("5", "app", BuildResult::Cached, 0.5),
            build("6", "app", BuildResult::Built, 12.0),
            build("7", "app", BuildResult::Built, 90.0),
        ];
        let against = Comparison::of(&all[5], all.iter());
        assert_eq!((against.alike, against.median), (2, Some(15.0)));
        assert_eq!(against.previous, Some(("5".into(), BuildResult::Cached, 0.5)));
        assert_eq!(against.line().chars().count(), 4, "failed ones have no bar, later ones neither");
        assert_eq!(against.spoken(), "4 builds, from 0.5 s to 20 s, the last 12 s");
        let first = Comparison::of(&all[0], all.iter());
        assert_eq!((first.line().as_str(), first.previous), ("", None));
        assert_eq!(against.usual(&all[0].steps[1]), Some(all[0].steps[1].seconds));
        let mount = &all[0].cache.mounts[0];
        assert_eq!(against.size_before(mount), Some(mount.bytes));
    }
}
