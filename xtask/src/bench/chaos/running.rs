//! A command of xtask that runs: its end, within a limit, or its death at a given moment.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use crate::process::signals::{self, Supervised};

/// A command that takes longer is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(240);
/// How often a running command is looked at.
const PAUSE: Duration = Duration::from_millis(2);

/// A command that has ended.
pub(super) struct Ran {
    /// Its exit code; `None` if a signal ended it.
    pub(super) code: Option<i32>,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: String,
    pub(super) seconds: f64,
}

impl Ran {
    /// The last lines of its errors.
    pub(super) fn tail(&self) -> String {
        let lines: Vec<&str> = self.stderr.lines().collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }
}

/// A command that runs in a process group of its own.
pub(super) struct Running {
    child: Supervised,
    name: String,
    output: tempfile::TempDir,
    started: Instant,
}

impl Running {
    /// Starts a command. Its output goes to files: a process that it leaves behind holds no pipe.
    pub(super) fn start(mut command: Command) -> Result<Self> {
        signals::check()?;
        let output = tempfile::Builder::new().prefix("durango-chaos-").tempdir()?;
        let file = |name: &str| fs::File::create(output.path().join(name));
        command.stdin(Stdio::null()).stdout(file("stdout")?).stderr(file("stderr")?);
        let words = command.get_args().map(|arg| arg.to_string_lossy().into_owned());
        let name = words.take(4).collect::<Vec<_>>().join(" ");
        let child = Supervised::leader(&mut command).with_context(|| format!("failed to start `{name}`"))?;
        Ok(Self { child, name, output, started: Instant::now() })
    }

    /// Waits for its end.
    pub(super) fn wait(mut self) -> Result<Ran> {
        let Some(code) = self.wait_until(STUCK_AFTER)? else {
            let ran = self.ran(None);
            bail!("`{}` has not ended after {} s\n{}", self.name, STUCK_AFTER.as_secs(), ran.tail());
        };
        Ok(self.ran(code))
    }

    /// Ends it after this time from its start as `kill -9` does: its process alone, or the whole
    /// group. Returns whether it was still running.
    pub(super) fn kill_at(&mut self, after: Duration, group: bool) -> Result<bool> {
        if self.wait_until(after)?.is_some() {
            return Ok(false);
        }
        let send = self.child.sender();
        if group {
            send(Signal::KILL);
        } else {
            self.child.child().kill()?;
        }
        self.child.child().wait()?;
        Ok(true)
    }

    /// Ends what is left of its process group.
    pub(super) fn end_group(self) {
        (self.child.sender())(Signal::KILL);
    }

    /// Its exit code, if it ends within this time from its start.
    pub(super) fn wait_until(&mut self, after: Duration) -> Result<Option<Option<i32>>> {
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status.code()));
            }
            signals::check()?;
            let left = after.saturating_sub(self.started.elapsed());
            if left.is_zero() {
                return Ok(None);
            }
            std::thread::sleep(left.min(PAUSE));
        }
    }

    fn ran(&self, code: Option<i32>) -> Ran {
        let file = |name: &str| fs::read(self.output.path().join(name)).unwrap_or_default();
        Ran {
            code,
            stdout: file("stdout"),
            stderr: String::from_utf8_lossy(&file("stderr")).into_owned(),
            seconds: self.started.elapsed().as_secs_f64(),
        }
    }
}
