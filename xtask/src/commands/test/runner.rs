//! Runs the tests through a runner, reads its output while it runs, and ends it when a test hangs.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::output::{Failure, Totals};
use crate::exec::steps;
use crate::process::signals::Supervised;
use crate::session::Session;
use crate::step::Command;
use crate::text;

/// The program that runs the tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Runner {
    Libtest,
    Nextest,
}

impl Runner {
    pub(super) fn find(session: &Session) -> Self {
        if session.host.which("cargo-nextest").is_some() { Self::Nextest } else { Self::Libtest }
    }

    /// Returns the command that runs these tests. Filters can follow. Two run at a time: more
    /// builds at once would wait for each other's cores, and a failing one would be hard to read.
    pub(super) fn command(self, select: Select) -> Command {
        let argv: &[&str] = match self {
            Self::Libtest => &["cargo", "test", "--workspace", "--no-fail-fast", "--", "--test-threads=2"],
            Self::Nextest => {
                &["cargo", "nextest", "run", "--workspace", "--no-fail-fast", "--test-threads=2"]
            }
        };
        Command::new(argv.iter().copied()).args(self.select(select).iter().copied())
    }

    /// Returns the command that runs the tests of these names, one at a time.
    pub(super) fn again(self, select: Select, names: &[String]) -> Command {
        match self {
            Self::Libtest => {
                let argv = ["cargo", "test", "--workspace", "--no-fail-fast", "--", "--test-threads=1"];
                let command = Command::new(argv).args(self.select(select).iter().copied());
                command.args(["--exact"]).args(names.iter().cloned())
            }
            Self::Nextest => {
                let argv = ["cargo", "nextest", "run", "--workspace", "--no-fail-fast", "--test-threads=1"];
                let command = Command::new(argv).args(self.select(select).iter().copied());
                let tests: Vec<String> = names.iter().map(|name| format!("test(={name})")).collect();
                command.args(["-E", &tests.join(" | ")])
            }
        }
    }

    fn select(self, select: Select) -> &'static [&'static str] {
        match (self, select) {
            (_, Select::Quick) => &[],
            (Self::Libtest, Select::All) => &["--include-ignored"],
            (Self::Libtest, Select::Engine) => &["--ignored"],
            (Self::Nextest, Select::All) => &["--run-ignored", "all"],
            (Self::Nextest, Select::Engine) => &["--run-ignored", "only"],
        }
    }
}

/// The tests that run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Select {
    /// Those that need no engine.
    Quick,
    /// Those that need one.
    Engine,
    All,
}

