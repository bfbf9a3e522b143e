//! Words as BuildKit's shell lexer processes them: quotes, escapes, and variables with their
//! modifiers.

use std::collections::BTreeSet;

use super::shell_pattern::ShellPattern;

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
/// The most bytes of a value that patterns are matched with, which takes time quadratic in them. A
/// longer one is unknown.
const LONGEST_MATCHED: usize = 4 << 10;
/// The most braces within braces. BuildKit takes more, and nobody writes them.
const DEEPEST: usize = 50;

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

    /// Processes a variable after its `$`.
    fn variable(&mut self) -> Option<String> {
        if self.next_if('{') {
            return self.braced();
        }
        let name = self.name();
        if name.is_empty() {
            return Some("$".to_owned());
        }
        Some(match self.get(&name) {
            Value::Set(value) => value,
            Value::Unset if self.lexer.keeps_unset => format!("${name}"),
            Value::Unset => String::new(),
            Value::Unknown => format!("${{{name}}}"),
        })
    }

    fn name(&mut self) -> String {
        let first = self.peek();
        if first.is_some_and(|c| "@*#?-$!".contains(c)) {
            self.at += 1;
            return first.map(String::from).unwrap_or_default();
        }
        let is_number = first.is_some_and(char::is_numeric);
        let rest = self.chars[self.at..].iter();
        let is_part = |c: &&char| if is_number { c.is_numeric() } else { **c == '_' || c.is_alphanumeric() };
        let name: String = rest.take_while(is_part).collect();
        self.at += name.chars().count();
        name
    }

    fn braced(&mut self) -> Option<String> {
        self.depth += 1;
        let found = if self.depth > DEEPEST { None } else { self.parameter() };
        self.depth -= 1;
        found
    }

    fn parameter(&mut self) -> Option<String> {
        if matches!(self.peek()?, '{' | '}' | ':') {
            return None;
        }
        let name = self.name();
        let has_colon = self.next_if(':');
        match self.next()? {
            '}' if !has_colon => Some(match self.get(&name) {
                Value::Set(value) => value,
                Value::Unset if !self.lexer.keeps_unset => String::new(),
                _ => format!("${{{name}}}"),
            }),
            operator @ ('-' | '+' | '?') => self.conditional(&name, has_colon, operator),
            operator @ ('#' | '%') if !has_colon => self.trimmed(&name, operator),
            '/' if !has_colon => self.replaced(&name),
            _ => None,
        }
    }

    fn conditional(&mut self, name: &str, has_colon: bool, operator: char) -> Option<String> {
        let before = self.unknown.clone();
        let word = self.until(Some('}'), false)?;
        let colon = if has_colon { ":" } else { "" };
        let written = format!("${{{name}{colon}{operator}{word}}}");
        let after = std::mem::replace(&mut self.unknown, before);
        let value = match self.get(name) {
            Value::Unset if self.lexer.keeps_unset => return Some(written),
            Value::Unknown => {
                self.unknown.extend(after);
                return Some(written);
            }
            Value::Set(value) => Some(value).filter(|value| !has_colon || !value.is_empty()),
            Value::Unset => None,
        };
        let is_word = (operator == '+') == value.is_some();
        if is_word && operator != '?' {
            self.unknown = after;
            return Some(word);
        }
        match operator {
            '?' => value,
            '+' => Some(String::new()),
            _ => value,
        }
    }

    fn trimmed(&mut self, name: &str, operator: char) -> Option<String> {
        let word = self.until(Some('}'), true)?;
        let value = match self.get(name) {
            Value::Set(value) if value.len() <= LONGEST_MATCHED => value,
            Value::Unset if !self.lexer.keeps_unset => String::new(),
            Value::Set(_) => return Some(self.unmatched(name)),
            _ => return Some(format!("${{{name}{operator}{word}}}")),
        };
        let (is_longest, pattern) =
            word.strip_prefix(operator).map_or((false, word.as_str()), |pattern| (true, pattern));
        let pattern = ShellPattern::new(pattern)?;
        let trimmed = if operator == '#' {
            pattern.without_prefix(&value, is_longest)
        } else {
            pattern.without_suffix(&value, is_longest)
        };
        Some(trimmed.to_owned())
    }

    fn replaced(&mut self, name: &str) -> Option<String> {
        let is_all = self.next_if('/');
        let pattern = self.until(Some('/'), true)?;
        let replacement = self.until(Some('}'), true)?;
        let value = match self.get(name) {
            Value::Set(value) if value.len() <= LONGEST_MATCHED => value,
            Value::Unset if !self.lexer.keeps_unset => String::new(),
            Value::Set(_) => return Some(self.unmatched(name)),
            _ => return Some(format!("${{{name}/{pattern}/{replacement}}}")),
        };
        Some(ShellPattern::new(&pattern)?.replace(&value, &replacement, is_all))
    }

    /// Returns the text for a value that is too long for a pattern.
    fn unmatched(&mut self, name: &str) -> String {
        self.unknown.insert(name.to_owned());
        format!("${{{name}}}")
    }

    fn get(&mut self, name: &str) -> Value {
        let mut value = (self.value)(name);
        if let Value::Set(text) = &value {
            match self.left.checked_sub(text.len()) {
                Some(left) => self.left = left,
                None => value = Value::Unknown,
            }
        }
        self.used.insert(name.to_owned());
        if value == Value::Unknown {
            self.unknown.insert(name.to_owned());
        }
        value
    }
}

#[cfg(test)]
#[path = "shell_tests.rs"]
mod tests;
