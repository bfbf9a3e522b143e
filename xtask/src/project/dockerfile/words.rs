//! Words of an instruction: flags, `NAME=value` lists, and variables as BuildKit's shell lexer expands them.

use std::collections::BTreeSet;

/// A variable's state where an instruction stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// It is this.
    Set(String),
    /// It is not set.
    Unset,
    /// A foreign base image may set it.
    Unknown,
}

/// A text with its variables replaced.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Expanded {
    /// The text; unknown variables are empty in it.
    pub(super) text: String,
    /// Variables whose value cannot be known from the file.
    pub(super) unknown: BTreeSet<String>,
}

/// Flags at the start, as `--mount=...`, without their dashes and quotes; and the rest.
pub(super) fn flags(text: &str, escape: char) -> (Vec<(String, String)>, &str) {
    let (mut found, mut rest) = (Vec::new(), text);
    while rest.starts_with("--") {
        let (word, after) = first_word(rest, escape);
        let bare = unquote(word, escape);
        rest = after.trim_start();
        if bare == "--" {
            break;
        }
        let (name, value) = bare[2..].split_once('=').unwrap_or((&bare[2..], ""));
        found.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    (found, rest)
}

/// Words, split at spaces outside quotes; quotes stay.
pub(super) fn split(text: &str, escape: char) -> Vec<&str> {
    let (mut words, mut rest) = (Vec::new(), text.trim_start());
    while !rest.is_empty() {
        let (word, after) = first_word(rest, escape);
        words.push(word);
        rest = after.trim_start();
    }
    words
}

fn first_word(text: &str, escape: char) -> (&str, &str) {
    let (mut quote, mut escaped) = (None, false);
    for (at, c) in text.char_indices() {
        match quote {
            _ if escaped => escaped = false,
            _ if c == escape && quote != Some('\'') => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '\'' || c == '"' => quote = Some(c),
            None if c.is_whitespace() => return text.split_at(at),
            None => {}
        }
    }
    (text, "")
}

/// Quotes and escapes taken away, variables left.
fn unquote(text: &str, escape: char) -> String {
    let (mut out, mut quote, mut chars) = (String::new(), None, text.chars());
    while let Some(c) = chars.next() {
        match quote {
            _ if c == escape && quote != Some('\'') => out.extend(chars.next()),
            Some(open) if c == open => quote = None,
            None if c == '\'' || c == '"' => quote = Some(c),
            _ => out.push(c),
        }
    }
    out
}

/// `NAME=value ...` as ENV takes them, values as written, or the old `NAME the rest of the line`.
pub(super) fn pairs(rest: &str, escape: char) -> Vec<(String, Option<String>)> {
    let words = split(rest, escape);
    if words.len() > 1 && !words[0].contains('=') {
        return vec![(words[0].to_owned(), Some(rest[words[0].len()..].trim().to_owned()))];
    }
    names(&words)
}

/// `NAME`, `NAME=value`, in any order, as ARG takes them.
pub(super) fn arguments(rest: &str, escape: char) -> Vec<(String, Option<String>)> {
    names(&split(rest, escape))
}

fn names(words: &[&str]) -> Vec<(String, Option<String>)> {
    let pair = |word: &&str| match word.split_once('=') {
        Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
        None => ((*word).to_owned(), None),
    };
    words.iter().map(pair).collect()
}

/// Replaces variables and takes quotes and escapes away, as BuildKit does with a single word.
pub(super) fn expand(text: &str, escape: char, value: &dyn Fn(&str) -> Value) -> Expanded {
    let mut lexer = Lexer { chars: text.chars().collect(), at: 0, escape, value, unknown: BTreeSet::new() };
    let text = lexer.until(None);
    Expanded { text, unknown: lexer.unknown }
}

struct Lexer<'a> {
    chars: Vec<char>,
    at: usize,
    escape: char,
    value: &'a dyn Fn(&str) -> Value,
    unknown: BTreeSet<String>,
}

