//! One pattern of an ignore file, with the meaning that moby's pattern matcher gives it. That
//! matcher turns a pattern into a regular expression of Go, so its corner cases are those of the
//! expression.

use super::program::{Program, program};

/// A pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    /// The pattern without its `!`, cleaned as a path.
    pub(super) text: String,
    /// Whether it brings paths back in.
    pub(super) is_exception: bool,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Exact,
    /// `dir/**`: everything that begins with this many bytes of the text.
    Prefix(usize),
    /// `**/name`: everything that ends with what follows the `**`.
    Suffix,
    Program(Program),
    /// Go cannot compile the expression.
    Invalid,
}

/// An error of a pattern. BuildKit refuses the build for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadPattern;

impl Pattern {
    /// Reads a pattern whose path is cleaned.
    pub(super) fn new(cleaned: &str) -> Result<Self, BadPattern> {
        let (is_exception, text) = cleaned.strip_prefix('!').map_or((false, cleaned), |rest| (true, rest));
        if text.is_empty() || !is_well_formed(text) {
            return Err(BadPattern);
        }
        Ok(Self { text: text.to_owned(), is_exception, kind: kind(text) })
    }

    /// Whether the pattern matches this very path, its parents left aside.
    pub(super) fn matches(&self, path: &str) -> Result<bool, BadPattern> {
        match &self.kind {
            Kind::Exact => Ok(path == self.text),
            Kind::Prefix(length) => Ok(path.starts_with(&self.text[..*length])),
            Kind::Suffix => {
                let suffix = &self.text[2..];
                Ok(path.ends_with(suffix) || suffix.strip_prefix('/') == Some(path))
            }
            Kind::Program(program) => Ok(program.matches(path)),
            Kind::Invalid => Err(BadPattern),
        }
    }

    /// The directory that the pattern is about, without a trailing `/**` or `/*`.
    pub(super) fn directory(&self) -> &str {
        let text = self.text.strip_suffix("/**").unwrap_or(&self.text);
        text.strip_suffix("/*").unwrap_or(text)
    }
}

/// Whether Go's `filepath.Match` accepts the pattern: brackets closed and not empty, nothing
/// escaped at the end.
pub(super) fn is_well_formed(pattern: &str) -> bool {
    let mut rest = pattern.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\\' if rest.next().is_none() => return false,
            '[' => {
                rest.next_if_eq(&'^');
                let mut count = 0;
                while rest.peek().is_some_and(|c| *c != ']' || count == 0) {
                    if !is_bound(&mut rest) {
                        return false;
                    }
                    if rest.next_if_eq(&'-').is_some() && !is_bound(&mut rest) {
                        return false;
                    }
                    count += 1;
                }
                if rest.next().is_none() {
                    return false;
                }
            }
            _ => {}
        }
    }
    true
}

/// Takes one bound of a range in brackets.
fn is_bound(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> bool {
    match rest.next() {
        None | Some('-' | ']') => false,
        Some('\\') => rest.next().is_some() && rest.peek().is_some(),
        Some(_) => rest.peek().is_some(),
    }
}

/// The kind that the matcher takes a pattern for, which is not always what the expression says.
fn kind(text: &str) -> Kind {
    let (mut expression, mut kind) = (String::from("^"), Kind::Exact);
    // Go's scanner skips a byte order mark.
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text).chars().peekable();
    let mut is_first = true;
    while let Some(c) = rest.next() {
        match c {
            '*' if rest.next_if_eq(&'*').is_some() => {
                rest.next_if_eq(&'/');
                if rest.peek().is_some() {
                    expression.push_str("(.*/)?");
                    kind = Kind::Program(Program::default());
                } else if kind == Kind::Exact {
                    kind = Kind::Prefix(text.len() - 2);
                } else {
                    expression.push_str(".*");
                    kind = Kind::Program(Program::default());
                }
                if is_first {
                    kind = Kind::Suffix;
                }
            }
            '*' => {
                expression.push_str("[^/]*");
                kind = Kind::Program(Program::default());
            }
            '?' => {
                expression.push_str("[^/]");
                kind = Kind::Program(Program::default());
            }
            '.' | '+' | '(' | ')' | '|' | '{' | '}' | '$' => expression.extend(['\\', c]),
            '\\' => {
                expression.push('\\');
                if let Some(next) = rest.next() {
                    expression.push(next);
                    kind = Kind::Program(Program::default());
                }
            }
            '[' | ']' => {
                expression.push(c);
                kind = Kind::Program(Program::default());
            }
            _ => expression.push(c),
        }
        is_first = false;
    }
    match kind {
        Kind::Program(_) => program(&expression).map_or(Kind::Invalid, Kind::Program),
        other => other,
    }
}
