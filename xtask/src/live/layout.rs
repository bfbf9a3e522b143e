//! The layout of a running build on a terminal: a line for each running step, and a bar for the
//! whole build. From values to lines, all narrower than the terminal.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::lines::paint;
use crate::host::Size;
use crate::text::clock;

/// A running step.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ScreenRow {
    /// Its stage and instruction.
    pub heading: String,
    /// The time since its start in seconds.
    pub seconds: f64,
    /// The expected time.
    pub expected: Option<f64>,
    /// Its last output, or the transferred bytes.
    pub detail: String,
}

/// A build at one moment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct BuildView {
    /// The time since its start in seconds.
    pub elapsed: f64,
    /// Running steps, in the order of their start.
    pub rows: Vec<ScreenRow>,
    /// The number of completed steps.
    pub done: usize,
    /// The number of known steps.
    pub all: usize,
    /// The completed part from 0 to 1: of the expected time if known, else of the steps.
    pub part: f64,
    /// The expected remaining seconds.
    pub remaining: Option<f64>,
}

/// A line that is kept on the screen.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Stays {
    /// A step, with its mark and the color of the mark.
    Ended {
        mark: (&'static str, &'static str),
        /// The text of the step.
        text: String,
    },
    /// A warning, shown completely.
    Warning(String),
}

impl Stays {
    pub(crate) fn line(&self, size: Size, color: bool) -> String {
        match self {
            Self::Ended { mark: (mark, code), text } => {
                format!("{} {}", paint(mark, code, color), cut(text, size.columns.saturating_sub(3)))
            }
            Self::Warning(text) => format!("warning: {text}"),
        }
    }
}

/// The width below which expected times are left out.
const NARROW: usize = 50;
/// The width up to which a detail has precedence over its heading.
const SHORT: usize = 20;
/// The maximum width of the bar.
const WIDEST_BAR: usize = 40;
/// The minimum width of the bar, below which there is none.
const NARROWEST_BAR: usize = 8;

/// Returns the lines of a view. One column stays free, because a terminal may wrap a full line, and
/// at least half of the height.
pub(crate) fn lines(view: &BuildView, size: Size, color: bool) -> Vec<String> {
    let width = size.columns.saturating_sub(1);
    let most = (size.lines / 2).max(2) - 1;
    let has_expected = size.columns >= NARROW && view.rows.iter().any(|row| row.expected.is_some());
    let shown = if view.rows.len() > most { most.saturating_sub(1) } else { view.rows.len() };
    let mut lines: Vec<String> =
        view.rows.iter().take(shown).map(|row| timed(row, width, has_expected, color)).collect();
    if shown < view.rows.len() {
        lines.push(cut(&format!("      and {} more", view.rows.len() - shown), width));
    }
    lines.push(whole(view, width, color));
    lines
}

/// Returns the line of a side task.
pub(crate) fn line(row: &ScreenRow, size: Size, color: bool) -> String {
    timed(row, size.columns.saturating_sub(1), false, color)
}

/// Returns ` 0:12 of 0:40 php: RUN make | its last output`.
fn timed(row: &ScreenRow, width: usize, has_expected: bool, color: bool) -> String {
    let mut time = format!("{:>5}", clock(row.seconds));
    if has_expected {
        let expected = row.expected.map(|seconds| format!(" of {}", clock(seconds.max(1.0))));
        time.push_str(&format!("{:<8}", expected.unwrap_or_default()));
    }
    let time = cut(&time, width);
    let room = width.saturating_sub(time.width() + 1);
    if room == 0 {
        return time;
    }
    let needs = row.heading.width();
    let detail = row.detail.width();
    let rest = room.saturating_sub(detail + 3);
    let at_most = match detail {
        0 => room,
        // Bytes are shown completely.
        1..=SHORT => rest.max(room / 3),
        _ => rest.max(room * 3 / 5),
    };
    let heading = cut(&row.heading, needs.min(at_most));
    let left = room.saturating_sub(heading.width() + 3);
    let detail = if row.detail.is_empty() || left < detail.min(8) {
        String::new()
    } else {
        format!(" | {}", cut(&row.detail, left))
    };
    format!("{} {heading}{}", paint(&time, "1", color), paint(&detail, "2", color && !detail.is_empty()))
}

/// Returns ` 1:12 [=======>       ] 45% about 1:30 left, 3 of 26 steps`.
fn whole(view: &BuildView, width: usize, color: bool) -> String {
    let time = format!("{:>5} ", clock(view.elapsed));
    let steps = match view.all {
        0 => "starting".into(),
        all if width < NARROW => format!("{}/{all}", view.done),
        all => format!("{} of {all} steps", view.done),
    };
    let rest = match view.remaining {
        Some(left) => format!(" {:>2.0}% {}, {steps}", (view.part * 100.0).floor(), ahead(left)),
        None => format!(" {steps}"),
    };
    let room = width.saturating_sub(time.width() + rest.width() + 2).min(WIDEST_BAR);
    if room < NARROWEST_BAR {
        return cut(&format!("{time}{}", rest.trim_start()), width);
    }
    format!("{time}[{}]{rest}", paint(&bar(view.part, room), "36", color))
}

/// Returns the remaining time, rounded to its precision.
fn ahead(seconds: f64) -> String {
    let step = if seconds >= 60.0 { 5.0 } else { 1.0 };
    let seconds = (seconds / step).round() * step;
    if seconds < 1.0 { "finishing".into() } else { format!("about {} left", clock(seconds)) }
}

fn bar(part: f64, width: usize) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "between 0 and the width of a terminal"
    )]
    let full = (part.clamp(0.0, 1.0) * width as f64) as usize;
    let head = if full < width { ">" } else { "" };
    format!("{:<width$}", format!("{}{head}", "=".repeat(full)))
}

/// Truncates a text to this many columns.
pub(crate) fn cut(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let (mut out, mut used) = (String::new(), 0);
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used + 1 > columns {
            break;
        }
        out.push(c);
    }
    if columns > 0 {
        out.push('…');
    }
    out
}

#[cfg(test)]
#[path = "layout_tests.rs"]
mod tests;
