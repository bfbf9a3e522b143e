//! The arguments of a command: its options, as the table declares them, and what was given.

use anyhow::Result;

use crate::error::usage;

/// A command's options and arguments, known to be in its table.
#[derive(Debug, Default)]
pub struct Parsed {
    pub(crate) switches: Vec<&'static str>,
    pub(crate) values: Vec<(&'static str, String)>,
    /// Free arguments in their order.
    pub free: Vec<String>,
}

impl Parsed {
    /// Whether a switch was given.
    pub fn flag(&self, name: &str) -> bool {
        self.switches.contains(&name)
    }

    /// Every value of an option, in order.
    pub fn many(&self, name: &str) -> Vec<String> {
        self.values.iter().filter(|(known, _)| *known == name).map(|(_, value)| value.clone()).collect()
    }

    /// Every option and switch that was given.
    pub fn given(&self) -> impl Iterator<Item = &'static str> {
        self.switches.iter().copied().chain(self.values.iter().map(|(name, _)| *name))
    }

    /// The values of one option alone.
    pub(crate) fn only(&self, name: &str) -> Self {
        let values = self.values.iter().filter(|(known, _)| *known == name).cloned().collect();
        Self { values, ..Self::default() }
    }

    /// The value of an option that may be given once.
    pub fn one(&self, name: &str) -> Result<Option<String>> {
        let mut values = self.many(name);
        match values.len() {
            0 | 1 => Ok(values.pop()),
            _ => Err(usage(format!("duplicate option `{name}`\ngive it once"))),
        }
    }
}

/// One option.
pub struct Opt {
    /// Long name with its dashes.
    pub name: &'static str,
    /// Short name with its dash.
    pub short: Option<&'static str>,
    /// Name of its value; a switch has none.
    pub value: Option<&'static str>,
    /// One line.
    pub help: &'static str,
}

/// A switch.
pub(crate) const fn switch(name: &'static str, help: &'static str) -> Opt {
    Opt { name, short: None, value: None, help }
}

/// An option with a value.
pub(crate) const fn value(name: &'static str, value: &'static str, help: &'static str) -> Opt {
    Opt { name, short: None, value: Some(value), help }
}

/// Options that every command takes.
pub(crate) const GLOBAL: &[Opt] = &[
    switch("--json", "one JSON document on stdout, everything else on stderr"),
    value("--cache-dir", "DIR", "the store [DURANGO_CACHE_DIR, else ~/.cache/durango-builder]"),
    value(
        "--builder",
        "BUILDER",
        "the buildx builder [DURANGO_BUILDER, BUILDX_BUILDER, else the current one]",
    ),
    value("--progress", "MODE", "auto, plain, quiet or rawjson [auto]"),
    value("--color", "WHEN", "auto, always or never [auto; NO_COLOR]"),
    Opt { name: "--verbose", short: Some("-v"), value: None, help: "show each command that is run" },
    Opt { name: "--quiet", short: Some("-q"), value: None, help: "only errors and the result" },
    Opt { name: "--help", short: Some("-h"), value: None, help: "this text" },
];
