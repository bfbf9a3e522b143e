//! Runs a command to its end and collects its output. Unlike the standard library's `output`, the
//! command and its children end with this process.

use std::io::{self, Read};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use crate::process::signals::Supervised;

/// The interval of checks for an interrupt.
const TICK: Duration = Duration::from_millis(10);
/// The pauses between checks for the end, which most commands reach right after their output.
const SHORTEST_PAUSE: Duration = Duration::from_micros(200);

/// Runs commands to their end.
pub(crate) trait Collect {
    /// Runs the command with an empty stdin, and returns its output.
    ///
    /// # Errors
    ///
    /// Fails if it does not start, or if the user asks to stop while it runs.
    fn collect_output(&mut self) -> io::Result<Output>;
}

impl Collect for Command {
    fn collect_output(&mut self) -> io::Result<Output> {
        self.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = Supervised::leader(self)?;
        let (stdout, stderr) = (child.child().stdout.take(), child.child().stderr.take());
        let (sender, ends) = mpsc::channel::<()>();
        std::thread::scope(|scope| {
            let (first, second) = (sender.clone(), sender);
            let stdout = scope.spawn(move || read(stdout, first));
            let stderr = scope.spawn(move || read(stderr, second));
            // Both senders are dropped with the last byte.
            while ends.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) && !child.is_unwanted() {}
            let mut pause = SHORTEST_PAUSE;
            let status = loop {
                if child.is_unwanted() {
                    break child.wait();
                }
                match child.try_wait() {
                    Ok(None) => {}
                    Ok(Some(status)) => break Ok(status),
                    Err(error) => break Err(error),
                }
                std::thread::sleep(pause);
                pause = (pause * 2).min(TICK);
            };
            let status = status.map_err(io::Error::other)?;
            let text = |reader: std::thread::ScopedJoinHandle<'_, Vec<u8>>| reader.join().unwrap_or_default();
            Ok(Output { status, stdout: text(stdout), stderr: text(stderr) })
        })
    }
}

fn read(pipe: Option<impl Read>, _end: mpsc::Sender<()>) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A pipe that cannot be read has nothing to show.
    let _ = pipe.map(|mut pipe| pipe.read_to_end(&mut bytes));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_streams_and_the_status_are_collected() {
        // More than a pipe holds, on both.
        let script =
            "head -c 200000 /dev/zero; head -c 300000 /dev/zero >&2; exec >&- 2>&-; sleep 0.1; exit 7";
        let output = Command::new("sh").args(["-c", script]).collect_output().expect("sh runs");
        assert_eq!(
            (output.stdout.len(), output.stderr.len(), output.status.code()),
            (200_000, 300_000, Some(7))
        );
        assert!(Command::new("/nonexistent/program").collect_output().is_err());
    }
}