/// Runs the tests, passes each line of their output to `show`, and counts. Ends them when one runs
/// longer than `limit`.
pub(super) fn count(
    command: &Command,
    runner: Runner,
    limit: Duration,
    show: impl Fn(&str),
) -> Result<(Totals, bool)> {
    let mut process = steps::to_process(command);
    match runner {
        Runner::Libtest => process.stdout(Stdio::piped()),
        Runner::Nextest => process.stderr(Stdio::piped()),
    };
    // A group of its own, so that what a test started ends with it.
    let child = Supervised::leader(&mut process);
    let mut child = child.with_context(|| format!("failed to run `{}`", command.argv[..2].join(" ")))?;
    let (sender, lines) = mpsc::channel();
    let streams = child.child();
    match (streams.stdout.take(), streams.stderr.take()) {
        (Some(stdout), _) => std::thread::spawn(move || send_lines(BufReader::new(stdout), &sender)),
        (None, stderr) => std::thread::spawn(move || {
            stderr.into_iter().for_each(|stderr| send_lines(BufReader::new(stderr), &sender));
        }),
    };
    let mut totals = Totals::new(limit);
    let take = |line: &str, totals: &mut Totals| {
        show(line);
        totals.add(line, Instant::now());
    };
    loop {
        match lines.recv_timeout(Duration::from_millis(200)) {
            Ok(line) => take(&line, &mut totals),
            Err(RecvTimeoutError::Disconnected) => return Ok((totals, child.wait()?.success())),
            // A process that outlived its test may hold the pipe open.
            Err(RecvTimeoutError::Timeout) if child.is_unwanted() || child.try_wait()?.is_some() => {
                lines.try_iter().for_each(|line| take(&line, &mut totals));
                return Ok((totals, child.wait()?.success()));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        let overdue = totals.overdue(Instant::now()).map(str::to_owned);
        if let Some(name) = overdue {
            let limit = text::seconds(limit.as_secs_f64());
            totals.failed += 1;
            totals.was_ended = true;
            let message = format!("it ran for more than {limit}: the tests were ended");
            totals.failures.push(Failure { name, message: vec![message] });
            return Ok((totals, false));
        }
    }
}

fn send_lines(reader: impl BufRead, to: &mpsc::Sender<String>) {
    for line in reader.split(b'\n').map_while(Result::ok) {
        if to.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::output::TEST_TIMEOUT;
    use super::*;

    #[test]
    fn both_runners_select_the_same_tests() {
        let line = |runner: Runner, select| runner.command(select).argv.join(" ");
        let ends = |select, libtest: &str, nextest: &str| {
            assert!(line(Runner::Libtest, select).ends_with(libtest), "{select:?}");
            assert!(line(Runner::Nextest, select).ends_with(nextest), "{select:?}");
        };
        ends(Select::Quick, " -- --test-threads=2", " --test-threads=2");
        ends(Select::All, " --include-ignored", " --run-ignored all");
        ends(Select::Engine, " --ignored", " --run-ignored only");
    }

    #[test]
    fn both_runners_run_tests_again_one_at_a_time_by_their_exact_names() {
        let line = |runner: Runner| {
            runner.again(Select::Engine, &["a::b".to_owned(), "c".to_owned()]).argv.join(" ")
        };
        assert!(line(Runner::Libtest).ends_with(" -- --test-threads=1 --ignored --exact a::b c"));
        assert!(
            line(Runner::Nextest).ends_with(" --test-threads=1 --run-ignored only -E test(=a::b) | test(=c)")
        );
    }

    fn shell(script: &str, limit: Duration) -> (Totals, bool) {
        count(&Command::new(["sh", "-c", script]), Runner::Libtest, limit, |_| ()).expect("a shell")
    }

    #[test]
    fn the_runner_s_counts_and_exit_code_are_the_result() {
        let (totals, success) = shell("echo 'test result: ok. 1 passed; 0 failed; 2 ignored'", TEST_TIMEOUT);
        assert_eq!((totals.passed, totals.skipped, success), (1, 2, true));
        assert!(!shell("exit 3", TEST_TIMEOUT).1);
    }

    #[test]
    fn a_process_that_holds_the_output_open_does_not_hang_the_runner() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let path = file.path().display();
        let script = format!("sleep 3600 2>/dev/null & echo $! >{path}; echo 'test result: ok. 1 passed'");
        let (totals, success) = shell(&script, TEST_TIMEOUT);
        let pid = fs::read_to_string(file.path()).expect("a process id");
        assert!(std::process::Command::new("kill").arg(pid.trim()).status().expect("kill runs").success());
        assert_eq!((totals.passed, success), (1, true));
    }

    #[test]
    fn a_test_that_hangs_is_ended_with_all_that_it_started() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let script = format!(
            "sleep 3600 2>/dev/null & echo $! >{}; echo 'test it::slow has been running for over 60 seconds'; wait",
            file.path().display()
        );
        let (totals, success) = shell(&script, Duration::from_secs(60));
        assert_eq!((totals.failed, success), (1, false));
        let [Failure { name, message }] = &totals.failures[..] else { panic!("{totals:?}") };
        assert_eq!((name.as_str(), message.len()), ("it::slow", 1));
        assert_eq!(message[0], "it ran for more than 60 s: the tests were ended");
        assert!(!totals.is_explained());
        let pid = fs::read_to_string(file.path()).expect("a process id");
        // Its end is sent, not yet done.
        let stat = || fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
        let ended = (0..3000).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            stat().is_empty() || stat().contains(") Z ")
        });
        assert!(ended, "it still runs: {}", stat());
    }
}
