//! What a terminal shows of a build that runs: a line for each running step, and a bar for the
//! whole. From values to lines, none as wide as the terminal.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::lines::paint;
use crate::host::Size;
use crate::text::clock;

/// Something that runs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ScreenRow {
    /// Its stage and instruction.
    pub heading: String,
    /// How long it has been running.
    pub seconds: f64,
    /// How long it is expected to run.
    pub expected: Option<f64>,
    /// Its last output, or the bytes that it moves.
    pub detail: String,
}

/// A build at one moment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct BuildView {
    /// How long it has been running.
    pub elapsed: f64,
    /// What runs, in the order in which it began.
    pub rows: Vec<ScreenRow>,
    /// Steps that are done.
    pub done: usize,
    /// Steps that are known.
    pub all: usize,
    /// How much of it is done, from 0 to 1: of its time where that is foreseen, else of its steps.
    pub part: f64,
    /// Seconds that it is foreseen to take still.
    pub remaining: Option<f64>,
}

/// A line that stays when what it tells of is over.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Stays {
    /// A step, with its mark and that one's colour.
    Ended {
        /// The mark.
        mark: (&'static str, &'static str),
        /// What is said of the step.
        text: String,
    },
    /// A warning, which is shown whole.
    Warning(String),
}

impl Stays {
    /// Its line.
    pub(crate) fn line(&self, size: Size, color: bool) -> String {
        match self {
            Self::Ended { mark: (mark, code), text } => {
                format!("{} {}", paint(mark, code, color), cut(text, size.columns.saturating_sub(3)))
            }
            Self::Warning(text) => format!("warning: {text}"),
        }
    }
}

/// Below this width there is no room for expected times.
const NARROW: usize = 50;
/// A detail of this width and less goes before its heading.
const SHORT: usize = 20;
/// No bar is wider.
const WIDEST_BAR: usize = 40;
/// No bar is narrower, else there is none.
const NARROWEST_BAR: usize = 8;

/// The lines of a view. One column stays free, since a terminal may break a line that fills it; of
/// its height, at least half.
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

/// The line of something that is done beside a build.
pub(crate) fn line(row: &ScreenRow, size: Size, color: bool) -> String {
    timed(row, size.columns.saturating_sub(1), false, color)
}

/// ` 0:12 of 0:40 php: RUN make | its last output`.
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
        // Bytes are shown whole.
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

/// ` 1:12 [=======>       ] 45% about 1:30 left, 3 of 26 steps`.
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

/// What is left, no more exact than it can be known.
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

/// The beginning of a text, as many columns of it as there are.
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
