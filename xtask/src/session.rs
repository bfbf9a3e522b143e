//! The context of every command: the environment, the paths and the global options.

use anyhow::Result;
use xshell::Shell;

use crate::args::Parsed;
use crate::error::usage;
use crate::host::Host;
use crate::layout::Layout;
use crate::redact::Redactor;

/// The context of every command.
pub struct Session {
    /// Runs short query commands.
    pub sh: Shell,
    /// Environment, terminal and clock.
    pub host: Host,
    /// The paths.
    pub layout: Layout,
    /// The options of every command.
    pub globals: Globals,
    /// Redacts output and files.
    pub redactor: Redactor,
}

impl Session {
    /// Returns whether output is colored: by `--color`, else by `NO_COLOR`, else by the terminal.
    pub fn color(&self, is_terminal: bool) -> bool {
        let host = &self.host;
        let can = is_terminal && host.var("NO_COLOR").is_none() && host.var("TERM") != Some("dumb");
        self.globals.color.unwrap_or(can)
    }
}

/// The display of progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// A live display on a terminal, else plain lines.
    Auto,
    /// A line when a step starts and ends, and its output.
    Plain,
    /// Only errors and the result.
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
    /// `--color`: always, never, or `None` for automatic.
    pub color: Option<bool>,
    /// `-v`.
    pub verbose: bool,
}

impl Globals {
    /// Resolves the global options. `progress` is docker's variable for the display: xtask has no
    /// word for `tty`, and leaves other words to docker.
    pub fn from_parsed(parsed: &Parsed, progress: Option<&str>) -> Result<Self> {
        let mode =
            |word: &str| PROGRESS_MODES.iter().find(|(known, _)| *known == word).map(|(_, mode)| *mode);
        let progress = match parsed.one("--progress")?.as_deref() {
            None if parsed.flag("--quiet") => Progress::Quiet,
            None => progress.and_then(mode).unwrap_or(Progress::Auto),
            Some(word) => {
                let unknown = || format!("`--progress {word}` is unknown\nuse auto, plain, quiet or rawjson");
                mode(word).ok_or_else(|| usage(unknown()))?
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
