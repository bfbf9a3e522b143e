//! The engine is killed while it builds, exports a save, or restores a cache mount.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::check::{self, Known};
use super::report::Report;
use super::running::{Ran, Running};
use super::site::{KEPT, Site};
use super::{Amount, Fault, Round};
use crate::bench::random::Random;

/// The part of a build in which the engine is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Build,
    Save,
    Restore,
}

/// The fault for one part.
pub(super) struct EngineKill {
    part: Part,
    /// The site that was measured, and when the part begins and ends there, in seconds.
    window: Option<(PathBuf, f64, f64)>,
}

/// One fault for each part.
pub(super) fn all() -> impl Iterator<Item = EngineKill> {
    [Part::Build, Part::Save, Part::Restore].into_iter().map(|part| EngineKill { part, window: None })
}

impl EngineKill {
    fn prepare(&self, site: &mut Site, random: &mut Random) -> Result<()> {
        site.edit("s0", random)?;
        if self.part == Part::Restore { site.forget() } else { Ok(()) }
    }

    fn measure(&self, site: &mut Site, random: &mut Random) -> Result<(PathBuf, f64, f64)> {
        let store = site.store();
        site.build(&store, &["s0", KEPT], &[])?;
        self.prepare(site, random)?;
        let ran = Running::start(site.build_command(&store, &["s0"], &[])?)?.wait()?;
        let report = Report::of(&ran)?;
        let saves = report.cache_seconds("save_seconds") + report.cache_seconds("take_out_seconds");
        let built = (ran.seconds - saves).max(0.0);
        let (begins, ends) = match self.part {
            Part::Build => (0.0, built),
            Part::Save => (built, ran.seconds),
            Part::Restore => (0.0, report.cache_seconds("put_back_seconds") + built / 2.0),
        };
        Ok((site.path(""), begins, ends))
    }
}

impl Fault for EngineKill {
    fn name(&self) -> String {
        format!("engine-{:?}", self.part).to_lowercase()
    }

    fn amount(&self) -> Amount {
        Amount::Rounds(20)
    }

    fn round(&mut self, site: &mut Site, random: &mut Random) -> Result<Round> {
        let window = match self.window.take().filter(|(measured, ..)| *measured == site.path("")) {
            Some(window) => window,
            None => self.measure(site, random)?,
        };
        let (_, begins, ends) = *self.window.insert(window);
        self.prepare(site, random)?;
        let store = site.store();
        let before = Known::read(site, &store)?;
        let at = Duration::from_secs_f64(begins + (ends - begins) * random.fraction());
        let mut running = Running::start(site.build_command(&store, &["s0"], &[])?)?;
        let is_early = running.wait_until(at)?.is_none();
        site.engine.crash()?;
        let ran = running.wait();
        site.engine.restart()?;
        let what = || format!("the engine was killed after {:.3} s of {ends:.3} s", at.as_secs_f64());
        one_clear_error(&ran?).with_context(what)?;
        check::store(site, &store, &before).with_context(what)?;
        site.build(&store, &["s0", KEPT], &[]).with_context(what)?;
        check::store(site, &store, &before).with_context(what)?;
        check::no_leftovers(site, &store)?;
        Ok(if is_early { Round::Held } else { Round::TooLate })
    }
}

/// Fails unless the command succeeded, maybe with warnings, or named one error.
pub(super) fn one_clear_error(ran: &Ran) -> Result<()> {
    let errors: Vec<&str> = ran.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    match ran.code {
        Some(0) => ensure!(errors.is_empty(), "an error and exit code 0: {}", ran.tail()),
        Some(1 | 3) => ensure!(errors.len() == 1, "{} errors instead of one: {}", errors.len(), ran.tail()),
        code => bail!("exit code {code:?}: {}", ran.tail()),
    }
    ensure!(!ran.stderr.contains("panicked"), "a panic: {}", ran.tail());
    Ok(())
}
