//! The content of a build's report, in words that text, Markdown and HTML share. They differ in
//! format only.

use jiff::Timestamp;

use super::comparison::Comparison;
use super::format::{growth, when};
use super::summary;
use super::timeline::{Timeline, TimelineRow};
use crate::outcome::{BuildReport, BuildResult, CauseKind};
use crate::text::size::show;
use crate::text::{one_line, seconds, step_count, terminal, without_mount_flags};

/// A build with its context.
pub(crate) struct ReportView<'a> {
    pub report: &'a BuildReport,
    /// Its steps.
    pub timeline: Timeline<'a>,
    /// The comparison with earlier builds.
    pub against: Comparison,
    /// The start time.
    pub begun: Option<Timestamp>,
}

/// The reason of a step, and the steps that followed.
pub(crate) struct Why {
    pub step: String,
    /// The reason.
    pub cause: String,
    /// Steps that followed.
    pub follow: Vec<String>,
}

/// A restored or saved cache mount.
pub(crate) struct MountRow {
    pub id: String,
    pub target: String,
    /// Its current size.
    pub size: String,
    /// Its growth since the last report, if there is one.
    pub growth: String,
    /// Restored, saved, or both.
    pub moved: String,
}

impl<'a> ReportView<'a> {
    /// Creates the view of a report, with all other reports.
    pub(crate) fn of<'b>(
        report: &'a BuildReport,
        others: impl Iterator<Item = &'b BuildReport>,
        begun: Option<Timestamp>,
    ) -> Self {
        Self { report, timeline: Timeline::of(&report.steps), against: Comparison::of(report, others), begun }
    }

    /// Returns `built in 12 s: 3 of 26 steps ran`.
    pub(crate) fn headline(&self) -> String {
        let verb = match self.report.result {
            BuildResult::Failed | BuildResult::Interrupted => "after",
            BuildResult::Built | BuildResult::Cached => "in",
        };
        let (result, time) = (self.report.result.word(), seconds(self.report.seconds));
        let called = if self.report.bake_called { "" } else { "; bake was not called" };
        format!("{result} {verb} {time}: {}{called}", summary::steps(&self.timeline))
    }

    /// Returns whether a step is the one that failed.
    pub(crate) fn is_failed(&self, row: &TimelineRow<'_>) -> bool {
        let failed = self.report.failure.as_ref().and_then(|failure| failure.step.as_deref());
        let parts = failed.and_then(|name| name.strip_prefix('[')?.split_once("] "));
        parts.is_some_and(|(place, instruction)| {
            let is_stage = |word: &str| word == row.step.stage;
            instruction == row.step.instruction
                && (place.split(' ').any(is_stage) || row.step.stage.starts_with("stage-"))
        })
    }

    /// Returns the result of a step in a word, because a color alone is not enough.
    pub(crate) fn outcome(&self, row: &TimelineRow<'_>) -> &'static str {
        match (self.is_failed(row), row.step.cached) {
            (true, _) => "failed",
            (false, true) => "cached",
            (false, false) => "ran",
        }
    }

    /// Returns the facts with one line each, with their labels.
    pub(crate) fn facts(&self) -> Vec<(&'static str, String)> {
        let mut facts = Vec::new();
        facts.extend(self.begun.map(|begun| ("began", when(begun))));
        for target in &self.report.targets {
            let digest = target.digest.as_deref().unwrap_or_default();
            let image = target.image.as_deref().unwrap_or(&target.name);
            facts.push(("image", format!("{image} {}", one_line(digest, 20)).trim_end().to_owned()));
        }
        facts.extend(self.critical().map(|text| ("critical path", text)));
        facts.extend(self.other_builds().map(|text| ("other builds", text)));
        facts.extend(Some(self.against.line()).filter(|line| !line.is_empty()).map(|line| ("times", line)));
        let cache = &self.report.cache;
        facts.extend(cache.read.iter().map(|read| ("cache read", read.clone())));
        let took = |what: &str, time: f64| {
            if time > 0.0 { format!("{what}, in {}", seconds(time)) } else { what.to_owned() }
        };
        facts.extend(cache.saved.iter().map(|key| ("layers saved", took(key, cache.save_seconds))));
        if !cache.pushed.is_empty() {
            facts.push(("pushed", took(&cache.pushed.join(", "), cache.push_seconds)));
        }
        let moves = [("mounts restored", cache.restore_seconds), ("mounts saved", cache.mount_save_seconds)];
        facts.extend(
            moves
                .into_iter()
                .filter(|(_, time)| *time > 0.0)
                .map(|(what, time)| (what, format!("in {}", seconds(time)))),
        );
        facts
    }

    fn critical(&self) -> Option<String> {
        let count = self.timeline.critical.len();
        let time = seconds(self.timeline.critical_seconds());
        let whole = seconds(self.report.seconds);
        (count > 0).then(|| format!("{time} of {whole}, in {}", step_count(count)))
    }

    /// Returns the comparison with other builds of the same targets.
    fn other_builds(&self) -> Option<String> {
        let against = &self.against;
        let mut parts = Vec::new();
        if let Some(median) = against.median {
            let (word, count) = (self.report.result.word(), against.alike);
            parts.push(format!("{count} {word} before, median {}", seconds(median)));
        }
        if let Some((id, result, time)) = &against.previous {
            parts.push(format!("the last one: {} after {} ({id})", result.word(), seconds(*time)));
        }
        (!parts.is_empty()).then(|| parts.join("; "))
    }

    /// Returns steps with a reason of their own; empty if no reason is known.
    pub(crate) fn causes(&self) -> Vec<Why> {
        let step = |index: &usize| name(&self.timeline.rows[*index]);
        let known = |index: &usize| {
            self.timeline.rows[*index]
                .step
                .cause
                .as_ref()
                .is_some_and(|cause| cause.kind != CauseKind::Unknown)
        };
        let all = self.timeline.causes();
        if !all.iter().any(|(first, _)| known(first)) {
            return Vec::new();
        }
        let why = |(first, follow): &(usize, Vec<usize>)| Why {
            step: step(first),
            cause: cause(&self.timeline.rows[*first]),
            follow: follow.iter().map(step).collect(),
        };
        all.iter().map(why).collect()
    }

    /// Returns restored or saved cache mounts.
    pub(crate) fn mounts(&self) -> Vec<MountRow> {
        let row = |mount: &crate::outcome::MountReport| {
            let saved = (mount.saved_bytes > 0).then(|| format!("{} saved", show(mount.saved_bytes)));
            let moved: Vec<String> =
                mount.restored.then(|| "put back".to_owned()).into_iter().chain(saved).collect();
            let growth =
                self.against.size_before(mount).map_or(String::new(), |before| growth(before, mount.bytes));
            let (id, target, size) = (mount.id.clone(), mount.target.clone(), show(mount.bytes));
            MountRow {
                id,
                target,
                size,
                growth,
                moved: if moved.is_empty() { "unchanged".into() } else { moved.join(", ") },
            }
        };
        self.report.cache.mounts.iter().map(row).collect()
    }
}

