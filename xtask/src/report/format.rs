//! Text helpers of all report formats.

use jiff::Timestamp;

use crate::text::size::show;

/// Returns a time in UTC, in the form of ids.
pub(crate) fn when(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// A part of a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part<'a> {
    Words(&'a str),
    /// Text between backticks.
    Code(&'a str),
}

/// Splits a sentence into words and code. With an odd number of backticks it is only words.
pub(crate) fn parts(text: &str) -> Vec<Part<'_>> {
    let pieces: Vec<&str> = text.split('`').collect();
    if pieces.len().is_multiple_of(2) {
        return vec![Part::Words(text)];
    }
    let pieces = pieces.into_iter().enumerate().filter(|(index, piece)| index % 2 == 1 || !piece.is_empty());
    pieces.map(|(index, piece)| if index % 2 == 1 { Part::Code(piece) } else { Part::Words(piece) }).collect()
}

/// Returns `+1.2 MB` or `-3 B`.
pub(crate) fn growth(before: u64, now: u64) -> String {
    match now.cmp(&before) {
        std::cmp::Ordering::Equal => "as before".into(),
        std::cmp::Ordering::Greater => format!("+{}", show(now - before)),
        std::cmp::Ordering::Less => format!("-{}", show(before - now)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_between_ticks_is_code() {
        assert_eq!(parts("`a` was ``"), [Part::Code("a"), Part::Words(" was "), Part::Code("")]);
        assert_eq!(parts("an odd ` tick"), [Part::Words("an odd ` tick")]);
    }
}
