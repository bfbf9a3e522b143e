//! Installing and starting the engine: facts about the machine ([`facts`]) -> what is missing ([`packages`]) and how the
//! daemon is started ([`daemon`]) -> steps. Nothing here changes anything; a machine that lacks nothing yields no steps.

pub mod browser;
pub mod daemon;
pub mod facts;
pub mod packages;
pub mod probe;
pub mod test_tools;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::cli::Session;
use crate::host::Host;
use crate::layout::Layout;
use crate::plan::step::{Command, Step};
use facts::{Daemon, Facts, User};

/// The steps that make this machine able to build; none where it is already. Run them, then ask the engine again.
pub fn steps(session: &Session) -> Result<Vec<Step>> {
    decide(&Facts::read(session))
}

/// From facts to steps.
pub fn decide(facts: &Facts) -> Result<Vec<Step>> {
    if let Daemon::Hangs(pid) = facts.daemon {
        return Ok(vec![daemon::await_process(pid)]);
    }
    let missing = packages::missing(facts)?;
    let must_start = facts.daemon == Daemon::Down;
    if missing.is_empty() && !must_start {
        return Ok(Vec::new());
    }
    let root = Root::new(facts)?;
    let configure = if must_start { daemon::configure(facts, &root)? } else { Vec::new() };
    let mut steps = packages::prepare(facts, &missing, &root)?;
    // Between the two: the package starts the daemon where services may start, and a mirror that is down changes little.
    steps.extend(configure);
    steps.extend(packages::install(&missing, &root));
    if must_start {
        steps.extend(daemon::start(facts, &root));
    }
    Ok(steps)
}

/// How steps get the rights of root.
#[derive(Debug, Clone)]
pub struct Root {
    sudo: bool,
    tmp: PathBuf,
}

impl Root {
    fn new(facts: &Facts) -> Result<Self> {
        if facts.user == User::Plain {
            bail!(
                "failed to provision: this user is not root and there is no `sudo`\nrun the same command as root"
            );
        }
        Ok(Self { sudo: facts.user == User::Sudo, tmp: facts.tmp.clone() })
    }

    /// For a tool that also knows to do without: root, sudo where there is one, else neither.
    pub fn of(host: &Host, layout: &Layout) -> Self {
        Self { sudo: facts::user(host) == User::Sudo, tmp: layout.tmp() }
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

#[cfg(test)]
mod tests;
