//! Turns lines into terminal output. The previous lines are overwritten instead of cleared, so
//! nothing flickers. Other lines are inserted above them.

use std::fmt::Write;

use unicode_width::UnicodeWidthStr;

use crate::text::terminal;

/// The current content of the terminal.
#[derive(Debug, Default)]
pub(crate) struct Painter {
    /// The width of each drawn line, and of the terminal at that time.
    drawn: (Vec<usize>, usize),
    last: Vec<String>,
}

impl Painter {
    /// Returns the output that makes a terminal of this width show `frame` in place of the last
    /// one, with `above` above it; empty if it already does.
    pub(crate) fn paint(&mut self, above: &[String], frame: Vec<String>, columns: usize) -> Option<String> {
        let is_resized = self.drawn.1 != columns && !self.drawn.0.is_empty();
        if above.is_empty() && frame == self.last && !is_resized {
            return None;
        }
        let up = self.height(columns);
        let mut out = back(up);
        // Lines that a narrower terminal wrapped must be removed completely.
        if is_resized {
            out.push_str(&wipe(up));
        }
        for line in above.iter().chain(&frame) {
            let _ = write!(out, "{line}\x1b[K\r\n");
        }
        out.push_str(&wipe(up.saturating_sub(above.len() + frame.len())));
        // Removes typed characters.
        out.push_str("\x1b[K");
        self.drawn = (frame.iter().map(|line| terminal::plain(line).width()).collect(), columns);
        self.last = frame;
        Some(out)
    }

    /// Returns the current number of lines of the last frame. Most terminals wrap long lines when
    /// they become narrower.
    fn height(&self, columns: usize) -> usize {
        self.drawn.0.iter().map(|width| width.div_ceil(columns.max(1)).max(1)).sum()
    }
}

/// Returns the sequence that moves up by this many lines.
fn back(lines: usize) -> String {
    if lines > 0 { format!("\r\x1b[{lines}A") } else { "\r".into() }
}

/// Returns the sequence that clears this many lines and stays at the first. One by one, because
/// some terminals keep the first line that `\x1b[J` clears.
fn wipe(lines: usize) -> String {
    if lines > 0 { "\x1b[2K\x1b[B".repeat(lines) + &back(lines) } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|line| (*line).to_owned()).collect()
    }

    #[test]
    fn lines_are_written_over_and_what_stays_goes_above() {
        let mut painter = Painter::default();
        let first = painter.paint(&[], lines(&["one", "bar"]), 60).expect("drawn");
        assert_eq!(first, "\rone\x1b[K\r\nbar\x1b[K\r\n\x1b[K");
        assert_eq!(painter.paint(&[], lines(&["one", "bar"]), 60), None, "nothing changed");
        let second = painter.paint(&lines(&["done"]), lines(&["bar"]), 60).expect("drawn");
        assert_eq!(second, "\r\x1b[2Adone\x1b[K\r\nbar\x1b[K\r\n\x1b[K");
        let end = painter.paint(&[], Vec::new(), 60).expect("drawn");
        assert_eq!(end, "\r\x1b[1A\x1b[2K\x1b[B\r\x1b[1A\x1b[K");
        assert_eq!(painter.paint(&[], Vec::new(), 80), None, "nothing is left to be drawn anew");
    }

    #[test]
    fn lines_that_a_narrower_terminal_broke_are_taken_back() {
        let mut painter = Painter::default();
        let long = format!("\x1b[1m{}\x1b[0m", "x".repeat(100));
        painter.paint(&[], vec![long, "bar".into()], 120);
        let narrow = painter.paint(&[], lines(&["x", "bar"]), 60).expect("drawn");
        assert!(
            narrow.starts_with(&format!("\r\x1b[3A{}\r\x1b[3Ax\x1b[K", "\x1b[2K\x1b[B".repeat(3))),
            "{narrow:?}"
        );
        let wide = painter.paint(&[], lines(&["x", "bar"]), 120).expect("drawn again");
        assert!(wide.starts_with("\r\x1b[2A\x1b[2K"), "{wide:?}");
    }
}
