//! Turns on BuildKit permanently: in the user's shells ([`shell`]) and in the daemon's
//! configuration ([`daemon`]). A second run changes nothing. Undo restores every file byte for
//! byte, except for later changes of the user.

pub(crate) mod completions;
pub(crate) mod daemon;
pub(crate) mod shell;

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::{Access, access};

use completions::Shell;

use crate::host::Host;
use crate::session::Session;
use crate::step::{Action, Step};

/// The steps and notes of a setup.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// The steps; none if everything is set up.
    pub steps: Vec<Step>,
    /// Notes for the user.
    pub notes: Vec<String>,
}

/// Returns what turns BuildKit on and installs completions and the man page.
pub(crate) fn changes(session: &Session, man_page: &str) -> Result<Changes> {
    let host = &session.host;
    let files = shell::read(host)?;
    let daemon = daemon::DaemonFacts::read(session)?;
    let data = data_dir(host)?;
    let mut changes = Changes::default();
    let program = host.exe.as_deref();
    for start in &files {
        let script = program.and_then(|program| completions::script(start.shell, program));
        if let Some(text) = script {
            changes.write(&script_file(&data, start.shell), &text)?;
        }
    }
    let script = |shell: Shell| {
        let path = script_file(&data, shell);
        (program.is_some() && shell != Shell::Posix).then_some(path)
    };
    changes.steps.extend(shell::setup(&files, &script)?);
    if !changes.steps.is_empty() {
        changes.notes.push("new shells have BuildKit on and complete `cargo xtask`".into());
    }
    if host.which("man").is_some() && changes.write(&man_file(&data), man_page)? {
        changes.notes.push("`man cargo-xtask` is installed".into());
    }
    daemon::setup(&daemon, &mut changes)?;
    Ok(changes)
}

/// Returns what reverses [`changes`].
pub(crate) fn undo(session: &Session) -> Result<Changes> {
    let host = &session.host;
    let files = shell::read(host)?;
    let daemon = daemon::DaemonFacts::read(session)?;
    let data = data_dir(host)?;
    let mut changes = Changes { steps: shell::undo(&files)?, notes: Vec::new() };
    // The block goes first, so that no shell looks for a script that is gone.
    let ours = [script_file(&data, Shell::Bash).with_file_name(""), man_file(&data)];
    for path in ours.into_iter().filter(|path| path.exists()) {
        let why = format!("removing {}", path.display());
        changes.steps.push(Step { why, action: Action::Remove { path } });
    }
    daemon::undo(&daemon, &mut changes)?;
    Ok(changes)
}

/// Returns the directory for data of the user's programs.
fn data_dir(host: &Host) -> Result<PathBuf> {
    let own = host.var("XDG_DATA_HOME").map(|dir| host.absolute(dir));
    own.map_or_else(|| Ok(host.required_home()?.join(".local/share")), Ok)
}

fn script_file(data: &Path, shell: Shell) -> PathBuf {
    data.join("durango-builder/completions").join(format!("cargo-xtask.{}", shell.name()))
}

fn man_file(data: &Path) -> PathBuf {
    data.join("man/man1/cargo-xtask.1")
}

impl Changes {
    /// Adds a step that writes a file of ours, unless it is written. Returns whether it was added.
    fn write(&mut self, path: &Path, text: &str) -> Result<bool> {
        let file = TextFile::read(path)?;
        if file.text.as_deref() == Some(text) {
            return Ok(false);
        }
        shell::check_writable(&file)?;
        let why = format!("writing {}", file.path.display());
        let content = text.to_owned();
        // The text is not secret, but long: a dry run does not show it.
        let action = Action::Write { path: file.path, content, mode: 0o644, secret: true };
        self.steps.push(Step { why, action });
        Ok(true)
    }
}

/// The state of a text file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TextFile {
    /// Its path, with links resolved, because a replaced link would be broken.
    pub path: PathBuf,
    /// Its text; `None` if there is no file.
    pub text: Option<String>,
    pub mode: u32,
    /// Whether this user may write it.
    pub writable: bool,
}

impl TextFile {
    /// Reads it.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let path = match fs::canonicalize(path) {
            Ok(real) => real,
            Err(error) if error.kind() == ErrorKind::NotFound && path.is_symlink() => {
                bail!(
                    "failed to read `{}`: it is a dangling link\nremove the link or restore its file",
                    path.display()
                )
            }
            Err(_) => path.to_path_buf(),
        };
        let failed = || format!("failed to read `{}`", path.display());
        match fs::read(&path) {
            Ok(bytes) => {
                let mode = fs::metadata(&path).with_context(failed)?.permissions().mode() & 0o7777;
                let text = String::from_utf8(bytes).ok().with_context(|| {
                    format!(
                        "failed to read `{}`: it is not UTF-8\nconvert it, or edit it yourself",
                        path.display()
                    )
                })?;
                // Root may write a read-only file, but it is read-only on purpose.
                let writable = mode & 0o222 != 0 && access(&path, Access::WRITE_OK).is_ok() && can_add(&path);
                Ok(Self { path, text: Some(text), mode, writable })
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let writable = can_add(&path);
                Ok(Self { path, text: None, mode: 0o644, writable })
            }
            Err(error) => Err(error).with_context(failed),
        }
    }
}

/// Returns whether files can be created in the directory, which has the new version before it is
/// renamed.
fn can_add(path: &Path) -> bool {
    let there = path.ancestors().skip(1).find(|dir| dir.exists());
    there.is_some_and(|dir| access(dir, Access::WRITE_OK).is_ok())
}
