//! Variables in a word, with the modifiers that BuildKit knows: `$NAME`, `${NAME:-WORD}`,
//! `${NAME#PATTERN}`, `${NAME/PATTERN/TEXT}`.

use super::super::shell_pattern::ShellPattern;
use super::{Run, Value};

/// The most bytes of a value that patterns are matched with, which takes time quadratic in them. A
/// longer one is unknown.
const LONGEST_MATCHED: usize = 4 << 10;
/// The most braces within braces. BuildKit takes more, and nobody writes them.
const DEEPEST: usize = 50;

impl Run<'_> {
    /// Processes a variable after its `$`.
    pub(super) fn variable(&mut self) -> Option<String> {
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
        let value = match self.matched(name) {
            Ok(value) => value,
            Err(text) => return Some(text.unwrap_or_else(|| format!("${{{name}{operator}{word}}}"))),
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
        let value = match self.matched(name) {
            Ok(value) => value,
            Err(text) => return Some(text.unwrap_or_else(|| format!("${{{name}/{pattern}/{replacement}}}"))),
        };
        Some(ShellPattern::new(&pattern)?.replace(&value, &replacement, is_all))
    }

    /// Returns the value that a pattern is matched with. Without one, returns the text for a value
    /// that is too long, or nothing where the expression stays as it is written.
    fn matched(&mut self, name: &str) -> Result<String, Option<String>> {
        match self.get(name) {
            Value::Set(value) if value.len() <= LONGEST_MATCHED => Ok(value),
            Value::Unset if !self.lexer.keeps_unset => Ok(String::new()),
            Value::Set(_) => {
                self.unknown.insert(name.to_owned());
                Err(Some(format!("${{{name}}}")))
            }
            _ => Err(None),
        }
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