impl Lexer<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.chars.get(self.at).copied();
        self.at += usize::from(c.is_some());
        c
    }

    /// Up to a character outside quotes, which is consumed, or the end.
    fn until(&mut self, end: Option<char>) -> String {
        let (mut out, mut double) = (String::new(), false);
        while let Some(c) = self.next() {
            match c {
                _ if Some(c) == end && !double => break,
                '\'' if !double => {
                    while let Some(c) = self.next().filter(|c| *c != '\'') {
                        out.push(c);
                    }
                }
                '"' => double = !double,
                '$' => out.push_str(&self.variable()),
                _ if c == self.escape => match self.next() {
                    Some(next) if double && !['"', '$', self.escape].contains(&next) => out.extend([c, next]),
                    next => out.extend(next),
                },
                _ => out.push(c),
            }
        }
        out
    }

    /// After a `$`.
    fn variable(&mut self) -> String {
        if self.chars.get(self.at) == Some(&'{') {
            self.at += 1;
            return self.braced();
        }
        let name = self.name();
        if name.is_empty() { "$".to_owned() } else { self.get(&name).unwrap_or_default() }
    }

    fn name(&mut self) -> String {
        let rest = &self.chars[self.at..];
        let is_name = |(at, c): &(usize, &char)| {
            **c == '_' || c.is_ascii_alphabetic() || (*at > 0 && c.is_ascii_digit())
        };
        let name: String = rest.iter().enumerate().take_while(is_name).map(|(_, c)| *c).collect();
        self.at += name.chars().count();
        name
    }

    fn braced(&mut self) -> String {
        let name = self.name();
        let colon = self.chars.get(self.at) == Some(&':');
        self.at += usize::from(colon);
        let operator = self.next();
        if operator == Some('}') {
            return self.get(&name).unwrap_or_default();
        }
        let before = self.unknown.len();
        let value = self.get(&name);
        let is_known = self.unknown.len() == before;
        let there = value.as_ref().is_some_and(|value| !colon || !value.is_empty());
        let seen = self.unknown.clone();
        let word = self.until(Some('}'));
        match operator {
            Some('-') if there => {
                self.unknown = seen;
                value.unwrap_or_default()
            }
            Some('-') => word,
            Some('+') if there => word,
            Some('+') => {
                self.unknown = seen;
                String::new()
            }
            Some('?') => value.unwrap_or_default(),
            // Patterns (`#`, `%`, `/`) are BuildKit's newer ones; who uses them in a mount is told so.
            _ => {
                if is_known {
                    self.unknown.insert(name);
                }
                String::new()
            }
        }
    }

    fn get(&mut self, name: &str) -> Option<String> {
        match (self.value)(name) {
            Value::Set(value) => Some(value),
            Value::Unset => None,
            Value::Unknown => {
                self.unknown.insert(name.to_owned());
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(name: &str) -> Value {
        match name {
            "X" => Value::Set("x".into()),
            "E" => Value::Set(String::new()),
            "B" => Value::Unknown,
            _ => Value::Unset,
        }
    }

    #[test]
    fn variables_as_buildkit_expands_them() {
        for (text, expected) in [
            ("a-$X-b", "a-x-b"),
            ("${X}y", "xy"),
            ("$Xy", ""),
            ("$U", ""),
            ("${U:-d}", "d"),
            ("${E:-d}", "d"),
            ("${E-d}", ""),
            ("${X:-d}", "x"),
            ("${X:+p}", "p"),
            ("${U:+p}", ""),
            ("${E+p}", "p"),
            ("${X:?no}", "x"),
            ("${U:-${X}/y}", "x/y"),
            ("${U:-\"}\"}", "}"),
            ("'$X'", "$X"),
            ("\"$X\"", "x"),
            ("\\$X", "$X"),
            ("\"a\\b\"", "a\\b"),
            ("$", "$"),
            ("100%", "100%"),
        ] {
            let found = expand(text, '\\', &value);
            assert_eq!((found.text.as_str(), found.unknown.len()), (expected, 0), "{text}");
        }
    }

    #[test]
    fn what_a_foreign_image_sets_is_named() {
        for (text, unknown) in
            [("$B/x", 1), ("${B:-d}", 1), ("${X:-$B}", 0), ("${U:+$B}", 0), ("${U:-$B}", 1), ("${X#p}", 1)]
        {
            assert_eq!(expand(text, '\\', &value).unknown.len(), unknown, "{text}");
        }
    }

    #[test]
    fn names_and_values() {
        let shown = |pairs: Vec<(String, Option<String>)>| {
            let one =
                |(name, value): (String, Option<String>)| format!("{name}={}", value.unwrap_or("-".into()));
            pairs.into_iter().map(one).collect::<Vec<_>>().join(" | ")
        };
        assert_eq!(shown(pairs("A=1 B=\"2 3\"", '\\')), "A=1 | B=\"2 3\"");
        assert_eq!(shown(pairs("A the rest", '\\')), "A=the rest");
        assert_eq!(shown(arguments("A B=1", '\\')), "A=- | B=1");
    }
}
