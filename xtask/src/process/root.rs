//! The way to root's rights for commands.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::host::Host;
use crate::layout::Layout;
use crate::step::{Command, Step};

/// The way in which steps get root's rights.
#[derive(Debug, Clone)]
pub struct Root {
    sudo: bool,
    tmp: PathBuf,
}

impl Root {
    /// Creates it for steps that need root's rights.
    pub fn new(user: User, tmp: &Path) -> Result<Self> {
        if user == User::Plain {
            bail!(
                "failed to provision: this user is not root and there is no `sudo`\nrun the same command as root"
            );
        }
        Ok(Self { sudo: user == User::Sudo, tmp: tmp.to_owned() })
    }

    /// Creates it for a tool that also works without: root, sudo if it exists, else neither.
    pub fn of(host: &Host, layout: &Layout) -> Self {
        Self { sudo: user(host) == User::Sudo, tmp: layout.tmp() }
    }

    #[cfg(test)]
    pub(crate) fn for_test(user: User) -> Self {
        Self { sudo: user == User::Sudo, tmp: "/tmp/x".into() }
    }

    /// Returns whether commands use sudo.
    pub fn is_sudo(&self) -> bool {
        self.sudo
    }

    /// Returns a command as root.
    pub fn command<'a>(&self, argv: impl IntoIterator<Item = &'a str>) -> Command {
        let sudo = self.sudo.then_some("sudo");
        Command::new(sudo.into_iter().chain(argv))
    }

    /// Returns a command as root with a variable, which sudo would remove.
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

    /// Returns steps that write a file of root. sudo cannot write a file, but can install one.
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

/// The rights of this user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum User {
    Root,
    /// A user with `sudo` on the PATH.
    Sudo,
    /// A user without sudo.
    Plain,
}

/// Returns the rights of this user.
pub(crate) fn user(host: &Host) -> User {
    match (host.is_root, host.which("sudo")) {
        (true, _) => User::Root,
        (false, Some(_)) => User::Sudo,
        (false, None) => User::Plain,
    }
}
