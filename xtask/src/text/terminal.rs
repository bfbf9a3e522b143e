//! Makes foreign text safe to print: text from a build, a bundle, a registry or an engine never
//! controls a terminal or a CI's log parser. Escape sequences, control characters and characters
//! that reorder text are removed. Only colors may pass.

use std::iter::Peekable;
use std::str::Chars;

/// Returns one line without escape sequences and control characters.
pub(crate) fn plain(line: &str) -> String {
    filter(line, false)
}

/// Returns one line without control sequences. With `color`, its colors (SGR sequences) stay, and a
/// line that has some ends with a reset.
pub(crate) fn line(line: &str, color: bool) -> String {
    filter(line, color)
}

/// Returns several lines, each made [`plain`]. None of them is a command to GitHub, because the
/// text may begin a line of the log.
pub(crate) fn lines(text: &str) -> String {
    let lines: Vec<String> = text.split('\n').map(|line| no_command(plain(line))).collect();
    lines.join("\n")
}

/// Returns a line that prints as itself: `::error::x` at the start of a line is a command to
/// GitHub.
pub(crate) fn no_command(line: String) -> String {
    let rest = line.trim_start();
    let Some(name) = rest.strip_prefix("::") else { return line };
    if !name.starts_with(|c: char| c.is_ascii_alphabetic()) || !name.contains("::") {
        return line;
    }
    let indent = &line[..line.len() - rest.len()];
    format!("{indent}: :{name}")
}

/// Returns a JSON document that prints as itself: characters that a terminal or a CI interprets are
/// escaped, which changes no value.
pub(crate) fn json(document: &str) -> String {
    let mut out = String::with_capacity(document.len());
    for c in document.chars() {
        match c {
            '\n' => out.push(c),
            c if is_unsafe(c) => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.replace("##", "#\\u0023")
}

fn filter(line: &str, color: bool) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line.chars().peekable();
    let mut has_color = false;
    while let Some(c) = rest.next() {
        match c {
            '\x1b' => has_color |= escape(&mut rest, color.then_some(&mut out)),
            '\u{9b}' => has_color |= csi(&mut rest, color.then_some(&mut out)),
            '\u{90}' | '\u{98}' | '\u{9d}'..='\u{9f}' => string(&mut rest),
            '\t' => out.push_str("    "),
            c if is_unsafe(c) => {}
            c => out.push(c),
        }
    }
    if has_color {
        out.push_str("\x1b[0m");
    }
    if out.contains("##") { no_marker(&out) } else { out }
}

/// Returns whether a character is a control character, or reorders or breaks lines.
fn is_unsafe(c: char) -> bool {
    let reorders = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2066}'..='\u{2069}');
    let breaks = matches!(c, '\u{2028}'..='\u{202e}');
    c.is_control() || reorders || breaks
}

/// Consumes the rest of an escape sequence. Returns whether it was a color, which is added to
/// `colors`.
fn escape(rest: &mut Peekable<Chars<'_>>, colors: Option<&mut String>) -> bool {
    match rest.peek() {
        Some('[') => {
            rest.next();
            return csi(rest, colors);
        }
        Some(']' | 'P' | 'X' | '^' | '_') => string(rest),
        _ => {
            // Intermediate characters, as of `ESC ( B`, and one that ends the sequence.
            while rest.next_if(|c| (' '..='/').contains(c)).is_some() {}
            rest.next_if(|c| ('0'..='~').contains(c));
        }
    }
    false
}

/// Consumes the rest of a control sequence. A character that cannot be part of one ends it and is
/// kept.
fn csi(rest: &mut Peekable<Chars<'_>>, colors: Option<&mut String>) -> bool {
    let mut inside = String::new();
    while let Some(c) = rest.next_if(|c| (' '..='?').contains(c)) {
        inside.push(c);
    }
    let end = rest.next_if(|c| ('@'..='~').contains(c));
    let is_color = |c: char| c.is_ascii_digit() || c == ';' || c == ':';
    match colors {
        Some(out) if end == Some('m') && inside.chars().all(is_color) => {
            out.push_str(&format!("\x1b[{inside}m"));
            true
        }
        _ => false,
    }
}

