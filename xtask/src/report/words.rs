//! Words that every form of a report shares.

use jiff::Timestamp;

use crate::text::size::show;

/// A moment, in UTC as ids have it.
pub fn when(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// A text as a page or a terminal can show it: without the sequences that move a cursor and other control characters.
pub fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' if chars.peek() == Some(&'[') => {
                chars.next();
                while chars.next().is_some_and(|c| !('@'..='~').contains(&c)) {}
            }
            '\t' => out.push(' '),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

/// A piece of a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'a> {
    /// Words.
    Words(&'a str),
    /// What stood between ticks.
    Code(&'a str),
}

/// A sentence as words and code; one with an odd tick is words.
pub fn parts(text: &str) -> Vec<Part<'_>> {
    let pieces: Vec<&str> = text.split('`').collect();
    if pieces.len().is_multiple_of(2) {
        return vec![Part::Words(text)];
    }
    let pieces = pieces.into_iter().enumerate().filter(|(index, piece)| index % 2 == 1 || !piece.is_empty());
    pieces.map(|(index, piece)| if index % 2 == 1 { Part::Code(piece) } else { Part::Words(piece) }).collect()
}

/// `+1.2 MB` or `-3 B`.
pub fn growth(before: u64, now: u64) -> String {
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

    #[test]
    fn control_characters_do_not_reach_a_reader() {
        assert_eq!(clean("\u{1b}[31;1mred\u{1b}[0m \u{7}\ta\u{1b}[2J\u{0}"), "red  a");
        assert_eq!(clean("cut \u{1b}["), "cut ");
    }
}
