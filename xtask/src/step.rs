//! A step: one change to the world, as data. A dry run prints the same values that a run executes.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// One step and its purpose.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    /// The purpose for display; empty if the action is self-explanatory.
    pub why: String,
    /// The action.
    pub action: Action,
}

/// The action of a step.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Action {
    /// Runs a command to its end. Its output goes to stderr with `-v`, and is otherwise shown only
    /// after a failure.
    Run(Command),
    /// Starts a command in the background in its own session, with its output in `log`, and polls
    /// `ready` until it exits with 0 or `seconds` are over.
    Start {
        /// The command.
        command: Command,
        /// The file to which its output is appended.
        log: PathBuf,
        /// Exits with 0 when the command is ready.
        ready: Command,
        /// The timeout.
        seconds: u64,
    },
    /// Polls `ready` until it exits with 0 or `seconds` are over.
    Wait {
        /// Exits with 0 when the wait is over.
        ready: Command,
        /// The timeout.
        seconds: u64,
    },
    /// Writes a temporary file and renames it. Creates parent directories. `secret` content is
    /// never shown.
    Write {
        /// The path.
        path: PathBuf,
        /// The whole content. It is in no JSON, because it may be secret.
        #[serde(skip_serializing)]
        content: String,
        /// Permission bits.
        mode: u32,
        /// Whether the content must not be shown.
        secret: bool,
    },
    /// Appends to a file, which is created if it is missing.
    Append {
        /// The path.
        path: PathBuf,
        /// The appended text.
        content: String,
    },
    /// Renames a directory into place on one file system. If the destination exists, it is kept.
    Place {
        /// The directory.
        from: PathBuf,
        /// The destination. Parent directories are created.
        to: PathBuf,
    },
    /// Removes a file or a directory, if it exists.
    Remove {
        /// The file or directory.
        path: PathBuf,
    },
}

/// A command: a list of arguments from start to end, never a string that is split.
#[derive(Debug, Clone, Serialize, Default, PartialEq, Eq)]
pub struct Command {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Additional environment variables.
    pub env: BTreeMap<String, String>,
    /// Additional environment variables that are never shown or recorded.
    #[serde(skip)]
    pub secret_env: BTreeMap<String, String>,
    /// Its working directory; `None` for the current one.
    pub cwd: Option<PathBuf>,
    /// Whether its stdout is a result that goes to ours.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub inherits_stdout: bool,
    /// The program of buildx, which runs in place of `docker buildx` if it exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub buildx_program: Option<PathBuf>,
}

impl Command {
    /// Creates a command from a program and its arguments.
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

    /// Sets its working directory.
    pub fn cwd(mut self, dir: impl AsRef<Path>) -> Self {
        self.cwd = Some(dir.as_ref().to_path_buf());
        self
    }

    /// Returns the command in its own session, so that neither Ctrl-C nor the end of the terminal
    /// reaches it.
    pub fn detached(&self) -> Self {
        self.through(&["setsid"])
    }

    /// Returns the command with the signals that end a process as they are by default, also if this
    /// process ignores them.
    pub fn with_default_signals(&self) -> Self {
        self.through(&["env", "--default-signal=HUP,INT,QUIT,TERM"])
    }

    /// Returns the command as another program starts it.
    fn through(&self, starter: &[&str]) -> Self {
        let starter = starter.iter().map(|word| (*word).to_owned());
        Self { argv: starter.chain(self.argv.iter().cloned()).collect(), ..self.clone() }
    }

    /// Returns the program to start, and its arguments. docker would ask buildx for its
    /// description, and then start it with the same arguments: two processes and 40 ms of a
    /// processor more.
    pub(crate) fn to_start(&self) -> (&OsStr, &[String]) {
        match (&self.buildx_program, self.argv.as_slice()) {
            (Some(program), [docker, buildx, args @ ..])
                if docker == "docker" && buildx == "buildx" && program.is_file() =>
            {
                (program.as_os_str(), args)
            }
            (_, argv) => (OsStr::new(&argv[0]), &argv[1..]),
        }
    }

    /// Returns the line for a POSIX shell, safe to paste.
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
    /// Creates a step that runs a command.
    pub fn run(why: impl Into<String>, command: Command) -> Self {
        Self { why: why.into(), action: Action::Run(command) }
    }

    /// Creates a step that writes a public file.
    pub fn write(why: impl Into<String>, path: impl Into<PathBuf>, content: impl Into<String>) -> Self {
        let action = Action::Write { path: path.into(), content: content.into(), mode: 0o644, secret: false };
        Self { why: why.into(), action }
    }

    /// Creates a step that writes a file for its owner only, like every file in the store.
    pub fn write_private(path: impl Into<PathBuf>, content: impl Into<String>) -> Self {
        let action = Action::Write { path: path.into(), content: content.into(), mode: 0o600, secret: false };
        Self { why: String::new(), action }
    }

    /// Creates a step that removes a file or directory.
    pub fn remove(why: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        Self { why: why.into(), action: Action::Remove { path: path.into() } }
    }

    /// Returns the step as shell lines, as a dry run prints them.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buildx_runs_without_docker_if_its_program_is_known_and_there() {
        let program = tempfile::NamedTempFile::new().expect("a file");
        let started = |argv: &[&str], path: &Path| {
            let known = Command { buildx_program: Some(path.into()), ..Command::new(argv.iter().copied()) };
            let (program, args) = known.to_start();
            (program.to_owned(), args.to_vec())
        };
        let at = program.path();
        let bake = ["docker", "buildx", "--builder", "default", "bake", "app"];
        let args = |argv: &[&str]| argv.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>();
        assert_eq!(started(&bake, at), (at.into(), args(&bake[2..])));
        assert_eq!(started(&bake, Path::new("/nonexistent/buildx")), ("docker".into(), args(&bake[1..])));
        assert_eq!(started(&["docker", "info"], at), ("docker".into(), args(&["info"])));
        assert_eq!(started(&["setsid", "docker", "buildx"], at).0, "setsid");
        let plain = Command::new(bake);
        assert_eq!(plain.to_start().0, "docker");
        let known = Command { buildx_program: Some(at.into()), ..plain.clone() };
        assert_eq!(known.to_shell(), plain.to_shell(), "a line for any machine");
    }
}
