//! Running a command that only asks, within a time limit.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// What a question was answered with.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Whether it exited with 0.
    pub success: bool,
    /// Its stdout.
    pub stdout: String,
    /// Its stderr.
    pub stderr: String,
}

/// A question under way; several may be at once.
pub struct Asking {
    line: String,
    child: Child,
    stdout: JoinHandle<String>,
    stderr: JoinHandle<String>,
}

/// Starts a command that only asks.
pub fn start(command: xshell::Cmd<'_>) -> Result<Asking> {
    let line = command.to_string();
    let mut command = Command::from(command);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("failed to run `{line}`"))?;
    let (stdout, stderr) = (drain(child.stdout.take()), drain(child.stderr.take()));
    Ok(Asking { line, child, stdout, stderr })
}

/// Runs `command` to its end and reads what it prints; after `limit` it is killed and that is an error.
pub fn ask(command: xshell::Cmd<'_>, limit: Duration) -> Result<Answer> {
    start(command)?.answer(limit)
}

impl Asking {
    /// Waits for the end; after `limit` from now the command is killed and that is an error.
    pub fn answer(self, limit: Duration) -> Result<Answer> {
        let line = self.line.clone();
        self.answer_while(limit, &|| true)?.with_context(|| format!("`{line}` was stopped"))
    }

    /// The same, as long as the answer is wanted, which is asked again and again; else the command is killed and there is none.
    pub fn answer_while(mut self, limit: Duration, is_wanted: &dyn Fn() -> bool) -> Result<Option<Answer>> {
        let started = Instant::now();
        let mut pause = Duration::from_millis(1);
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            let is_late = started.elapsed() > limit;
            if is_late || !is_wanted() {
                self.child.kill()?;
                self.child.wait()?;
                if is_late {
                    bail!("`{}` gave no answer within {} s", self.line, limit.as_secs());
                }
                return Ok(None);
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(8));
        };
        let text = |thread: JoinHandle<String>| thread.join().unwrap_or_default();
        Ok(Some(Answer { success: status.success(), stdout: text(self.stdout), stderr: text(self.stderr) }))
    }
}

fn drain(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
