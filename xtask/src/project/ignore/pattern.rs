//! One pattern of an ignore file, as moby's pattern matcher reads it. That matcher turns a pattern
//! into a Go regular expression, so the expression defines the corner cases.

use super::program::Program;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    /// The pattern without its `!`, normalized as a path.
    pub(super) text: String,
    /// Whether it includes paths again.
    pub(super) is_exception: bool,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Exact,
    /// `dir/**`: everything that begins with this many bytes of the text.
    Prefix(usize),
    /// `**/name`: everything that ends with the text after the `**`.
    Suffix,
    Program(Program),
    /// Go cannot compile the expression.
    Invalid,
}

/// An invalid pattern, for which BuildKit refuses the build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadPattern;

impl Pattern {
    /// Parses a pattern whose path is normalized.
    pub(super) fn new(cleaned: &str) -> Result<Self, BadPattern> {
        let (is_exception, text) = cleaned.strip_prefix('!').map_or((false, cleaned), |rest| (true, rest));
        if text.is_empty() || !is_well_formed(text) {
            return Err(BadPattern);
        }
        Ok(Self { text: text.to_owned(), is_exception, kind: kind(text) })
    }

    /// Returns whether the pattern matches this path itself, without its parents.
    pub(super) fn matches(&self, path: &str) -> Result<bool, BadPattern> {
        match &self.kind {
            Kind::Exact => Ok(path == self.text),
            // As bytes: Go cuts two bytes off a pattern that begins with a byte order mark.
            Kind::Prefix(length) => Ok(path.as_bytes().starts_with(&self.text.as_bytes()[..*length])),
            Kind::Suffix => {
                let (path, suffix) = (path.as_bytes(), &self.text.as_bytes()[2..]);
                Ok(path.ends_with(suffix) || suffix.strip_prefix(b"/") == Some(path))
            }
            Kind::Program(program) => Ok(program.matches(path)),
            Kind::Invalid => Err(BadPattern),
        }
    }

    /// Returns the directory of the pattern, without a trailing `/**` or `/*`.
    pub(super) fn directory(&self) -> &str {
        let text = self.text.strip_suffix("/**").unwrap_or(&self.text);
        text.strip_suffix("/*").unwrap_or(text)
    }
}

/// Returns whether Go's `filepath.Match` accepts the pattern for the name `.`, as the matcher asks.
/// It reads only as much of a pattern as it needs.
fn is_well_formed(pattern: &str) -> bool {
    let (mut rest, mut name) = (pattern, ".");
    while !rest.is_empty() {
        let after_stars = rest.trim_start_matches('*');
        let has_star = after_stars.len() < rest.len();
        let (chunk, after) = after_stars.split_at(chunk_end(after_stars));
        rest = after;
        if has_star && chunk.is_empty() {
            return true;
        }
        match match_chunk(chunk, name) {
            Err(BadPattern) => return false,
            Ok(Some(left)) if left.is_empty() || !rest.is_empty() => {
                name = left;
                continue;
            }
            Ok(_) => {}
        }
        if !has_star || name.is_empty() {
            return true;
        }
        match match_chunk(chunk, "") {
            Err(BadPattern) => return false,
            Ok(Some(_)) => name = "",
            Ok(None) => return true,
        }
    }
    true
}

/// Returns the end of a chunk without stars.
fn chunk_end(text: &str) -> usize {
    let (mut in_brackets, mut is_escaped) = (false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '[' => in_brackets = true,
            ']' => in_brackets = false,
            '*' if !in_brackets => return at,
            _ => {}
        }
    }
    text.len()
}

/// Returns the rest of a name of at most one character, a dot, after a matching chunk.
fn match_chunk<'a>(chunk: &str, name: &'a str) -> Result<Option<&'a str>, BadPattern> {
    let mut rest = chunk.chars().peekable();
    let mut left = Some(name);
    while let Some(c) = rest.next() {
        let here = left.and_then(|left| left.chars().next());
        let fits = match c {
            '[' => {
                let is_negated = rest.next_if_eq(&'^').is_some();
                let (mut count, mut fits) = (0, false);
                while count == 0 || rest.peek() != Some(&']') {
                    let low = bound(&mut rest)?;
                    let high = if rest.next_if_eq(&'-').is_some() { bound(&mut rest)? } else { low };
                    fits |= here.is_some_and(|c| (low..=high).contains(&c));
                    count += 1;
                }
                rest.next();
                fits != is_negated
            }
            '?' => true,
            '\\' => here == Some(rest.next().ok_or(BadPattern)?),
            c => here == Some(c),
        };
        left = left.filter(|left| fits && !left.is_empty()).map(|_| "");
    }
    Ok(left)
}

/// Parses one bound of a range in brackets, which must not end the text.
fn bound(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<char, BadPattern> {
    let c = match rest.next() {
        None | Some('-' | ']') => None,
        Some('\\') => rest.next(),
        other => other,
    };
    c.filter(|_| rest.peek().is_some()).ok_or(BadPattern)
}

/// Returns the kind that the matcher assigns to a pattern, which may differ from the expression.
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
            // The matcher escapes only these.
            '.' | '+' | '(' | ')' | '$' => expression.extend(['\\', c]),
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
        Kind::Program(_) => Program::new(&(expression + "$")).map_or(Kind::Invalid, Kind::Program),
        other => other,
    }
}
