//! `test`: every test through cargo's own runner; those that need an engine are marked `ignored` there.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::args::Parsed;
use crate::base_image;
use crate::base_image::BaseImage;
use crate::bench::machine::{CONTAINERD_STORE, SecondDaemon};
use crate::defaults;
use crate::engine::facts;
use crate::engine::legs::{self, Leg};
use crate::engine::problem::Problem;
use crate::exec::steps;
use crate::process::signals::Supervised;
use crate::process::stdio::outln;
use crate::provision;
use crate::session::Session;
use crate::step::Command;
use crate::text;

/// Runs `test`.
pub fn run(session: &Session, parsed: &Parsed) -> Result<u8> {
    if parsed.flag("--provision") {
        steps::run(&provision::steps(session)?, session.globals.verbose)?;
        let tools = provision::test_tools::steps(&session.host, &session.layout);
        steps::run(&tools, session.globals.verbose)?;
        let browser = provision::browser::steps(&session.host, &session.layout);
        steps::run(&browser, session.globals.verbose)?;
    }
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
    // Builds at once would wait for each other's cores and the failing one would be hard to read.
    let mut command =
        Command::new(["cargo", "test", "--workspace", "--no-fail-fast", "--", "--test-threads=2"]);
    // Without a filter, another engine runs what depends on it.
    let topics = leg.filter(|_| parsed.free.is_empty()).and_then(Leg::topics);
    command = match &topics {
        _ if quick => command,
        Some(topics) => command.args(["--ignored"]).args(topics.iter().map(|topic| format!("{topic}::"))),
        None => command.args(["--include-ignored"]),
    };
    command = command.args(parsed.free.iter().cloned()).cwd(&session.layout.root);
    for (name, value) in daemon.iter().flat_map(SecondDaemon::environment) {
        command = command.env(name, value);
    }
    let started = Instant::now();
    let (totals, success) = count(&command)?;
    // Far above by now, between all the tests that passed.
    totals.failures.iter().for_each(|line| outln!("{line}"));
    let on = leg.map(|leg| format!(" on the engine `{}`", leg.name())).unwrap_or_default();
    outln!(
        "{} passed, {} failed, {} skipped in {}{on}",
        totals.passed,
        totals.failed,
        totals.ignored,
        text::seconds(started.elapsed().as_secs_f64())
    );
    Ok(u8::from(!success))
}

/// Starts the engine of a leg next to the machine's own, and gives it the base image that the machine's engine has.
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

/// How much of a failing test's output is said again at the end.
const LINES: usize = 24;

/// Sums over cargo's `test result:` lines, and how the failing tests' output begins.
#[derive(Debug, Default, PartialEq, Eq)]
struct Totals {
    passed: u32,
    failed: u32,
    ignored: u32,
    failures: Vec<String>,
    /// Lines still to come of a failure.
    open: usize,
}

impl Totals {
    fn add(&mut self, line: &str) {
        if line.starts_with("---- ") && line.ends_with(" stdout ----") {
            self.open = LINES;
        } else if line == "failures:" {
            self.open = 0;
        }
        if self.open > 0 {
            self.open -= 1;
            self.failures.push(line.to_owned());
        }
        let Some(result) = line.strip_prefix("test result: ") else { return };
        let number = |part: &str| part.rsplit(' ').find_map(|word| word.parse::<u32>().ok()).unwrap_or(0);
        for part in result.split(';') {
            match part.trim().rsplit(' ').next() {
                Some("passed") => self.passed += number(part),
                Some("failed") => self.failed += number(part),
                Some("ignored") => self.ignored += number(part),
                _ => {}
            }
        }
    }
}

/// Runs the tests, passes their output on and counts.
fn count(command: &Command) -> Result<(Totals, bool)> {
    let mut process = steps::process(command);
    let child = process.stdout(Stdio::piped()).spawn().context("failed to run `cargo test`")?;
    let mut child = Supervised::new(child);
    let mut totals = Totals::default();
    if let Some(stdout) = child.child().stdout.take() {
        for line in BufReader::new(stdout).lines() {
            let line = line?;
            totals.add(&line);
            outln!("{line}");
        }
    }
    Ok((totals, child.wait()?.success()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_is_said_again_in_short() {
        let mut totals = Totals::default();
        let long = "x\n".repeat(100);
        let output = format!(
            "failures:\n\n---- one stdout ----\nexit code 3\n{long}\n---- two stdout ----\nno\n\nfailures:\n    one"
        );
        output.lines().for_each(|line| totals.add(line));
        assert_eq!(totals.failures.len(), LINES + 3, "{totals:?}");
        assert_eq!(totals.failures[1], "exit code 3");
        assert_eq!(totals.failures[LINES..], ["---- two stdout ----", "no", ""]);
    }

    #[test]
    fn totals_are_sums_over_all_binaries() {
        let mut totals = Totals::default();
        totals.add(
            "test result: ok. 12 passed; 0 failed; 3 ignored; 0 measured; 1 filtered out; finished in 0.01s",
        );
        totals.add("test tests::x ... ok");
        totals.add("test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s");
        assert_eq!((totals.passed, totals.failed, totals.ignored), (13, 2, 3));
    }
}
