//! Parses a regular expression into items, for the part of Go's syntax that occurs in patterns.

use super::program::{Class, Item};

/// Returns the alternatives of an expression, or `None` for one that Go refuses.
pub(super) fn alternatives(expression: &str) -> Option<Vec<Vec<Item>>> {
    let mut parser = Parser { rest: expression };
    let mut found = vec![Vec::new()];
    // Whether the last item may be repeated.
    let mut is_atom = false;
    while let Some(c) = parser.next() {
        let items = found.last_mut()?;
        if let Some((low, high)) = (c == '{').then(|| parser.bounds()).flatten() {
            let is_too_large = |count: usize| count > MAX_REPEATS;
            if !is_atom || is_too_large(low) || high.is_some_and(|high| is_too_large(high) || high < low) {
                return None;
            }
            let item = items.pop()?;
            repeat(items, &item, low, high);
            is_atom = false;
            continue;
        }
        is_atom = true;
        match c {
            '|' => {
                found.push(Vec::new());
                is_atom = false;
            }
            '^' => items.push(Item::Start),
            '$' => items.push(Item::End),
            '.' => {
                parser.take("*")?;
                items.push(Item::many(Class::all_but('\n')));
                is_atom = false;
            }
            '(' => {
                parser.take(".*/)?")?;
                items.extend([Item::Maybe, Item::UpToSlash]);
                is_atom = false;
            }
            '[' => {
                let class = parser.class()?;
                let is_many = parser.take("*").is_some();
                items.push(if is_many { Item::many(class) } else { Item::one(class) });
                is_atom = !is_many;
            }
            '\\' => items.push(parser.escape()?),
            _ => items.push(Item::one(Class::one(c))),
        }
    }
    Some(found)
}

/// The maximum number of repetitions.
const MAX_REPEATS: usize = 1000;

fn repeat(items: &mut Vec<Item>, item: &Item, low: usize, high: Option<usize>) {
    items.extend(std::iter::repeat_n(item.clone(), low));
    let Item::One(class) = item else { return };
    match high {
        None => items.push(Item::Many(class.clone())),
        Some(high) => {
            for _ in low..high {
                items.extend([Item::Maybe, item.clone()]);
            }
        }
    }
}

struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    fn take(&mut self, text: &str) -> Option<()> {
        self.rest = self.rest.strip_prefix(text)?;
        Some(())
    }

    /// Parses the bounds of a repetition after its brace. With other text the brace is a character.
    fn bounds(&mut self) -> Option<(usize, Option<usize>)> {
        let (inside, rest) = self.rest.split_once('}')?;
        let number = |text: &str| {
            let is_number = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
            let has_zero = text.len() > 1 && text.starts_with('0');
            (is_number && !has_zero).then(|| text.parse().unwrap_or(usize::MAX))
        };
        let bounds = match inside.split_once(',') {
            None => (number(inside)?, Some(number(inside)?)),
            Some((low, "")) => (number(low)?, None),
            Some((low, high)) => (number(low)?, Some(number(high)?)),
        };
        self.rest = rest;
        Some(bounds)
    }

    /// Parses after a backslash outside brackets.
    fn escape(&mut self) -> Option<Item> {
        match self.rest.chars().next()? {
            'A' => self.next().map(|_| Item::Start),
            'z' => self.next().map(|_| Item::End),
            'b' => self.next().map(|_| Item::Boundary(true)),
            'B' => self.next().map(|_| Item::Boundary(false)),
            _ => match self.perl_class() {
                Some((ranges, is_negated)) => Some(Item::one(Class { ranges, is_negated })),
                None => Some(Item::one(Class::one(self.character()?))),
            },
        }
    }

    /// Parses `\d` and the like after the backslash: the ranges, and whether they are negated.
    fn perl_class(&mut self) -> Option<(Vec<(char, char)>, bool)> {
        let c = self.rest.chars().next()?;
        let ranges = match c.to_ascii_lowercase() {
            'd' => vec![('0', '9')],
            's' => vec![('\t', '\n'), ('\u{c}', '\r'), (' ', ' ')],
            'w' => vec![('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')],
            _ => return None,
        };
        self.next();
        Some((ranges, c.is_ascii_uppercase()))
    }

    /// Parses an escaped character after the backslash.
    fn character(&mut self) -> Option<char> {
        let c = self.next()?;
        let is_octal = |c: char| ('0'..='7').contains(&c);
        match c {
            '1'..='7' if !self.rest.starts_with(is_octal) => None,
            '0'..='7' => {
                let mut value = c.to_digit(8)?;
                for _ in 0..2 {
                    let Some(digit) = self.rest.chars().next().and_then(|c| c.to_digit(8)) else { break };
                    value = value * 8 + digit;
                    self.next();
                }
                char::from_u32(value)
            }
            'x' => {
                let (high, low) = (self.next()?.to_digit(16)?, self.next()?.to_digit(16)?);
                char::from_u32(high * 16 + low)
            }
            'a' => Some('\u{7}'),
            'f' => Some('\u{c}'),
            'n' => Some('\n'),
            'r' => Some('\r'),
            't' => Some('\t'),
            'v' => Some('\u{b}'),
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => Some(c),
            _ => None,
        }
    }

    /// Parses after an opening bracket.
    fn class(&mut self) -> Option<Class> {
        let mut class = Class { is_negated: self.take("^").is_some(), ..Class::default() };
        let mut is_first = true;
        while is_first || !self.rest.starts_with(']') {
            is_first = false;
            if let Some(name) = self.rest.strip_prefix("[:")
                && let Some((name, rest)) = name.split_once(":]")
            {
                let (ranges, is_negated) = named(name)?;
                class.add(ranges, is_negated);
                self.rest = rest;
                continue;
            }
            if let Some(escaped) = self.rest.strip_prefix('\\') {
                let mut inner = Parser { rest: escaped };
                if let Some((ranges, is_negated)) = inner.perl_class() {
                    self.rest = inner.rest;
                    class.add(ranges, is_negated);
                    continue;
                }
            }
            let from = self.member()?;
            let is_range = self.rest.starts_with('-') && !self.rest.starts_with("-]");
            let to = if is_range && self.rest.len() > 1 {
                self.next();
                self.member()?
            } else {
                from
            };
            if to < from {
                return None;
            }
            class.ranges.push((from, to));
        }
        self.next();
        Some(class)
    }

    /// Parses a bound of a glob's range.
    fn bound(&mut self) -> Option<char> {
        match self.next()? {
            '-' | ']' => None,
            '\\' => self.next(),
            c => Some(c),
        }
    }

    fn member(&mut self) -> Option<char> {
        match self.next()? {
            '\\' => self.character(),
            c => Some(c),
        }
    }
}

