//! The chaos harness: faults that a user's machine may have, made to happen at random moments on a
//! private engine. After each, the store must be valid, nothing earlier lost, the next build right.

mod at_once;
mod check;
mod clock;
mod damage;
mod disk;
mod engine_kill;
mod full_disk;
mod kill;
mod registry;
mod report;
mod running;
mod server;
mod site;
mod tally;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::machine::{CONTAINERD_STORE, SecondDaemon};
use super::random::Random;
use crate::process::signals;
use crate::process::stdio::errln;
use site::Site;
pub(crate) use tally::{Tally, table};

/// How much is tried.
#[derive(Debug, Clone)]
pub(crate) struct ChaosOptions {
    /// The time that all faults share; without one, each has its full count.
    pub(crate) minutes: Option<u64>,
    /// The seed that all random choices follow from.
    pub(crate) seed: u64,
    /// Debian's `docker-registry`, if it is installed.
    pub(crate) registry: Option<PathBuf>,
    /// Only faults whose names begin with one of these; all if there are none.
    pub(crate) names: Vec<String>,
}

/// The full count of a fault.
#[derive(Debug, Clone, Copy)]
enum Amount {
    Rounds(usize),
    /// Rounds for this many minutes.
    Minutes(u64),
    /// All that there are; the fault says when it is done.
    All,
}

/// The end of a round.
enum Round {
    /// The fault happened, and all conditions held.
    Held,
    /// The command ended before the fault.
    TooLate,
    /// There is nothing more to try.
    Done,
    /// This machine cannot have the fault, with the reason.
    Skipped(String),
}

/// One kind of fault. An error of a round is a condition that did not hold.
trait Fault {
    fn name(&self) -> String;
    fn amount(&self) -> Amount;
    fn round(&mut self, site: &mut Site, random: &mut Random) -> Result<Round>;
}

/// All faults, those that found most first. Their engines get this base image.
fn faults(base: &str) -> Vec<Box<dyn Fault>> {
    let mut all: Vec<Box<dyn Fault>> = vec![Box::<damage::Damages>::default(), Box::new(at_once::AtOnce)];
    for operation in kill::OPERATIONS {
        all.push(Box::new(kill::Kill::new(operation)));
    }
    all.push(Box::new(full_disk::FullStore));
    for fault in engine_kill::all() {
        all.push(Box::new(fault));
    }
    all.push(Box::<clock::Clock>::default());
    for fault in registry::all() {
        all.push(Box::new(fault));
    }
    all.push(Box::new(full_disk::FullEngine::new(base)));
    all
}

/// The names of all faults.
pub(crate) fn names() -> Vec<String> {
    faults("").iter().map(|fault| fault.name()).collect()
}

/// Runs the faults and returns a line for each.
pub(crate) fn run(options: &ChaosOptions) -> Result<Vec<Tally>> {
    let base = &site::base_image()?;
    let is_chosen = |name: &str| {
        options.names.is_empty() || options.names.iter().any(|own| name.starts_with(own.as_str()))
    };
    let mut faults: Vec<Box<dyn Fault>> = faults(base);
    faults.retain(|fault| is_chosen(&fault.name()));
    let began = Instant::now();
    let end = options.minutes.map(|minutes| began + Duration::from_secs(minutes * 60));
    let mut place = Place { base: base.clone(), options, site: None };
    let mut tallies = Vec::new();
    let count = faults.len();
    for (at, mut fault) in faults.into_iter().enumerate() {
        // Time that one fault does not need goes to those after it.
        let share = end.map(|end| {
            end.saturating_duration_since(Instant::now()) / u32::try_from(count - at).unwrap_or(1)
        });
        tallies.push(place.run(&mut *fault, share)?);
    }
    Ok(tallies)
}

/// The site that all faults share. A fault that breaks something gets a new one.
struct Place<'a> {
    base: String,
    options: &'a ChaosOptions,
    site: Option<Site>,
}

impl Place<'_> {
    fn site(&self, random: &mut Random) -> Result<Site> {
        let mut site = Site::new(SecondDaemon::start(CONTAINERD_STORE)?, &self.base, random)?;
        site.registry_program.clone_from(&self.options.registry);
        Ok(site)
    }

    fn run(&mut self, fault: &mut dyn Fault, share: Option<Duration>) -> Result<Tally> {
        let mut tally = Tally::new(fault.name());
        errln!("{}", tally.name);
        let began = Instant::now();
        let amount = fault.amount();
        let is_over = |rounds: usize| match (share, amount) {
            (Some(share), _) => rounds > 0 && began.elapsed() >= share,
            (None, Amount::Rounds(limit)) => rounds >= limit,
            (None, Amount::Minutes(minutes)) => began.elapsed() >= Duration::from_secs(minutes * 60),
            (None, Amount::All) => false,
        };
        while !is_over(tally.tried()) {
            signals::check()?;
            let seed = round_seed(self.options.seed, &tally.name, tally.tried());
            let mut random = Random::new(seed);
            let mut site = match self.site.take() {
                Some(site) => site,
                None => self.site(&mut random)?,
            };
            match fault.round(&mut site, &mut random) {
                Ok(Round::Done) => {
                    self.site = Some(site);
                    break;
                }
                Ok(Round::Skipped(reason)) => {
                    tally.skipped = Some(reason);
                    self.site = Some(site);
                    break;
                }
                Ok(Round::Held) => {
                    tally.held += 1;
                    self.site = Some(site);
                }
                Ok(Round::TooLate) => {
                    tally.too_late += 1;
                    self.site = Some(site);
                }
                Err(error) => {
                    signals::check()?;
                    let kept = keep(&site)?;
                    tally.fail(format!("{error:#}\nits files: {}", kept.display()));
                }
            }
        }
        tally.seconds = began.elapsed().as_secs_f64();
        errln!("  {}", tally.line());
        Ok(tally)
    }
}

/// Returns a seed for each round, so that the rounds of one fault are independent of those of
/// another.
fn round_seed(seed: u64, fault: &str, round: usize) -> u64 {
    let name = fault.bytes().fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
    seed.wrapping_mul(1_000_003).wrapping_add(name).wrapping_add(round as u64)
}

/// Copies a site's files to a directory that stays.
fn keep(site: &Site) -> Result<PathBuf> {
    let dir = tempfile::Builder::new().prefix("durango-chaos-kept-").tempdir()?.keep();
    site.replace(&dir.join("site"), Some(&site.path(""))).context("failed to keep the files")?;
    Ok(dir)
}
