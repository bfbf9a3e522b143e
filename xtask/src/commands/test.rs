//! `test`: every test, through nextest if it is installed and cargo's own runner otherwise. Tests
//! that need an engine are marked `ignored`.

mod output;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::args::Parsed;
use crate::base_image;
use crate::base_image::BaseImage;
use crate::bench::machine::{CONTAINERD_STORE, SecondDaemon};
use crate::defaults;
use crate::engine::facts;
use crate::engine::legs::{self, Leg};
use crate::engine::problem::Problem;
use crate::error::usage;
use crate::exec::steps;
use crate::process::signals::Supervised;
use crate::process::stdio::outln;
use crate::provision;
use crate::session::Session;
use crate::step::Command;
use crate::text;

use output::{LIMIT, Totals};

/// The file that a test writes its name and a reason to when this machine cannot run it.
const SKIPS: &str = "DURANGO_TEST_SKIPS";

/// Runs `test`.
pub(crate) fn run(session: &Session, parsed: &Parsed) -> Result<u8> {
    if parsed.flag("--provision") {
        steps::run(&provision::steps(session)?, session.globals.verbose)?;
        let tools = provision::test_tools::steps(&session.host, &session.layout);
        steps::run(&tools, session.globals.verbose)?;
        let browser = provision::browser::steps(&session.host, &session.layout);
        steps::run(&browser, session.globals.verbose)?;
    }
    let allowed = match parsed.one("--allow-skips")? {
        Some(number) => {
            number.parse().map_err(|_| usage(format!("`--allow-skips {number}` is no number")))?
        }
        None => 0,
    };
    let quick = parsed.flag("--quick");
    if !quick {
        facts::read(session).map_err(|problem| {
            problem
                .into_error()
                .context("the tests need an engine\n`cargo xtask test --quick` runs those that do not")
        })?;
    }
    let leg = parsed.one("--engine")?.map(|name| Leg::parse(&name)).transpose()?;
    let daemon = leg.map(|leg| start(session, leg, parsed.flag("--provision"))).transpose()?;
    // Without a filter, another engine runs what depends on it.
    let topics = leg.filter(|_| parsed.free.is_empty()).and_then(Leg::topics).unwrap_or_default();
    let select = match topics[..] {
        _ if quick => Select::Quick,
        [] => Select::All,
        [_, ..] => Select::Engine,
    };
    let filters = topics.iter().map(|topic| format!("{topic}::")).chain(parsed.free.iter().cloned());
    let runner = Runner::find(session);
    let skips = tempfile::NamedTempFile::new()?;
    let mut command = runner.command(select).args(filters).cwd(&session.layout.root);
    command = command.env(SKIPS, skips.path().to_string_lossy());
    for (name, value) in daemon.iter().flat_map(SecondDaemon::environment) {
        command = command.env(name, value);
    }
    let started = Instant::now();
    let (mut totals, success) = count(&command, runner, LIMIT, |line| outln!("{line}"))?;
    // The failures are far above by now, between all the tests that passed.
    totals.failures.iter().for_each(|line| outln!("{line}"));
    let skips = fs::read_to_string(skips.path())?;
    skips.lines().for_each(|line| outln!("skipped {line}"));
    totals.add_skips(&skips);
    let on = leg.map(|leg| format!(" on the engine `{}`", leg.name())).unwrap_or_default();
    outln!("tests took {}{on}", text::seconds(started.elapsed().as_secs_f64()));
    let too_many = session.host.var("CI").is_some() && skips.lines().count() > allowed;
    if too_many {
        outln!("error: more tests were skipped than the {allowed} that `--allow-skips` allows");
    }
    outln!("{} passed, {} failed, {} skipped", totals.passed, totals.failed, totals.skipped);
    Ok(u8::from(!success || too_many))
}