impl Class {
    /// Adds ranges, or everything outside them.
    fn add(&mut self, mut ranges: Vec<(char, char)>, all_others: bool) {
        if !all_others {
            self.ranges.append(&mut ranges);
            return;
        }
        ranges.sort_unstable();
        let mut from = Some('\0');
        for (low, high) in ranges {
            let end = (low > '\0').then(|| char::from_u32(u32::from(low) - 1)).flatten();
            if let (Some(from), Some(end)) = (from, end)
                && from <= end
            {
                self.ranges.push((from, end));
            }
            from = char::from_u32(u32::from(high) + 1);
        }
        self.ranges.extend(from.map(|from| (from, char::MAX)));
    }
}

/// Returns a class such as `alpha` or `^alpha`.
fn named(name: &str) -> Option<(Vec<(char, char)>, bool)> {
    let (is_negated, name) = name.strip_prefix('^').map_or((false, name), |name| (true, name));
    let ranges: &[(char, char)] = match name {
        "alnum" => &[('0', '9'), ('A', 'Z'), ('a', 'z')],
        "alpha" => &[('A', 'Z'), ('a', 'z')],
        "ascii" => &[('\0', '\u{7f}')],
        "blank" => &[('\t', '\t'), (' ', ' ')],
        "cntrl" => &[('\0', '\u{1f}'), ('\u{7f}', '\u{7f}')],
        "digit" => &[('0', '9')],
        "graph" => &[('!', '~')],
        "lower" => &[('a', 'z')],
        "print" => &[(' ', '~')],
        "punct" => &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')],
        "space" => &[('\t', '\r'), (' ', ' ')],
        "upper" => &[('A', 'Z')],
        "word" => &[('0', '9'), ('A', 'Z'), ('a', 'z'), ('_', '_')],
        "xdigit" => &[('0', '9'), ('A', 'F'), ('a', 'f')],
        _ => return None,
    };
    Some((ranges.to_vec(), is_negated))
}

/// Parses the members of a glob's brackets after the opening one, and returns the rest.
pub(super) fn glob_class(text: &str) -> Option<(Class, &str)> {
    let mut parser = Parser { rest: text };
    let mut class = Class { is_negated: parser.take("^").is_some(), ..Class::default() };
    while class.ranges.is_empty() || !parser.rest.starts_with(']') {
        let from = parser.bound()?;
        let to = if parser.take("-").is_some() { parser.bound()? } else { from };
        class.ranges.push((from, to));
    }
    parser.next();
    Some((class, parser.rest))
}
