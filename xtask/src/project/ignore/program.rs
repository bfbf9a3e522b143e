//! The regular expressions of patterns, with the syntax that occurs: characters, classes, `[...]*`,
//! `.*`, `(.*/)?`, `{2,3}` and alternatives. They run in time linear in the path, for every
//! pattern.

use std::sync::Arc;

use super::expression::{alternatives, glob_class};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Program {
    items: Vec<Item>,
    /// The start of each alternative.
    starts: Vec<usize>,
}

/// A step of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    One(Arc<Class>),
    Many(Arc<Class>),
    /// Jumps over the next item, or goes to it.
    Maybe,
    /// `.*/`
    UpToSlash,
    Start,
    End,
    /// `\b`, or `\B` for `false`.
    Boundary(bool),
    /// The end of an alternative.
    Match,
}

impl Item {
    pub(super) fn one(class: Class) -> Self {
        Self::One(Arc::new(class))
    }

    pub(super) fn many(class: Class) -> Self {
        Self::Many(Arc::new(class))
    }
}

/// A set of characters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Class {
    pub(super) ranges: Vec<(char, char)>,
    pub(super) is_negated: bool,
}

impl Class {
    pub(super) fn one(c: char) -> Self {
        Self { ranges: vec![(c, c)], is_negated: false }
    }

    pub(super) fn all_but(c: char) -> Self {
        Self { ranges: vec![(c, c)], is_negated: true }
    }

    fn has(&self, c: char) -> bool {
        self.ranges.iter().any(|(from, to)| (*from..=*to).contains(&c)) != self.is_negated
    }
}

impl Program {
    /// Compiles an expression as Go does. Returns `None` for one that Go refuses, or that no ignore
    /// file has.
    pub(super) fn new(expression: &str) -> Option<Self> {
        let mut program = Self::default();
        for alternative in alternatives(expression)? {
            program.add(alternative);
        }
        Some(program)
    }

    /// Compiles the glob of Go's `path.Match`: `*` and `?` stay within a directory, brackets do
    /// not.
    pub(super) fn glob(pattern: &str) -> Option<Self> {
        let mut items = vec![Item::Start];
        let mut rest = pattern;
        while let Some(c) = rest.chars().next() {
            rest = &rest[c.len_utf8()..];
            match c {
                '*' => items.push(Item::many(Class::all_but('/'))),
                '?' => items.push(Item::one(Class::all_but('/'))),
                '\\' => {
                    let next = rest.chars().next()?;
                    rest = &rest[next.len_utf8()..];
                    items.push(Item::one(Class::one(next)));
                }
                '[' => {
                    let (class, after) = glob_class(rest)?;
                    rest = after;
                    items.push(Item::one(class));
                }
                _ => items.push(Item::one(Class::one(c))),
            }
        }
        items.push(Item::End);
        let mut program = Self::default();
        program.add(items);
        Some(program)
    }

    fn add(&mut self, items: Vec<Item>) {
        self.starts.push(self.items.len());
        self.items.extend(items);
        self.items.push(Item::Match);
    }

    /// Returns whether the text has a match.
    pub(super) fn matches(&self, text: &str) -> bool {
        let first = text.chars().next();
        if let ([Item::Start, Item::One(class), ..], [_], Some(first)) =
            (self.items.as_slice(), self.starts.as_slice(), first)
            && !class.has(first)
        {
            return false;
        }
        let mut run =
            Run { program: self, at: Vec::new(), seen: vec![0; self.items.len()], round: 0, found: false };
        run.begin_round();
        run.enter_all(None, first);
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            if run.found {
                return true;
            }
            run.step(c, chars.peek().copied());
        }
        run.found
    }
}

struct Run<'a> {
    program: &'a Program,
    /// The items that may come next.
    at: Vec<usize>,
    /// The last round in which each item was entered.
    seen: Vec<usize>,
    round: usize,
    found: bool,
}

impl Run<'_> {
    fn begin_round(&mut self) -> Vec<usize> {
        self.round += 1;
        std::mem::take(&mut self.at)
    }

    /// A match may begin anywhere.
    fn enter_all(&mut self, before: Option<char>, after: Option<char>) {
        for start in &self.program.starts {
            self.enter(*start, before, after);
        }
    }

    fn step(&mut self, c: char, after: Option<char>) {
        for index in self.begin_round() {
            match &self.program.items[index] {
                Item::One(class) if class.has(c) => self.enter(index + 1, Some(c), after),
                Item::Many(class) if class.has(c) => self.enter(index, Some(c), after),
                Item::UpToSlash if c != '\n' => {
                    self.enter(index, Some(c), after);
                    if c == '/' {
                        self.enter(index + 1, Some(c), after);
                    }
                }
                _ => {}
            }
        }
        self.enter_all(Some(c), after);
    }

    fn enter(&mut self, index: usize, before: Option<char>, after: Option<char>) {
        let is_word = |c: Option<char>| c.is_some_and(|c| c == '_' || c.is_ascii_alphanumeric());
        // Expressions have thousands of items that may be jumped over, so this does not recurse.
        let mut open = vec![index];
        while let Some(index) = open.pop() {
            if std::mem::replace(&mut self.seen[index], self.round) == self.round {
                continue;
            }
            match &self.program.items[index] {
                Item::Match => self.found = true,
                Item::Many(_) => {
                    self.at.push(index);
                    open.push(index + 1);
                }
                Item::Maybe => open.extend([index + 2, index + 1]),
                Item::Start if before.is_some() => {}
                Item::End if after.is_some() => {}
                Item::Boundary(wanted) if (is_word(before) != is_word(after)) != *wanted => {}
                Item::Start | Item::End | Item::Boundary(_) => open.push(index + 1),
                Item::One(_) | Item::UpToSlash => self.at.push(index),
            }
        }
    }
}
