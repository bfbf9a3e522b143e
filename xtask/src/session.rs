//! What every command is given: the environment, the paths and the global options.

use anyhow::Result;
use xshell::Shell;

use crate::args::Parsed;
use crate::error::usage;
use crate::host::Host;
use crate::layout::Layout;
use crate::redact::Redactor;

/// What every command is given.
pub struct Session {
    /// Runs short commands that only ask.
    pub sh: Shell,
    /// Environment, terminal and clock.
    pub host: Host,
    /// Where things are.
    pub layout: Layout,
    /// The options that every command has.
    pub globals: Globals,
    /// Redacts what is shown and kept.
    pub redactor: Redactor,
}

impl Session {
    /// Whether what goes to a terminal, or elsewhere, is coloured: `--color`, else `NO_COLOR`, else
    /// as the terminal can.
    pub fn color(&self, is_terminal: bool) -> bool {
        let host = &self.host;
        let can = is_terminal && host.var("NO_COLOR").is_none() && host.var("TERM") != Some("dumb");
        self.globals.color.unwrap_or(can)
    }
}

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// A live display on a terminal, else plain lines.
    Auto,
    /// A line when a step starts and ends, and its output.
    Plain,
    /// Nothing but errors and the result.
    Quiet,
    /// BuildKit's own stream, on stderr.
    RawJson,
}

/// The words of `--progress`.
pub(crate) const PROGRESS_MODES: &[(&str, Progress)] = &[
    ("auto", Progress::Auto),
    ("plain", Progress::Plain),
    ("quiet", Progress::Quiet),
    ("rawjson", Progress::RawJson),
];

/// The words of `--color`.
pub(crate) const COLOR_MODES: [&str; 3] = ["auto", "always", "never"];

/// The global options.
#[derive(Debug, Clone)]
pub struct Globals {
    /// `--json`.
    pub json: bool,
    /// `--cache-dir`.
    pub cache_dir: Option<String>,
    /// `--builder`.
    pub builder: Option<String>,
    /// `--progress`, or quiet with `-q`.
    pub progress: Progress,
    /// `--color`: always, never, or as the terminal has it.
    pub color: Option<bool>,
    /// `-v`.
    pub verbose: bool,
}

impl Globals {
    /// Resolves the global options.
    pub fn from_parsed(parsed: &Parsed) -> Result<Self> {
        let progress = match parsed.one("--progress")?.as_deref() {
            None if parsed.flag("--quiet") => Progress::Quiet,
            None => Progress::Auto,
            Some(word) => {
                let known = PROGRESS_MODES.iter().find(|(known, _)| *known == word);
                let unknown = || format!("`--progress {word}` is unknown\nuse auto, plain, quiet or rawjson");
                known.map(|(_, progress)| *progress).ok_or_else(|| usage(unknown()))?
            }
        };
        let color = match parsed.one("--color")?.as_deref() {
            None | Some("auto") => None,
            Some("always") => Some(true),
            Some("never") => Some(false),
            Some(other) => {
                return Err(usage(format!("`--color {other}` is unknown\nuse auto, always or never")));
            }
        };
        Ok(Self {
            json: parsed.flag("--json"),
            cache_dir: parsed.one("--cache-dir")?,
            builder: parsed.one("--builder")?,
            progress,
            color,
            verbose: parsed.flag("--verbose"),
        })
    }
}
