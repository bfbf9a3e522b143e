//! BuildKit on for good: in the user's shells ([`shell`]) and in the daemon's configuration
//! ([`daemon`]). Twice is the same as once, and undoing leaves every file byte for byte as it was,
//! but for what the user changed since.

pub(crate) mod daemon;
pub(crate) mod shell;

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::{Access, access};

use crate::session::Session;
use crate::step::Step;

/// What is to be done and what the user should know about it.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Steps; none where all is as it should be.
    pub steps: Vec<Step>,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// What turns BuildKit on.
pub(crate) fn changes(session: &Session) -> Result<Changes> {
    let files = shell::read(&session.host)?;
    let daemon = daemon::DaemonFacts::read(session)?;
    let mut changes = Changes { steps: shell::setup(&files)?, notes: Vec::new() };
    if !changes.steps.is_empty() {
        changes.notes.push("new shells have it".into());
    }
    daemon::setup(&daemon, &mut changes)?;
    Ok(changes)
}

/// What takes it back.
pub(crate) fn undo(session: &Session) -> Result<Changes> {
    let files = shell::read(&session.host)?;
    let daemon = daemon::DaemonFacts::read(session)?;
    let mut changes = Changes { steps: shell::undo(&files)?, notes: Vec::new() };
    daemon::undo(&daemon, &mut changes)?;
    Ok(changes)
}

/// A file of text as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TextFile {
    /// Where it is; where a link leads, since replacing the link would break it.
    pub path: PathBuf,
    /// Its text; `None` where there is no file.
    pub text: Option<String>,
    /// Its permission bits.
    pub mode: u32,
    /// Whether we may write it.
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
                // Root may write what is read-only, but whoever made it so meant it.
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

/// Whether files can be made in the folder, where the new version is written before it takes the
/// old one's name.
fn can_add(path: &Path) -> bool {
    let there = path.ancestors().skip(1).find(|dir| dir.exists());
    there.is_some_and(|dir| access(dir, Access::WRITE_OK).is_ok())
}
