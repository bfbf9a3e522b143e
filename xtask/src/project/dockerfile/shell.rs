//! Words as BuildKit's shell lexer processes them: quotes, escapes, and variables with their
//! modifiers.

mod parameter;

use std::collections::BTreeSet;

/// The state of a variable at an instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Set(String),
    Unset,
    /// A foreign base image may set it.
    Unknown,
}

/// A text with its variables replaced.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Expanded {
    /// The text. A variable with an unknown value is left as written.
    pub(super) text: String,
    /// Variables whose values the file doesn't determine.
    pub(super) unknown: BTreeSet<String>,
    /// Variables that were used.
    pub(super) used: BTreeSet<String>,
}

/// The rules for a text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lexer {
    pub(super) escape: char,
    /// Quotes stay in the text.
    pub(super) keeps_quotes: bool,
    /// Escapes stay in the text.
    pub(super) keeps_escapes: bool,
    /// Quotes are ordinary characters, as in heredocs.
    pub(super) ignores_quotes: bool,
    /// A variable that is not set stays in the text.
    pub(super) keeps_unset: bool,
}

impl Lexer {
    /// Returns the rules for words of instructions.
    pub(super) fn new(escape: char) -> Self {
        Self { escape, keeps_quotes: false, keeps_escapes: false, ignores_quotes: false, keeps_unset: false }
    }

    /// Returns the rules for the content of a heredoc that COPY and ADD expand.
    pub(super) fn heredoc() -> Self {
        Self { ignores_quotes: true, ..Self::new('\\') }
    }

    /// Processes a text. Returns `None` for one that BuildKit refuses.
    pub(super) fn process(self, text: &str, value: &dyn Fn(&str) -> Value) -> Option<Expanded> {
        let mut run = Run {
            lexer: self,
            chars: text.chars().collect(),
            at: 0,
            depth: 0,
            left: LONGEST,
            value,
            unknown: BTreeSet::new(),
            used: BTreeSet::new(),
        };
        let text = run.until(None, self.keeps_escapes)?;
        Some(Expanded { text, unknown: run.unknown, used: run.used })
    }
}

/// Replaces variables and removes quotes and escapes, as BuildKit does with a single word. A word
/// that BuildKit refuses stays unchanged.
pub(super) fn expand(text: &str, escape: char, value: &dyn Fn(&str) -> Value) -> Expanded {
    let expanded = Lexer::new(escape).process(text, value);
    expanded.unwrap_or_else(|| Expanded { text: text.to_owned(), ..Expanded::default() })
}

/// The most bytes of values in one text. A value that exceeds it is unknown: values that hold each
/// other double with each line.
const LONGEST: usize = 64 << 10;

struct Run<'a> {
    lexer: Lexer,
    chars: Vec<char>,
    at: usize,
    /// How many braces are open.
    depth: usize,
    /// How many bytes of values may still be put in.
    left: usize,
    value: &'a dyn Fn(&str) -> Value,
    unknown: BTreeSet<String>,
    used: BTreeSet<String>,
}

impl Run<'_> {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += 1;
        Some(c)
    }

    fn next_if(&mut self, wanted: char) -> bool {
        let fits = self.peek() == Some(wanted);
        self.at += usize::from(fits);
        fits
    }

    /// Processes up to an unquoted character, which is consumed, or to the end.
    fn until(&mut self, end: Option<char>, keeps_escapes: bool) -> Option<String> {
        let mut out = String::new();
        while let Some(c) = self.next() {
            match c {
                _ if Some(c) == end => return Some(out),
                '\'' if !self.lexer.ignores_quotes => self.single_quoted(&mut out)?,
                '"' if !self.lexer.ignores_quotes => self.double_quoted(&mut out, keeps_escapes)?,
                '$' => out.push_str(&self.variable()?),
                _ if c == self.lexer.escape => {
                    out.extend(keeps_escapes.then_some(c));
                    out.extend(self.next());
                }
                _ => out.push(c),
            }
        }
        end.is_none().then_some(out)
    }

    fn single_quoted(&mut self, out: &mut String) -> Option<()> {
        out.extend(self.lexer.keeps_quotes.then_some('\''));
        loop {
            match self.next()? {
                '\'' => break,
                c => out.push(c),
            }
        }
        out.extend(self.lexer.keeps_quotes.then_some('\''));
        Some(())
    }

    fn double_quoted(&mut self, out: &mut String, keeps_escapes: bool) -> Option<()> {
        out.extend(self.lexer.keeps_quotes.then_some('"'));
        loop {
            match self.next()? {
                '"' => break,
                '$' => out.push_str(&self.variable()?),
                c if c == self.lexer.escape => {
                    out.extend(keeps_escapes.then_some(c));
                    match self.peek() {
                        None => {}
                        Some(next) if ['"', '$', self.lexer.escape].contains(&next) => {
                            self.at += 1;
                            out.push(next);
                        }
                        Some(_) => out.push(c),
                    }
                }
                c => out.push(c),
            }
        }
        out.extend(self.lexer.keeps_quotes.then_some('"'));
        Some(())
    }
}

#[cfg(test)]
#[path = "shell_tests.rs"]
mod tests;
