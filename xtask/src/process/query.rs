//! Runs a query command with a timeout.

use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::error;
use crate::process::signals::Supervised;

/// The maximum length of an answer in bytes. That of `du` for 100,000 records has 40 MB.
const LONGEST_ANSWER: u64 = 256 << 20;

/// The answer of a query.
#[derive(Debug, Clone)]
pub(crate) struct QueryOutput {
    /// Whether it exited with 0.
    pub success: bool,
    pub stdout: String,
    pub stderr: String,
}

/// A running query. Several may run in parallel.
pub(crate) struct RunningQuery {
    line: String,
    longest: u64,
    child: Supervised,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
}

/// Starts a query command.
pub(crate) fn start(command: xshell::Cmd<'_>) -> Result<RunningQuery> {
    let line = command.to_string();
    start_process(Command::from(command), line)
}

/// Starts a query process. Messages show it as `line`.
pub(crate) fn start_process(command: Command, line: String) -> Result<RunningQuery> {
    start_limited(command, line, LONGEST_ANSWER)
}

fn start_limited(mut command: Command, line: String, longest: u64) -> Result<RunningQuery> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = Supervised::leader(&mut command).with_context(|| format!("failed to run `{line}`"))?;
    let stdout = drain(child.child().stdout.take(), longest);
    let stderr = drain(child.child().stderr.take(), longest);
    Ok(RunningQuery { line, longest, child, stdout, stderr })
}

/// Runs `command` to its end and reads its output. After `limit` it is killed, which is an error.
pub(crate) fn query(command: xshell::Cmd<'_>, limit: Duration) -> Result<QueryOutput> {
    start(command)?.answer(limit)
}

impl RunningQuery {
    /// Waits for the end. After `limit` from now, or an interrupt, the command and all its children
    /// are killed, which is an error.
    pub(crate) fn answer(self, limit: Duration) -> Result<QueryOutput> {
        let line = self.line.clone();
        self.answer_while(limit, &|| true)?.with_context(|| format!("`{line}` was interrupted"))
    }

    /// Waits like [`Self::answer`]. Gives up with `None` as soon as `is_wanted` returns false;
    /// calls it repeatedly.
    pub(crate) fn answer_while(
        mut self,
        limit: Duration,
        is_wanted: &dyn Fn() -> bool,
    ) -> Result<Option<QueryOutput>> {
        let started = Instant::now();
        let mut pause = Duration::from_millis(1);
        let mut stdout = None;
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            if self.child.is_unwanted() {
                return Err(error::interrupted());
            }
            if started.elapsed() > limit {
                bail!("no answer from `{}` within {} s", self.line, limit.as_secs());
            }
            if !is_wanted() {
                return Ok(None);
            }
            pause = (pause * 2).min(Duration::from_millis(8));
            if stdout.is_some() {
                std::thread::sleep(pause);
            } else {
                // A process ends soon after its output.
                stdout = match self.stdout.recv_timeout(pause) {
                    Err(RecvTimeoutError::Timeout) => None,
                    ended => Some(ended.unwrap_or_default()),
                };
                pause = if stdout.is_some() { Duration::from_micros(100) } else { pause };
            }
        };
        // A remaining process may keep the pipes open.
        let text = |pipe: &Receiver<String>| pipe.recv_timeout(limit).unwrap_or_default();
        let stdout = stdout.unwrap_or_else(|| text(&self.stdout));
        if stdout.len() as u64 > self.longest {
            bail!("the answer of `{}` is longer than {} bytes", self.line, self.longest);
        }
        Ok(Some(QueryOutput { success: status.success(), stdout, stderr: text(&self.stderr) }))
    }
}

/// The number of lines of an unreadable answer in an error.
const SHOWN_LINES: usize = 3;

/// Returns the error for an answer in an unknown format, with its first lines.
pub(crate) fn unreadable(command: &str, answer: &str) -> String {
    let lines: Vec<&str> = answer.lines().take(SHOWN_LINES).collect();
    format!("failed to read the answer of `{command}`:\n{}", lines.join("\n"))
}

/// Reads a pipe to its end, and at most a byte more than the longest answer.
fn drain(pipe: Option<impl Read + Send + 'static>, longest: u64) -> Receiver<String> {
    let (sender, text) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(pipe) = pipe {
            let _ = pipe.take(longest + 1).read_to_end(&mut bytes);
        }
        sender.send(String::from_utf8_lossy(&bytes).into_owned())
    });
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_without_an_end_is_an_error() {
        let query = start_limited(Command::new("yes"), "yes".into(), 1000).expect("it runs");
        let error = query.answer(Duration::from_secs(60)).expect_err("it is too long").to_string();
        assert_eq!(error, "the answer of `yes` is longer than 1000 bytes");
    }
}