/// Starts the engine of a leg next to the machine's own, and gives it the base image that the
/// machine's engine has.
fn start(session: &Session, leg: Leg, again: bool) -> Result<SecondDaemon> {
    let (programs, steps) = legs::prepare(session, leg, again)?;
    steps::run(&steps, session.globals.verbose)?;
    let engine = facts::read(session).map_err(Problem::into_error)?;
    let daemon = SecondDaemon::start_as(CONTAINERD_STORE, Some(&programs))?;
    match base_image::state(session, &engine, defaults::PINNED)? {
        BaseImage::Registry => {}
        BaseImage::Missing => {
            steps::run(&base_image::steps(session, &engine, defaults::TAG)?, session.globals.verbose)?;
            daemon.receive(defaults::TAG)?;
        }
        found => daemon.receive(found.reference(defaults::PINNED))?,
    }
    outln!("engine `{}`: {}", leg.name(), daemon.versions()?);
    Ok(daemon)
}

/// The program that runs the tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Runner {
    Libtest,
    Nextest,
}

impl Runner {
    fn find(session: &Session) -> Self {
        if session.host.which("cargo-nextest").is_some() { Self::Nextest } else { Self::Libtest }
    }

    /// The command that runs these tests; filters can follow. Two at a time: more builds at once
    /// would wait for each other's cores, and a failing one would be hard to read.
    fn command(self, select: Select) -> Command {
        let argv: &[&str] = match self {
            Self::Libtest => &["cargo", "test", "--workspace", "--no-fail-fast", "--", "--test-threads=2"],
            Self::Nextest => {
                &["cargo", "nextest", "run", "--workspace", "--no-fail-fast", "--test-threads=2"]
            }
        };
        let select: &[&str] = match (self, select) {
            (_, Select::Quick) => &[],
            (Self::Libtest, Select::All) => &["--include-ignored"],
            (Self::Libtest, Select::Engine) => &["--ignored"],
            (Self::Nextest, Select::All) => &["--run-ignored", "all"],
            (Self::Nextest, Select::Engine) => &["--run-ignored", "only"],
        };
        Command::new(argv.iter().copied()).args(select.iter().copied())
    }
}

/// Which tests run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Select {
    /// Those that need no engine.
    Quick,
    /// Those that need one.
    Engine,
    All,
}

/// Runs the tests, passes each line of their output to `show` and counts. Ends them when one runs
/// for longer than `limit`.
fn count(command: &Command, runner: Runner, limit: Duration, show: impl Fn(&str)) -> Result<(Totals, bool)> {
    let mut process = steps::process(command);
    // A group of its own, so that what a test started ends with it.
    process.process_group(0);
    match runner {
        Runner::Libtest => process.stdout(Stdio::piped()),
        Runner::Nextest => process.stderr(Stdio::piped()),
    };
    let child =
        process.spawn().with_context(|| format!("failed to run `{}`", command.argv[..2].join(" ")))?;
    let mut child = Supervised::leader(child);
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
            totals.failures.push(format!("{name} ran for more than {limit}: the tests were ended"));
            totals.failed += 1;
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

    fn shell(script: &str, limit: Duration) -> (Totals, bool) {
        count(&Command::new(["sh", "-c", script]), Runner::Libtest, limit, |_| ()).expect("a shell")
    }

    #[test]
    fn the_runner_s_counts_and_exit_code_are_the_result() {
        let (totals, success) = shell("echo 'test result: ok. 1 passed; 0 failed; 2 ignored'", LIMIT);
        assert_eq!((totals.passed, totals.skipped, success), (1, 2, true));
        assert!(!shell("exit 3", LIMIT).1);
    }

    #[test]
    fn a_process_that_holds_the_output_open_does_not_hang_the_runner() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let path = file.path().display();
        let script = format!("sleep 3600 2>/dev/null & echo $! >{path}; echo 'test result: ok. 1 passed'");
        let (totals, success) = shell(&script, LIMIT);
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
        assert_eq!(totals.failures, ["it::slow ran for more than 60 s: the tests were ended"]);
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
