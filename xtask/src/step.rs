//! A step: one change to the world, as data. A dry run prints the very values that a run executes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// One step and why it is taken.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    /// Why, for people; empty where the action says it.
    pub why: String,
    /// What.
    pub action: Action,
}

/// What a step does.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Action {
    /// Runs a command to its end; its output goes to stderr with `-v`, else is shown only when it
    /// fails.
    Run(Command),
    /// Starts a command that goes on in the background in a session of its own, with its output in
    /// `log`, and polls `ready` until it exits with 0 or `seconds` are over.
    Start {
        /// What is started.
        command: Command,
        /// Where its output goes, appended.
        log: PathBuf,
        /// Exits with 0 once the command is of use.
        ready: Command,
        /// How long that may take.
        seconds: u64,
    },
    /// Polls `ready` until it exits with 0 or `seconds` are over.
    Wait {
        /// Exits with 0 once what is waited for is there.
        ready: Command,
        /// How long that may take.
        seconds: u64,
    },
    /// Writes a file, beside and then renamed; folders above it are made. `secret` content is never
    /// shown.
    Write {
        /// Where.
        path: PathBuf,
        /// Its whole content; in no JSON, since it may be secret.
        #[serde(skip_serializing)]
        content: String,
        /// Permission bits.
        mode: u32,
        /// Whether the content must not be shown.
        secret: bool,
    },
    /// Adds to the end of a file, which stays the same file; one that is missing is made.
    Append {
        /// Where.
        path: PathBuf,
        /// What is added.
        content: String,
    },
    /// Renames a folder into place, on one file system; where another of that name was faster, that
    /// one stays.
    Place {
        /// What.
        from: PathBuf,
        /// Where to; folders above it are made.
        to: PathBuf,
    },
    /// Removes a file or a folder; nothing happens where there is none.
    Remove {
        /// What.
        path: PathBuf,
    },
}

/// A command: a list of arguments from start to end, never a string to be split.
#[derive(Debug, Clone, Serialize, Default, PartialEq, Eq)]
pub struct Command {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Variables added to the environment.
    pub env: BTreeMap<String, String>,
    /// Variables added to it that are never shown or kept.
    #[serde(skip)]
    pub secret_env: BTreeMap<String, String>,
    /// Where it runs; the current directory where none is given.
    pub cwd: Option<PathBuf>,
    /// Whether its stdout is a result that goes to ours.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub inherits_stdout: bool,
}

impl Command {
    /// A command of a program and its arguments.
    pub fn new<S: Into<String>>(argv: impl IntoIterator<Item = S>) -> Self {
        Self { argv: argv.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// Adds a variable to its environment.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// Adds arguments.
    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.argv.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets the folder it runs in.
    pub fn cwd(mut self, dir: impl AsRef<Path>) -> Self {
        self.cwd = Some(dir.as_ref().to_path_buf());
        self
    }

    /// The command in a session of its own, so that neither Ctrl-C nor the end of the terminal
    /// reaches it.
    pub fn detached(&self) -> Self {
        let argv = std::iter::once("setsid".to_owned()).chain(self.argv.iter().cloned()).collect();
        Self { argv, ..self.clone() }
    }

    /// The line that a POSIX shell would run, safe to paste.
    pub fn to_shell(&self) -> String {
        let mut words: Vec<String> =
            self.env.iter().map(|(name, value)| format!("{name}={}", shell_words::quote(value))).collect();
        words.extend(self.secret_env.keys().map(|name| format!("{name}=...")));
        words.extend(self.argv.iter().map(|arg| shell_words::quote(arg).into_owned()));
        match &self.cwd {
            Some(dir) => {
                format!("(cd {} && {})", shell_words::quote(&dir.to_string_lossy()), words.join(" "))
            }
            None => words.join(" "),
        }
    }
}

impl Step {
    /// A command to its end.
    pub fn run(why: impl Into<String>, command: Command) -> Self {
        Self { why: why.into(), action: Action::Run(command) }
    }

    /// A file that anybody may read.
    pub fn write(why: impl Into<String>, path: impl Into<PathBuf>, content: impl Into<String>) -> Self {
        let action = Action::Write { path: path.into(), content: content.into(), mode: 0o644, secret: false };
        Self { why: why.into(), action }
    }

    /// A file for its owner alone, as every file in the store is.
    pub fn write_private(path: impl Into<PathBuf>, content: impl Into<String>) -> Self {
        let action = Action::Write { path: path.into(), content: content.into(), mode: 0o600, secret: false };
        Self { why: String::new(), action }
    }

    /// A file or folder to be removed.
    pub fn remove(why: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        Self { why: why.into(), action: Action::Remove { path: path.into() } }
    }

    /// The step as shell lines, as a dry run prints them.
    pub fn to_shell(&self) -> String {
        match &self.action {
            Action::Run(command) => command.to_shell(),
            Action::Start { command, log, .. } => {
                let log = log.to_string_lossy();
                format!("{} >>{} 2>&1 &", command.detached().to_shell(), shell_words::quote(&log))
            }
            Action::Wait { ready, .. } => {
                format!("until {} >/dev/null 2>&1; do sleep 1; done", ready.to_shell())
            }
            Action::Write { path, secret: true, .. } => format!("write {} (secret)", path.display()),
            Action::Write { path, content, .. } => {
                format!("write {}:\n    {}", path.display(), content.trim_end().replace('\n', "\n    "))
            }
            Action::Append { path, content } => {
                format!("append to {}:\n    {}", path.display(), content.trim_end().replace('\n', "\n    "))
            }
            Action::Place { from, to } => {
                let [from, to] = [from, to].map(|path| path.to_string_lossy());
                format!("mv -T {} {}", shell_words::quote(&from), shell_words::quote(&to))
            }
            Action::Remove { path } => format!("rm -rf {}", shell_words::quote(&path.to_string_lossy())),
        }
    }
}
