//! A right that a declaration asks for, or that the user grants.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::error::usage;
use crate::host::Host;

/// Rights without a path.
const PLAIN: &[&str] = &["network.host", "security.insecure", "ssh"];

/// A right that a declaration asks for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Right {
    /// Reading below a path.
    Read(PathBuf),
    /// Writing below a path.
    Write(PathBuf),
    /// One of [`PLAIN`], or one that only buildx knows.
    Other(String),
}

impl Right {
    /// Parses `--allow`, as in bake. Paths are relative to the user's directory.
    pub(crate) fn parse(text: &str, host: &Host) -> Result<Vec<Self>> {
        let path = |path: &str| if path == "*" { PathBuf::from("/") } else { host.absolute(path) };
        let rights = match text.split_once('=') {
            Some(("fs.read", at)) if !at.is_empty() => vec![Self::Read(path(at))],
            Some(("fs.write", at)) if !at.is_empty() => vec![Self::Write(path(at))],
            Some(("fs", at)) if !at.is_empty() => vec![Self::Read(path(at)), Self::Write(path(at))],
            Some(("device", _)) => vec![Self::Other(text.to_owned())],
            None if PLAIN.contains(&text) => vec![Self::Other(text.to_owned())],
            _ => {
                return Err(usage(format!(
                    "unknown value `{text}` for `--allow`\nuse fs.read=DIR, fs.write=DIR, fs=DIR, {}",
                    PLAIN.join(", ")
                )));
            }
        };
        Ok(rights)
    }

    /// Returns the value for `--allow`.
    pub(crate) fn to_option(&self) -> String {
        match self {
            Self::Read(path) => format!("fs.read={}", path.display()),
            Self::Write(path) => format!("fs.write={}", path.display()),
            Self::Other(right) => right.clone(),
        }
    }

    /// Returns the value for bake's `--allow`. buildx 0.38 refuses to write to a path that does not
    /// exist unless its nearest existing directory is allowed (measured). `allow::check` has
    /// refused all that the user did not grant before that.
    pub(crate) fn to_bake_option(&self) -> String {
        match self {
            Self::Write(path) => {
                let existing = path.ancestors().find(|path| path.exists()).unwrap_or(path);
                Self::Write(existing.to_owned()).to_option()
            }
            other => other.to_option(),
        }
    }

    /// Resolves the links of its path.
    pub(super) fn resolved(self) -> Self {
        match self {
            Self::Read(path) => Self::Read(resolve(&path)),
            Self::Write(path) => Self::Write(resolve(&path)),
            other => other,
        }
    }

    /// Returns whether another right includes it.
    pub(super) fn is_in(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Read(path), Self::Read(of)) | (Self::Write(path), Self::Write(of)) => {
                resolve(path).starts_with(resolve(of))
            }
            (Self::Other(right), Self::Other(of)) => right == of,
            _ => false,
        }
    }
}

/// Resolves a path: follows existing links, and takes `..` of missing parts literally.
fn resolve(path: &Path) -> PathBuf {
    for base in path.ancestors() {
        if let Ok(real) = base.canonicalize() {
            let rest = path.strip_prefix(base).unwrap_or(Path::new(""));
            return rest.components().fold(real, |mut path, part| {
                match part {
                    std::path::Component::ParentDir => drop(path.pop()),
                    part => path.push(part),
                }
                path
            });
        }
    }
    path.to_path_buf()
}
