//! The regular expressions that patterns become, as far as they occur: characters, classes,
//! `[...]*`, `.*` and `(.*/)?`. They run in time linear in the path, whatever the pattern.

/// An expression that is anchored at both ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Program {
    items: Vec<Item>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Item {
    One(Class),
    Many(Class),
    /// Jumps over the next item, or goes to it.
    Maybe,
    /// `.*/`
    UpToSlash,
    Start,
    End,
    /// `\b`, or `\B` where it is false.
    Boundary(bool),
}

/// A set of characters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Class {
    ranges: Vec<(char, char)>,
    is_negated: bool,
}

impl Class {
    fn one(c: char) -> Self {
        Self { ranges: vec![(c, c)], is_negated: false }
    }

    fn all_but(c: char) -> Self {
        Self { ranges: vec![(c, c)], is_negated: true }
    }

    fn has(&self, c: char) -> bool {
        self.ranges.iter().any(|(from, to)| (*from..=*to).contains(&c)) != self.is_negated
    }
}

impl Program {
    /// The glob of Go's `path.Match`: `*` and `?` stay within a directory, brackets do not.
    pub(super) fn glob(pattern: &str) -> Option<Self> {
        let mut items = Vec::new();
        let mut rest = pattern;
        while let Some(c) = rest.chars().next() {
            rest = &rest[c.len_utf8()..];
            match c {
                '*' => items.push(Item::Many(Class::all_but('/'))),
                '?' => items.push(Item::One(Class::all_but('/'))),
                '\\' => {
                    let next = rest.chars().next()?;
                    rest = &rest[next.len_utf8()..];
                    items.push(Item::One(Class::one(next)));
                }
                '[' => {
                    let (class, after) = glob_class(rest)?;
                    rest = after;
                    items.push(Item::One(class));
                }
                _ => items.push(Item::One(Class::one(c))),
            }
        }
        Some(Self { items })
    }

    /// Whether the whole text fits.
    pub(super) fn matches(&self, text: &str) -> bool {
        if let (Some(Item::One(class)), Some(first)) = (self.items.first(), text.chars().next())
            && !class.has(first)
        {
            return false;
        }
        let mut run = Run { program: self, at: Vec::new(), seen: vec![0; self.items.len() + 1], round: 0 };
        run.begin_round();
        run.enter(0, None, text.chars().next());
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            if run.at.is_empty() {
                return false;
            }
            run.step(c, chars.peek().copied());
        }
        run.at.contains(&self.items.len())
    }
}

struct Run<'a> {
    program: &'a Program,
    /// The items that may come next.
    at: Vec<usize>,
    /// The round in which each item was entered last.
    seen: Vec<usize>,
    round: usize,
}

impl Run<'_> {
    fn begin_round(&mut self) -> Vec<usize> {
        self.round += 1;
        std::mem::take(&mut self.at)
    }

    fn step(&mut self, c: char, after: Option<char>) {
        for index in self.begin_round() {
            match self.program.items.get(index) {
                Some(Item::One(class)) if class.has(c) => self.enter(index + 1, Some(c), after),
                Some(Item::Many(class)) if class.has(c) => self.enter(index, Some(c), after),
                Some(Item::UpToSlash) if c != '\n' => {
                    self.enter(index, Some(c), after);
                    if c == '/' {
                        self.enter(index + 1, Some(c), after);
                    }
                }
                _ => {}
            }
        }
    }

    fn enter(&mut self, index: usize, before: Option<char>, after: Option<char>) {
        if std::mem::replace(&mut self.seen[index], self.round) == self.round {
            return;
        }
        let is_word = |c: Option<char>| c.is_some_and(|c| c == '_' || c.is_ascii_alphanumeric());
        match self.program.items.get(index) {
            Some(Item::Many(_)) => {
                self.at.push(index);
                self.enter(index + 1, before, after);
            }
            Some(Item::Maybe) => {
                self.enter(index + 1, before, after);
                self.enter(index + 2, before, after);
            }
            Some(Item::Start) if before.is_some() => {}
            Some(Item::End) if after.is_some() => {}
            Some(Item::Boundary(wanted)) if (is_word(before) != is_word(after)) != *wanted => {}
            Some(Item::Start | Item::End | Item::Boundary(_)) => self.enter(index + 1, before, after),
            _ => self.at.push(index),
        }
    }
}

/// Compiles an expression as Go does; nothing for one that Go refuses, or that nobody writes in an
/// ignore file.
pub(super) fn program(expression: &str) -> Option<Program> {
    let mut parser = Parser { rest: expression };
    let mut items = Vec::new();
    while let Some(c) = parser.next() {
        match c {
            '^' => items.push(Item::Start),
            '.' => {
                parser.take("*")?;
                items.push(Item::Many(Class::all_but('\n')));
            }
            '(' => {
                parser.take(".*/)?")?;
                items.extend([Item::Maybe, Item::UpToSlash]);
            }
            '[' => {
                let class = parser.class()?;
                let is_many = parser.take("*").is_some();
                items.push(if is_many { Item::Many(class) } else { Item::One(class) });
            }
            '\\' => items.push(parser.escape()?),
            _ => items.push(Item::One(Class::one(c))),
        }
    }
    Some(Program { items })
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

    /// After a backslash outside brackets.
    fn escape(&mut self) -> Option<Item> {
        match self.rest.chars().next()? {
            'A' => self.next().map(|_| Item::Start),
            'z' => self.next().map(|_| Item::End),
            'b' => self.next().map(|_| Item::Boundary(true)),
            'B' => self.next().map(|_| Item::Boundary(false)),
            _ => match self.perl_class() {
                Some((ranges, is_negated)) => Some(Item::One(Class { ranges, is_negated })),
                None => Some(Item::One(Class::one(self.character()?))),
            },
        }
    }

    /// `\d` and the like, after the backslash: the ranges, and whether all others are meant.
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

    /// An escaped character, after the backslash.
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

    /// After an opening bracket.
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

    /// A bound of a glob's range.
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
    /// Adds ranges, or all that is outside of them.
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

/// A class such as `alpha` or `^alpha`.
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

/// The members of a glob's brackets, after the opening one, and what follows them.
fn glob_class(text: &str) -> Option<(Class, &str)> {
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
