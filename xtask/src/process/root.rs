//! How commands get the rights of root.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::host::Host;
use crate::layout::Layout;
use crate::step::{Command, Step};

/// How steps get the rights of root.
#[derive(Debug, Clone)]
pub struct Root {
    sudo: bool,
    tmp: PathBuf,
}

impl Root {
    /// For steps that cannot do without the rights of root.
    pub fn new(user: User, tmp: &Path) -> Result<Self> {
        if user == User::Plain {
            bail!(
                "failed to provision: this user is not root and there is no `sudo`\nrun the same command as root"
            );
        }
        Ok(Self { sudo: user == User::Sudo, tmp: tmp.to_owned() })
    }

    /// For a tool that also knows to do without: root, sudo where there is one, else neither.
    pub fn of(host: &Host, layout: &Layout) -> Self {
        Self { sudo: user(host) == User::Sudo, tmp: layout.tmp() }
    }

    #[cfg(test)]
    pub(crate) fn for_test(user: User) -> Self {
        Self { sudo: user == User::Sudo, tmp: "/tmp/x".into() }
    }

    /// Whether commands go through sudo.
    pub fn is_sudo(&self) -> bool {
        self.sudo
    }

    /// A command as root.
    pub fn command<'a>(&self, argv: impl IntoIterator<Item = &'a str>) -> Command {
        let sudo = self.sudo.then_some("sudo");
        Command::new(sudo.into_iter().chain(argv))
    }

    /// A command as root with a variable, which sudo would drop.
    pub fn command_with<'a>(
        &self,
        (name, value): (&str, &str),
        argv: impl IntoIterator<Item = &'a str>,
    ) -> Command {
        if self.sudo {
            Command::new(["sudo", "env", &format!("{name}={value}")]).args(argv)
        } else {
            Command::new(argv).env(name, value)
        }
    }

    /// A file of root's. sudo cannot write a file, but it can install one that we wrote.
    pub fn write(&self, why: &str, path: &Path, content: &str) -> Vec<Step> {
        if !self.sudo {
            return vec![Step::write(why, path, content)];
        }
        let draft = self.tmp.join(path.file_name().unwrap_or_default());
        let (from, to) = (draft.to_string_lossy(), path.to_string_lossy());
        vec![
            Step::write(why, &draft, content),
            Step::run("", self.command(["install", "-D", "-m", "0644", &from, &to])),
            Step::remove("", &draft),
        ]
    }
}

/// Who we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum User {
    /// root.
    Root,
    /// Somebody with `sudo` on the PATH.
    Sudo,
    /// Somebody without.
    Plain,
}

/// Who we are, by what we may do.
pub(crate) fn user(host: &Host) -> User {
    match (host.is_root, host.which("sudo")) {
        (true, _) => User::Root,
        (false, Some(_)) => User::Sudo,
        (false, None) => User::Plain,
    }
}
