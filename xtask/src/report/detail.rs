//! One build on a terminal: its result, its steps on a time line, their reasons, its mounts.

use std::fmt::Write;

use super::store::columns;
use super::timeline::TimelineRow;
use super::view::{ReportView, instruction};
use crate::text::{one_line, seconds, terminal};

/// The width of the time line in characters.
const BAR: usize = 24;
/// The maximum width of a step's text.
const TEXT: usize = 72;

/// Returns the whole text.
pub(crate) fn text(story: &ReportView<'_>) -> String {
    let mut text = format!("{}: {}\n", story.report.build, story.headline());
    let facts = story.facts();
    let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, value) in &facts {
        let _ = writeln!(text, "  {name:<width$}  {}", terminal::plain(value));
    }
    if let Some(failure) = &story.report.failure {
        let lines = failure.to_string();
        let lines: Vec<String> = lines.lines().map(terminal::plain).collect();
        let _ = write!(text, "\n{}\n", lines.join("\n"));
    }
    steps(story, &mut text);
    causes(story, &mut text);
    mounts(story, &mut text);
    if !story.report.warnings.is_empty() {
        text.push_str("\nwarnings\n");
        let lines = story.report.warnings.iter().map(|warning| terminal::plain(&warning.replace('\n', " ")));
        lines.for_each(|line| text.push_str(&format!("  {line}\n")));
    }
    text
}

fn steps(story: &ReportView<'_>, text: &mut String) {
    let timeline = &story.timeline;
    if timeline.rows.is_empty() {
        return;
    }
    let mark = if timeline.critical.is_empty() { "" } else { "; * is on the critical path" };
    let scale = timeline.span.map_or(String::new(), |span| format!("; the bars span 0 to {}", seconds(span)));
    let _ = writeln!(text, "\nsteps: start, time, usual time{scale}{mark}");
    for (stage, rows) in &timeline.stages {
        let _ = writeln!(text, "  {stage}");
        for row in rows.iter().map(|index| &timeline.rows[*index]) {
            let _ = writeln!(text, "{}", step(story, row).trim_end());
        }
    }
}

fn step(story: &ReportView<'_>, row: &TimelineRow<'_>) -> String {
    let mark = if row.is_critical { '*' } else { ' ' };
    let bar = story.timeline.span.map_or(String::new(), |span| bar(row, span) + "  ");
    let failed = if story.is_failed(row) { "FAILED: " } else { "" };
    let label = one_line(&format!("{failed}{}", instruction(row)), TEXT);
    if row.step.cached {
        return format!("    {mark} {:>9}  {:>9}  {:>9}  {bar}{label}", "", "cached", "");
    }
    let usual = story.against.usual(row.step).map_or(String::new(), seconds);
    let began = row.step.started.map_or(String::new(), seconds);
    format!("    {mark} {began:>9}  {:>9}  {usual:>9}  {bar}{label}", seconds(row.step.seconds))
}

/// Returns a step's bar on the time line.
fn bar(row: &TimelineRow<'_>, span: f64) -> String {
    let Some((from, to)) = place(row, span) else { return "·".repeat(BAR) };
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "0 to 24"
    )]
    let at = |part: f64| (part * BAR as f64).round() as usize;
    let from = at(from).min(BAR - 1);
    let to = at(to).clamp(from + 1, BAR);
    format!("{}{}{}", "·".repeat(from), "━".repeat(to - from), "·".repeat(BAR - to))
}

/// Returns the start and the end of a step as parts of the whole, or `None` if it did not run.
pub(crate) fn place(row: &TimelineRow<'_>, span: f64) -> Option<(f64, f64)> {
    let started = row.step.started.filter(|_| span > 0.0 && span.is_finite())?;
    let part = |time: f64| (time / span).clamp(0.0, 1.0);
    Some((part(started), part(started + row.step.seconds)))
}

fn causes(story: &ReportView<'_>, text: &mut String) {
    let causes = story.causes();
    if !causes.is_empty() {
        text.push_str("\nwhy steps ran\n");
    }
    for why in causes {
        let _ = writeln!(text, "  {}\n      {}", one_line(&why.step, TEXT), why.cause);
        for step in &why.follow {
            let _ = writeln!(text, "      and so: {}", one_line(step, TEXT));
        }
    }
}

fn mounts(story: &ReportView<'_>, text: &mut String) {
    let mounts = story.mounts();
    if mounts.is_empty() {
        return;
    }
    let mut cells = vec![["  MOUNT", "AT", "SIZE", "GROWTH", "MOVED"].map(str::to_owned)];
    cells.extend(
        mounts
            .into_iter()
            .map(|mount| [format!("  {}", mount.id), mount.target, mount.size, mount.growth, mount.moved]),
    );
    let _ = write!(text, "\ncache mounts\n{}", columns(&cells));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixtures::report;

    #[test]
    fn a_build_as_a_terminal_shows_it() {
        let report = report();
        let text = text(&ReportView::of(&report, std::iter::empty(), None));
        for line in [
            "20261125-074743-1fc: built in 104 s: 5 of 6 steps ran",
            "  critical path    102 s of 104 s, in 4 steps",
            "                  cached             ························  RUN /builder/build-static.sh toolchain",
            "    *     0.7 s       90 s             ━━━━━━━━━━━━━━━━━━━━━···  RUN /builder/build-static.sh php && echo",
            "      file: `lib/php.sh` changed",
            "      and so: runtime: RUN /tmp/install-packages /tmp/runtime-packages",
            "  durango-ccache  /root/.cache/ccache  98.0 MB          12.4 MB saved",
            "  a registry is <down> & out",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}
