//! The recorded builds: one row each, the newest last because a terminal ends there, and a line of
//! bars for the times of each set of targets.

use std::collections::BTreeMap;
use std::fmt::Write;

use jiff::Timestamp;
use serde::Serialize;

use super::comparison::is_done;
use super::sparkline;
use super::store::{age, columns};
use super::timeline::Timeline;
use crate::outcome::BuildReport;
use crate::record::read::{Past, RecordState};
use crate::text::size::show;
use crate::text::{one_line, seconds};

/// The number of bars in a line.
const BARS: usize = 30;
/// The maximum width of targets and reasons.
const TEXT: usize = 40;

/// One build.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct HistoryRow {
    pub id: String,
    /// The start time.
    pub began: Option<Timestamp>,
    pub targets: Vec<String>,
    /// `built`, `cached`, `failed`, `interrupted`, `running`, `unreadable`.
    pub result: &'static str,
    /// Whether bake was called: not where nothing had changed.
    pub bake_called: bool,
    /// Why it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    pub seconds: Option<f64>,
    /// The number of steps that ran.
    pub ran: Option<usize>,
    /// The number of all steps.
    pub steps: Option<usize>,
    /// The saved generation of layers.
    pub saved: Option<String>,
    /// The saved bytes of cache mounts.
    pub mounts_saved_bytes: u64,
}

/// The times of one set of targets.
#[derive(Debug, Clone, Serialize, PartialEq)]
pub(crate) struct Trend {
    pub targets: Vec<String>,
    /// The times of completed builds, the oldest first.
    pub seconds: Vec<f64>,
    pub median: Option<f64>,
}

/// Returns the rows, in the order of `builds`.
pub(crate) fn rows(builds: &[Past]) -> Vec<HistoryRow> {
    builds.iter().map(row).collect()
}

fn row(past: &Past) -> HistoryRow {
    let empty = HistoryRow {
        id: past.id.clone(),
        began: past.begun,
        targets: Vec::new(),
        result: "running",
        bake_called: true,
        problem: None,
        seconds: None,
        ran: None,
        steps: None,
        saved: None,
        mounts_saved_bytes: 0,
    };
    match &past.state {
        RecordState::Running => empty,
        RecordState::Unreadable(why) => {
            HistoryRow { result: "unreadable", problem: Some(why.clone()), ..empty }
        }
        RecordState::Ended(report) => {
            let timeline = Timeline::of(&report.steps);
            HistoryRow {
                targets: targets(report),
                result: report.result.word(),
                bake_called: report.bake_called,
                seconds: Some(report.seconds),
                ran: Some(timeline.ran()),
                steps: Some(timeline.rows.len()),
                saved: report.cache.saved.clone(),
                mounts_saved_bytes: report.cache.mounts.iter().map(|mount| mount.saved_bytes).sum(),
                ..empty
            }
        }
    }
}

fn targets(report: &BuildReport) -> Vec<String> {
    report.targets.iter().map(|target| target.name.clone()).collect()
}

/// Returns a trend for each set of targets, by their names.
pub(crate) fn trends(builds: &[Past]) -> Vec<Trend> {
    let mut times: BTreeMap<Vec<String>, Vec<f64>> = BTreeMap::new();
    for report in builds.iter().filter_map(Past::report).filter(|report| is_done(report)) {
        let mut targets = targets(report);
        targets.sort();
        times.entry(targets).or_default().push(report.seconds);
    }
    let trend = |(targets, seconds): (Vec<String>, Vec<f64>)| Trend {
        median: sparkline::median(seconds.iter().copied()),
        targets,
        seconds,
    };
    times.into_iter().map(trend).collect()
}

/// Returns both as text for a terminal.
pub(crate) fn text(rows: &[HistoryRow], trends: &[Trend], now: Timestamp) -> String {
    if rows.is_empty() {
        return "no build is recorded here\n".into();
    }
    let mut cells = vec![["BUILD", "AGE", "RESULT", "TIME", "RAN", "SAVED", "TARGETS"].map(str::to_owned)];
    cells.extend(rows.iter().map(|row| {
        let problem = row.problem.as_deref().map(|why| format!("({})", one_line(why, TEXT)));
        [
            row.id.clone(),
            row.began.map_or("-".into(), |began| age(now.duration_since(began).as_secs())),
            row.result.to_owned(),
            row.seconds.map_or("-".into(), seconds),
            row.ran.zip(row.steps).map_or("-".into(), |(ran, steps)| match row.bake_called {
                true => format!("{ran}/{steps}"),
                false => "not called".into(),
            }),
            saved(row),
            problem.unwrap_or_else(|| one_line(&row.targets.join(", "), TEXT)),
        ]
    }));
    let mut text = columns(&cells);
    if !trends.is_empty() {
        text.push_str("\ntimes of the builds, the latest last; on a logarithmic scale\n");
    }
    let names: Vec<String> = trends.iter().map(|trend| one_line(&trend.targets.join(", "), TEXT)).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    for (trend, name) in trends.iter().zip(&names) {
        let last = &trend.seconds[trend.seconds.len().saturating_sub(BARS)..];
        let middle = trend.median.map_or(String::new(), seconds);
        let _ = writeln!(text, "  {name:<width$}  {}  median {middle}", sparkline::line(last));
    }
    text
}

/// Returns `534c40353da7 + 12 MB`: layers, then mounts.
fn saved(row: &HistoryRow) -> String {
    let mounts = (row.mounts_saved_bytes > 0).then(|| format!("mounts {}", show(row.mounts_saved_bytes)));
    let layers = row.saved.as_ref().map(|_| "layers".to_owned());
    let parts: Vec<String> = layers.into_iter().chain(mounts).collect();
    if parts.is_empty() { "-".into() } else { parts.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::BuildResult;
    use crate::report::fixtures::report;

    fn past(id: &str, state: RecordState) -> Past {
        Past { id: id.into(), dir: id.into(), begun: crate::build_id::begun(id), state }
    }

    #[test]
    fn each_build_is_a_row_whatever_is_known_of_it() {
        let ended = |id: &str, result, seconds| {
            let report = BuildReport { build: id.into(), result, seconds, ..report() };
            past(id, RecordState::Ended(Box::new(report)))
        };
        let builds = [
            ended("20261123-070000-1", BuildResult::Built, 400.0),
            ended("20261124-070000-1", BuildResult::Cached, 0.5),
            ended("20261125-070000-1", BuildResult::Interrupted, 3.0),
            past("20261125-071000-1", RecordState::Unreadable("a newer version wrote it".into())),
            past("20261125-072000-1", RecordState::Running),
        ];
        let now = crate::build_id::begun("20261125-072010-1").expect("a time");
        let text = text(&rows(&builds), &trends(&builds), now);
        let lines: Vec<&str> = text.lines().collect();
        let words = |line: usize| lines[line].split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(
            words(1),
            "20261123-070000-1 2 d built 6 min 40 s 5/6 layers, mounts 12.4 MB base, runtime"
        );
        assert_eq!(words(4), "20261125-071000-1 10 min unreadable - - - (a newer version wrote it)");
        assert_eq!(words(5), "20261125-072000-1 10 s running - - -");
        assert_eq!(words(8), "base, runtime ▇▁ median 3 min 20 s");
        assert_eq!(super::text(&[], &[], now), "no build is recorded here\n");
    }
}
