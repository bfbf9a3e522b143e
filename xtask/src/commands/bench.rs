//! `bench`: rebuilds of a copy of the images next to plain buildx, as ratios of one run.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::args::Parsed;
use crate::bench::chaos::{self, ChaosOptions};
use crate::bench::{self, Bench, ForecastOptions, leg, page};
use crate::commands::report;
use crate::engine::legs::Leg;
use crate::error::usage;
use crate::json;
use crate::process::signals::Supervised;
use crate::process::stdio::{errln, out, outln};
use crate::session::Session;
use crate::text::suggestion;

/// The option that names the engine.
const ENGINE: &str = "--engine";
/// The case that takes as long as one lets it.
const FORECAST: &str = "forecast";

/// The number that an option gives.
fn number(parsed: &Parsed, name: &str) -> Result<Option<u64>> {
    match parsed.one(name)? {
        Some(text) => text.parse().map(Some).map_err(|_| usage(format!("`{name} {text}` is not a number"))),
        None => Ok(None),
    }
}

pub(crate) fn run(session: &Session, parsed: &Parsed) -> Result<u8> {
    let (minutes, seed) = (number(parsed, "--minutes")?, number(parsed, "--seed")?.unwrap_or(1));
    if minutes.is_some() && !parsed.free.iter().any(|name| name == FORECAST) {
        return Err(usage(format!("`--minutes` is for `bench {FORECAST}` and `bench chaos` alone")));
    }
    let known = || bench::CASES.iter().map(|case| case.name);
    if let Some(unknown) = parsed.free.iter().find(|name| !known().any(|case| case == *name)) {
        let names: Vec<&str> = known().collect();
        let near = suggestion(unknown, known());
        return Err(usage(format!("unknown case `{unknown}`{near}\nthe cases: {}", names.join(", "))));
    }
    // A time alone is used up.
    let edits = number(parsed, "--edits")?.unwrap_or(if minutes.is_some() { u64::MAX } else { 200 });
    let edits = usize::try_from(edits).unwrap_or(usize::MAX);
    let forecast = ForecastOptions { edits, minutes, seed };
    session.layout.require_images()?;
    if let Some(name) = parsed.one(ENGINE)? {
        return on_leg(session, parsed, Leg::parse(&name)?);
    }
    let page = parsed.one("--page")?.map(|file| session.host.absolute(&file));
    page.as_deref().map_or(Ok(()), report::check_output)?;
    let rows = Bench::new(session)?.run(&parsed.free, forecast)?;
    let setting = page::Setting::read(session);
    if let Some(file) = page {
        page::write(&file, &setting, &rows)?;
    }
    if session.globals.json {
        let document = serde_json::json!({"schema": json::SCHEMA, "machine": setting, "rows": rows});
        outln!("{}", json::line(&document)?);
    } else {
        out!("{}", bench::table(&rows));
    }
    Ok(u8::from(rows.iter().any(|row| !row.within)))
}

/// Runs the benchmark in a process of its own, whose machine has the engine of a leg.
fn on_leg(session: &Session, parsed: &Parsed, leg: Leg) -> Result<u8> {
    let daemon = leg::start(session, leg, false)?;
    errln!("engine `{}`: {}", leg.name(), daemon.versions()?);
    let exe = session.host.exe.as_ref().context("failed to find this program")?;
    let mut command = std::process::Command::new(exe);
    command.arg("bench").args(&parsed.free).args(&parsed.switches).envs(daemon.environment());
    let values = parsed.values.iter().filter(|(name, _)| *name != ENGINE);
    command.args(values.flat_map(|(name, value)| [name, value.as_str()]));
    let child = Supervised::member(command.env_remove("DOCKER_CONTEXT"));
    let status = child.context("failed to start the benchmark")?.wait()?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

/// Runs `bench chaos`: faults of all kinds on a private engine. Returns 1 if a condition did not
/// hold.
pub(crate) fn chaos(session: &Session, parsed: &Parsed) -> Result<u8> {
    let minutes = number(parsed, "--minutes")?;
    let seed = number(parsed, "--seed")?.unwrap_or(1);
    let options = &ChaosOptions { minutes, seed, registry: registry(session), names: parsed.free.clone() };
    let known = chaos::names();
    let is_known = |name: &&String| known.iter().any(|fault| fault.starts_with(name.as_str()));
    if let Some(unknown) = options.names.iter().find(|name| !is_known(name)) {
        let near = suggestion(unknown, known.iter().map(String::as_str));
        return Err(usage(format!("unknown fault `{unknown}`{near}\nthe faults: {}", known.join(", "))));
    }
    let tallies = chaos::run(options)?;
    if session.globals.json {
        let document = serde_json::json!({"schema": json::SCHEMA, "seed": options.seed, "faults": tallies});
        outln!("{}", json::line(&document)?);
    } else {
        out!("{}", chaos::table(&tallies, options.seed));
    }
    Ok(u8::from(tallies.iter().any(|tally| !tally.failures.is_empty())))
}

/// Debian's `docker-registry`: installed, or unpacked for the tests.
fn registry(session: &Session) -> Option<PathBuf> {
    let unpacked = session.layout.test_tools().join("usr/bin/docker-registry");
    session.host.which("docker-registry").or_else(|| unpacked.is_file().then_some(unpacked))
}
