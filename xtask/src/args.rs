//! The arguments of a command: its options from the table, and their values.

use anyhow::Result;

use crate::error::usage;

/// A command's options and arguments, which its table allows.
#[derive(Debug, Default)]
pub struct Parsed {
    pub(crate) switches: Vec<&'static str>,
    pub(crate) values: Vec<(&'static str, String)>,
    /// Arguments in order.
    pub free: Vec<String>,
}

impl Parsed {
    /// Returns whether a switch was given.
    pub fn flag(&self, name: &str) -> bool {
        self.switches.contains(&name)
    }

    /// Returns every value of an option, in order.
    pub fn many(&self, name: &str) -> Vec<String> {
        self.values.iter().filter(|(known, _)| *known == name).map(|(_, value)| value.clone()).collect()
    }

    /// Returns every given option and switch.
    pub fn given(&self) -> impl Iterator<Item = &'static str> {
        self.switches.iter().copied().chain(self.values.iter().map(|(name, _)| *name))
    }

    /// The values of one option alone.
    pub(crate) fn only(&self, name: &str) -> Self {
        let values = self.values.iter().filter(|(known, _)| *known == name).cloned().collect();
        Self { values, ..Self::default() }
    }

    /// Returns the value of an option that may be given once.
    pub fn one(&self, name: &str) -> Result<Option<String>> {
        let mut values = self.many(name);
        match values.len() {
            0 | 1 => Ok(values.pop()),
            _ => Err(usage(format!("duplicate option `{name}`\ngive it once"))),
        }
    }
}

/// An option of a command.
pub struct Opt {
    /// The long name with its dashes.
    pub name: &'static str,
    /// The short name with its dash.
    pub short: Option<&'static str>,
    /// The name of its value; `None` for a switch.
    pub value: Option<&'static str>,
    /// The help text, one line.
    pub help: &'static str,
}

/// Creates a switch.
pub(crate) const fn switch(name: &'static str, help: &'static str) -> Opt {
    Opt { name, short: None, value: None, help }
}

/// Creates an option with a value.
pub(crate) const fn value(name: &'static str, value: &'static str, help: &'static str) -> Opt {
    Opt { name, short: None, value: Some(value), help }
}

/// Options of every command.
pub(crate) const GLOBAL: &[Opt] = &[
    switch("--json", "one JSON document on stdout, everything else on stderr"),
    value("--cache-dir", "DIR", "the store [DURANGO_CACHE_DIR, else ~/.cache/durango-builder]"),
    value(
        "--builder",
        "BUILDER",
        "the buildx builder [DURANGO_BUILDER, BUILDX_BUILDER, else the current one]",
    ),
    value("--progress", "MODE", "auto, plain, quiet or rawjson [BUILDKIT_PROGRESS, else auto]"),
    value("--color", "WHEN", "auto, always or never [auto; NO_COLOR]"),
    Opt { name: "--verbose", short: Some("-v"), value: None, help: "show each command that is run" },
    Opt { name: "--quiet", short: Some("-q"), value: None, help: "only errors and the result" },
    Opt { name: "--help", short: Some("-h"), value: None, help: "this text" },
];