/// Returns `php: RUN make`, without irrelevant parts.
pub(crate) fn name(row: &TimelineRow<'_>) -> String {
    format!("{}: {}", row.step.stage, instruction(row))
}

/// Returns a step's instruction, without irrelevant parts.
pub(crate) fn instruction(row: &TimelineRow<'_>) -> String {
    one_line(&terminal::plain(&without_mount_flags(&row.step.instruction)), 160)
}

/// Returns the reason of a step in words; empty if it did not run.
pub(crate) fn cause(row: &TimelineRow<'_>) -> String {
    let Some(cause) = row.step.cause.as_ref().filter(|_| !row.step.cached) else { return String::new() };
    let kind = match cause.kind {
        CauseKind::File => "file",
        CauseKind::Arg => "argument",
        CauseKind::Base => "base image",
        CauseKind::Package => "package",
        CauseKind::Instruction => "instruction",
        CauseKind::Mount => "mount",
        CauseKind::Parent => "follows a step that ran",
        CauseKind::Dropped => "removed by the builder",
        CauseKind::New => "new",
        CauseKind::Fresh => "requested to run again",
        CauseKind::Unknown => "not known",
    };
    let detail = terminal::plain(&cause.detail);
    if detail.is_empty() { kind.to_owned() } else { format!("{kind}: {detail}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixtures::report;

    #[test]
    fn facts_and_reasons_are_reported_once() {
        let report = report();
        let mut before = report.clone();
        (before.build, before.seconds) = ("20261124-074743-1fc".into(), 80.0);
        before.cache.mounts[1].bytes = 90_000_000;
        let begun = crate::build_id::begun(&report.build);
        let story = ReportView::of(&report, [&before, &report].into_iter(), begun);
        assert_eq!(story.headline(), "built in 104 s: 5 of 6 steps ran");
        let facts = story.facts();
        let fact = |name: &str| facts.iter().find(|(known, _)| *known == name).map(|(_, text)| text.as_str());
        assert_eq!(fact("began"), Some("2026-11-25 07:47:43 UTC"));
        assert_eq!(fact("critical path"), Some("102 s of 104 s, in 4 steps"));
        assert_eq!(
            fact("other builds"),
            Some("1 built before, median 80 s; the last one: built after 80 s (20261124-074743-1fc)")
        );
        assert_eq!(fact("times"), Some("▁▃"));
        let causes = story.causes();
        assert_eq!(causes.len(), 2);
        assert_eq!((causes[0].cause.as_str(), causes[0].follow.len()), ("file: `lib/php.sh` changed", 3));
        let mounts = story.mounts();
        assert_eq!((mounts[0].moved.as_str(), mounts[0].growth.as_str()), ("put back", "as before"));
        assert_eq!((mounts[1].moved.as_str(), mounts[1].growth.as_str()), ("12.4 MB saved", "+8.0 MB"));
    }

    #[test]
    fn the_step_that_failed_is_known_by_its_name() {
        let mut report = report();
        let error = anyhow::anyhow!("x");
        let mut failure =
            crate::outcome::failure::BuildFailure::of_error(&error, std::path::Path::new("/log"));
        failure.step = Some(format!("[base php 3/3] {}", report.steps[2].instruction));
        report.failure = Some(failure);
        let story = ReportView::of(&report, std::iter::empty(), None);
        let outcomes: Vec<_> = story.timeline.rows.iter().map(|row| story.outcome(row)).collect();
        assert_eq!(outcomes, ["cached", "ran", "failed", "ran", "ran", "ran"]);
    }
}