/// Consumes a string for the terminal (OSC, DCS, SOS, PM, APC), up to its end or the end of the
/// line.
fn string(rest: &mut Peekable<Chars<'_>>) {
    while let Some(c) = rest.next() {
        match c {
            '\x07' | '\u{9c}' => return,
            '\x1b' => {
                // `ESC \` ends it. Any other sequence does as well, and is checked separately.
                if rest.next_if_eq(&'\\').is_none() {
                    let _ = escape(rest, None);
                }
                return;
            }
            _ => {}
        }
    }
}

/// `##[error]`, `##vso[...]` and the like are commands to CIs anywhere in a line.
fn no_marker(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find("##") {
        let (before, after) = rest.split_at(at + 2);
        out.push_str(before);
        let name = after.trim_start_matches(|c: char| c.is_ascii_alphanumeric());
        if name.starts_with('[') {
            out.push(' ');
        }
        // `###[`: the last two characters are a marker, too.
        rest = after;
        if rest.starts_with('#') {
            out.pop();
            rest = &line[line.len() - rest.len() - 1..];
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_sequence_of_any_kind_is_printed() {
        let table = [
            ("\x1b[1;31merror\x1b[0m: \x1b]0;title\x07gone\x1b[2K\x1b(B\tx\x08", "error: gone    x"),
            ("\x1b]8;;http://u\x1b\\link\x1b]8;;\x1b\\", "link"),
            ("\x1b]52;c;cm0gLXJm\x07a\x1b[6nb\x1b[>4;1mc\x1b[?1049hd", "abcd"),
            ("\x1bPq#0;2;0;0;0\x1b\\a\x1b_Gf=1\x1b\\b\x1b^x\x1b\\c\x1bXy\x1b\\d", "abcd"),
            ("\u{9b}2Ja\u{9d}0;t\u{9c}b\u{90}x\u{9c}c\u{85}d", "abcd"),
            ("\x1bca\x1b7b\x1b#8c\x1b%Gd\x1b", "abcd"),
            ("\x1b[", ""),
            ("\x1b[12\u{e9}", "\u{e9}"),
            ("\x1b]0;never ended", ""),
            ("\x1b]0;cut\x1b[2Ja", "a"),
            ("admin\u{202e}txt.exe\u{2066}\u{200f}\u{61c}\u{2028}x", "admintxt.exex"),
            ("a\r\x1b[0Ksection_start:1:x\r\x1b[0Kb", "asection_start:1:xb"),
        ];
        for (line, expected) in table {
            assert_eq!(plain(line), expected, "{line:?}");
        }
    }

    #[test]
    fn colors_alone_pass_where_they_are_wanted() {
        assert_eq!(line("a \x1b[31;1mred\x1b[0m \x1b[2Jb", true), "a \x1b[31;1mred\x1b[0m b\x1b[0m");
        assert_eq!(line("\x1b[38:5:1mx\u{9b}4my", true), "\x1b[38:5:1mx\x1b[4my\x1b[0m");
        assert_eq!(line("\x1b[>4;1mx\x1b[?25ly\x1b[1 qz", true), "xyz");
        assert_eq!(line("plain", true), "plain");
        assert_eq!(line("\x1b[1mx", false), "x");
    }

    #[test]
    fn commands_to_a_ci_are_no_commands_any_more() {
        let table = [
            ("x ##[add-mask]e", "x ## [add-mask]e"),
            ("##vso[task.setvariable]x", "## vso[task.setvariable]x"),
            ("###[error]x ##[a]##[b]", "### [error]x ## [a]## [b]"),
            ("\x1b[1m#\x1b[0m#[error]", "## [error]"),
            ("## heading ## [x] ##", "## heading ## [x] ##"),
        ];
        for (text, expected) in table {
            assert_eq!(plain(text), expected, "{text:?}");
        }
        assert!(!line("#\x1b[1m#[error]x", true).contains("##["));
        let table = [
            ("a\n::error::x\n  ::add-mask::y", "a\n: :error::x\n  : :add-mask::y"),
            ("::1 is an address, ::ffff:1 too", "::1 is an address, ::ffff:1 too"),
        ];
        for (text, expected) in table {
            assert_eq!(lines(text), expected);
        }
    }

    #[test]
    fn a_json_document_keeps_its_values() {
        let text = serde_json::json!({"a": "##[x] \u{9b}2J \u{202e} ### \u{7f}"}).to_string();
        let shown = json(&text);
        assert!(!shown.contains("##") && !shown.contains(is_unsafe), "{shown}");
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
        assert_eq!(read(&shown), read(&text));
    }
}
