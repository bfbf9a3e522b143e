//! The environment of the process, read once at the start and passed on. Nothing else reads the
//! clock, the environment or the terminal, so tests can set them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use anyhow::Result;
use jiff::Timestamp;

use crate::error::usage;

/// Environment, directories, terminal and clock of one run.
#[derive(Debug, Clone)]
pub struct Host {
    /// Environment variables that are UTF-8.
    pub env: BTreeMap<String, String>,
    /// `$PATH`, which may name directories that are not UTF-8.
    pub path: OsString,
    /// The user's home directory if `$HOME` is not set or not UTF-8: `$HOME`, else from the account
    /// database.
    pub account_home: Option<PathBuf>,
    /// The current directory.
    pub cwd: PathBuf,
    /// The running program.
    pub exe: Option<PathBuf>,
    /// The start time of the run.
    pub now: Timestamp,
    /// Whether stdout is a terminal.
    pub stdout_is_terminal: bool,
    /// Whether stderr, which has the progress, is a terminal.
    pub stderr_is_terminal: bool,
    /// Whether the effective user is root.
    pub is_root: bool,
}

/// The size of a terminal in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    pub columns: usize,
    pub lines: usize,
}

/// Returns the size of the terminal on stderr, which may change during a build. Returns `None`
/// without a terminal or if it has no size.
pub(crate) fn stderr_size() -> Option<Size> {
    let size = rustix::termios::tcgetwinsize(std::io::stderr()).ok()?;
    let size = Size { columns: size.ws_col.into(), lines: size.ws_row.into() };
    (size.columns > 0 && size.lines > 0).then_some(size)
}

impl Host {
    /// Reads the environment of this process.
    pub fn read() -> Self {
        let env = std::env::vars_os()
            .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self {
            env,
            path: std::env::var_os("PATH").unwrap_or_default(),
            account_home: std::env::home_dir().filter(|home| home.is_absolute()),
            cwd: std::env::current_dir().unwrap_or_else(|_| PathBuf::from(".")),
            exe: std::env::current_exe().ok(),
            now: Timestamp::now(),
            stdout_is_terminal: std::io::stdout().is_terminal(),
            stderr_is_terminal: std::io::stderr().is_terminal(),
            is_root: rustix::process::geteuid().is_root(),
        }
    }

    /// Returns a variable that is set and not empty.
    pub fn var(&self, name: &str) -> Option<&str> {
        self.env.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Returns whether the terminal on stderr can be drawn on: it has a size, can move its cursor,
    /// and is not a log of a CI.
    pub fn can_draw(&self) -> bool {
        let knows_how = self.var("TERM").is_some_and(|term| term != "dumb");
        let is_log = self.var("CI").is_some_and(|ci| ci != "false" && ci != "0");
        self.stderr_is_terminal && knows_how && !is_log && stderr_size().is_some()
    }

    /// Returns the user's home directory: `$HOME`, else from the account database. A user in a
    /// container that exists only as a number has none.
    pub fn home(&self) -> Option<&Path> {
        self.var("HOME").map(Path::new).or(self.account_home.as_deref())
    }

    /// Returns the home directory for a command that needs it.
    ///
    /// # Errors
    ///
    /// Fails if there is none.
    pub fn required_home(&self) -> Result<&Path> {
        self.home().ok_or_else(|| usage("failed to find the home directory: HOME is not set\nset HOME"))
    }

    /// Makes a path of the user absolute.
    pub fn absolute(&self, path: impl AsRef<Path>) -> PathBuf {
        self.cwd.join(path)
    }

    /// Returns the executable with this name on `$PATH`.
    pub fn which(&self, program: &str) -> Option<PathBuf> {
        std::env::split_paths(&self.path).map(|dir| dir.join(program)).find(|path| path.is_file())
    }
}
