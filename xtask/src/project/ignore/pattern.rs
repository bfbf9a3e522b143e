//! One pattern of an ignore file, with the meaning that moby's pattern matcher gives it. That
//! matcher turns a pattern into a regular expression of Go, so its corner cases are those of the
//! expression.

use super::program::Program;

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

/// Whether Go's `filepath.Match` accepts the pattern for the name `.`, as the matcher asks. It
/// looks at no more of a pattern than it needs to.
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

/// Where a chunk without stars ends.
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

/// What is left of a name of at most one character, a dot, after a chunk that fits.
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

/// Takes one bound of a range in brackets, after which something has to follow.
fn bound(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<char, BadPattern> {
    let c = match rest.next() {
        None | Some('-' | ']') => None,
        Some('\\') => rest.next(),
        other => other,
    };
    c.filter(|_| rest.peek().is_some()).ok_or(BadPattern)
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
            // The matcher escapes no more of them.
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
