//! `test`: every test, through nextest if it is installed and cargo's own runner otherwise. Tests
//! that need an engine are marked `ignored`.

mod output;
mod runner;
mod verdict;

use std::fs;
use std::time::Instant;

use anyhow::Result;

use crate::args::Parsed;
use crate::bench::leg;
use crate::bench::machine::SecondDaemon;
use crate::engine::facts;
use crate::engine::legs::Leg;
use crate::error::usage;
use crate::exec::{provisioning, steps};
use crate::process::signals;
use crate::process::stdio::outln;
use crate::provision;
use crate::session::Session;
use crate::step::Command;
use crate::text;

use output::TEST_TIMEOUT;
use runner::{Runner, Select};
use verdict::Verdict;

/// The file that a test writes its name and a reason to when this machine cannot run it.
const SKIPS: &str = "DURANGO_TEST_SKIPS";

/// Runs `test`.
pub(crate) fn run(session: &Session, parsed: &Parsed) -> Result<u8> {
    session.layout.require_images()?;
    if parsed.flag("--provision") {
        provisioning::run(session, &provision::steps(session)?)?;
        let tools = provision::test_tools::steps(&session.host, &session.layout);
        steps::run(&tools, session.globals.verbose)?;
        let browser = provision::browser::steps(&session.host, &session.layout);
        steps::run(&browser, session.globals.verbose)?;
    }
    let allowed = match parsed.one("--allow-skips")? {
        Some(number) => {
            number.parse().map_err(|_| usage(format!("`--allow-skips {number}` is not a number")))?
        }
        None => 0,
    };
    let quick = parsed.flag("--quick");
    if !quick {
        facts::read(session).map_err(|problem| {
            problem
                .into_error()
                .context("the tests need an engine\nrun `cargo xtask test --quick` for those that do not")
        })?;
    }
    let leg = parsed.one("--engine")?.map(|name| Leg::parse(&name)).transpose()?;
    let daemon = leg.map(|leg| leg::start(session, leg, parsed.flag("--provision"))).transpose()?;
    if let (Some(leg), Some(daemon)) = (leg, &daemon) {
        outln!("engine `{}`: {}", leg.name(), daemon.versions()?);
    }
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
    let environment = |command: Command| {
        // Many tests send signals to what they start, and would wait for ever.
        let command = if signals::are_ignored() { command.with_default_signals() } else { command };
        let command = command.cwd(&session.layout.root).env(SKIPS, skips.path().to_string_lossy());
        let own = daemon.iter().flat_map(SecondDaemon::environment);
        own.fold(command, |command, (name, value)| command.env(name, value))
    };
    let show = |line: &str| outln!("{line}");
    let started = Instant::now();
    let first =
        runner::count(&environment(runner.command(select).args(filters)), runner, TEST_TIMEOUT, show)?;
    let mut verdict = Verdict::new(first);
    let names = verdict.names_to_run_again();
    if !names.is_empty() {
        outln!("running {} failed tests again, one at a time", names.len());
        let again = runner::count(&environment(runner.again(select, &names)), runner, TEST_TIMEOUT, show)?;
        verdict.add_second_run(again);
    }
    let skips = fs::read_to_string(skips.path())?;
    skips.lines().for_each(|line| outln!("skipped {line}"));
    verdict.add_skips(&skips);
    let on = leg.map(|leg| format!(" on the engine `{}`", leg.name())).unwrap_or_default();
    outln!("tests took {}{on}", text::seconds(started.elapsed().as_secs_f64()));
    let too_many = session.host.var("CI").is_some() && skips.lines().count() > allowed;
    if too_many {
        outln!("error: more tests were skipped than the {allowed} that `--allow-skips` allows");
    }
    outln!("{}", verdict.text());
    Ok(u8::from(!verdict.is_success() || too_many))
}
