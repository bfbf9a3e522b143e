//! From lines to what a terminal is sent: the lines of before are written over, not wiped, so
//! nothing flickers; other lines go above them and stay.

use std::fmt::Write;

use unicode_width::UnicodeWidthStr;

use crate::text::terminal;

/// What stands on the terminal.
#[derive(Debug, Default)]
pub(crate) struct Painter {
    /// The width of each line that was drawn, and of the terminal then.
    drawn: (Vec<usize>, usize),
    last: Vec<String>,
}

impl Painter {
    /// What makes the terminal, now so wide, show `frame` in place of the last one, with `above`
    /// above it; nothing where it shows that.
    pub(crate) fn paint(&mut self, above: &[String], frame: Vec<String>, columns: usize) -> Option<String> {
        let is_resized = self.drawn.1 != columns && !self.drawn.0.is_empty();
        if above.is_empty() && frame == self.last && !is_resized {
            return None;
        }
        let up = self.height(columns);
        let mut out = back(up);
        // Lines that a narrower terminal broke must go as a whole.
        if is_resized {
            out.push_str(&wipe(up));
        }
        for line in above.iter().chain(&frame) {
            let _ = write!(out, "{line}\x1b[K\r\n");
        }
        out.push_str(&wipe(up.saturating_sub(above.len() + frame.len())));
        // Where somebody typed.
        out.push_str("\x1b[K");
        self.drawn = (frame.iter().map(|line| terminal::plain(line).width()).collect(), columns);
        self.last = frame;
        Some(out)
    }

    /// How many lines the last frame takes now. Most terminals break lines that no longer fit when
    /// they are made narrower.
    fn height(&self, columns: usize) -> usize {
        self.drawn.0.iter().map(|width| width.div_ceil(columns.max(1)).max(1)).sum()
    }
}

/// To the beginning of the line so many lines above.
fn back(lines: usize) -> String {
    if lines > 0 { format!("\r\x1b[{lines}A") } else { "\r".into() }
}

/// Empties so many lines and stays at the first. One by one, since some terminals keep what
/// `\x1b[J` empties from their first line on.
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
