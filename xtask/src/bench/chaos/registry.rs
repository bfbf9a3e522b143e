//! A registry that stalls, cuts answers, lies, is full, or forgets.

use anyhow::{Context, Result, ensure};

use super::report::Report;
use super::running::Running;
use super::server::{Registry, Trouble};
use super::site::{KEPT, Site, remove};
use super::{Amount, Fault, Round};
use crate::bench::random::Random;

/// A build with a registry in trouble may take that many seconds more than without trouble: a few
/// answers of 4 s each, the silence before a push is given up, and a slow machine.
const WAIT: f64 = 60.0;
/// Bytes that a full registry has free at most.
const FREE: usize = 2_000_000;

/// The reason for a fault that is skipped.
pub(super) const MISSING_REGISTRY: &str =
    "`docker-registry` is missing; `cargo xtask test --provision` installs it";

/// The trouble of one fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Stalls,
    Cuts,
    Lies,
    Full,
    Forgets,
}

/// The fault for one kind of trouble.
pub(super) struct RegistryTrouble {
    kind: Kind,
    /// Seconds of a build without trouble, on a site that is known by its registry's address.
    usual: Option<(String, f64)>,
    /// The longest wait so far, in seconds.
    longest: f64,
}

/// One fault for each kind.
pub(super) fn all() -> impl Iterator<Item = RegistryTrouble> {
    let kinds = [Kind::Stalls, Kind::Cuts, Kind::Lies, Kind::Full, Kind::Forgets];
    kinds.into_iter().map(|kind| RegistryTrouble { kind, usual: None, longest: 0.0 })
}

impl RegistryTrouble {
    /// Builds on a new machine that has nothing but the registry.
    fn on_a_new_machine(site: &Site, cache: &str) -> Result<(Report, f64)> {
        let store = site.path("empty");
        remove(&store)?;
        let ran = Running::start(site.build_command(&store, &["s0", KEPT], &["--cache", cache])?)?.wait()?;
        let report = Report::of(&ran)?;
        ["s0", KEPT].iter().try_for_each(|service| site.check_image(service))?;
        Ok((report, ran.seconds))
    }

    /// Returns the seconds of a build without trouble of which the builder has nothing.
    fn usual_now(site: &Site, cache: &str) -> Result<f64> {
        site.forget()?;
        Ok(Self::on_a_new_machine(site, cache)?.1)
    }

    fn begin(&self, registry: &Registry, random: &mut Random) -> Result<()> {
        // Small numbers are as likely as large ones: most answers are short.
        let after = 1_u64 << random.below(24);
        match self.kind {
            Kind::Stalls => registry.make(Trouble::Stall(after)),
            Kind::Cuts => registry.make(Trouble::Cut(after)),
            Kind::Lies => registry.make(Trouble::Lie(after)),
            Kind::Full => {
                registry.disk().context("no small disk")?.leave(random.below(FREE) as u64)?;
            }
            Kind::Forgets => registry.forget(random)?,
        }
        Ok(())
    }
}

impl Fault for RegistryTrouble {
    fn name(&self) -> String {
        format!("registry-{:?}", self.kind).to_lowercase()
    }

    fn amount(&self) -> Amount {
        Amount::Rounds(20)
    }

    fn round(&mut self, site: &mut Site, random: &mut Random) -> Result<Round> {
        if !site.start_registry()? {
            return Ok(Round::Skipped(MISSING_REGISTRY.to_owned()));
        }
        let registry = site.registry()?;
        if self.kind == Kind::Full && registry.disk().is_none() {
            return Ok(Round::Skipped("a small disk needs root".to_owned()));
        }
        let cache = registry.cache();
        if self.usual.as_ref().is_none_or(|(measured, _)| *measured != cache) {
            Self::on_a_new_machine(site, &cache)?;
            self.usual = Some((cache.clone(), Self::usual_now(site, &cache)?));
        }
        let usual = self.usual.as_ref().map_or(0.0, |(_, seconds)| *seconds);
        if random.once_in(2) || self.kind == Kind::Full {
            site.edit("s0", random)?;
        }
        if random.once_in(2) {
            site.forget()?;
        }
        let registry = site.registry()?;
        self.begin(registry, random)?;
        let built = Self::on_a_new_machine(site, &cache);
        registry.make(Trouble::None);
        if let Some(disk) = registry.disk() {
            disk.make_large()?;
        }
        let (report, seconds) = built.context("while the registry was in trouble")?;
        self.longest = self.longest.max(seconds - usual);
        // The machine may have more to do by now: a build from nothing, which takes longest, tells.
        let is_late = seconds >= usual + WAIT;
        let usual = if is_late { Self::usual_now(site, &cache)?.max(usual) } else { usual };
        ensure!(
            seconds < usual + WAIT,
            "the build took {seconds:.0} s, and {usual:.0} s without trouble: {}",
            report.text()
        );
        // A registry that has forgotten a blob lacks it until somebody pushes that again.
        let (report, _) = Self::on_a_new_machine(site, &cache).context("after the trouble")?;
        if self.kind != Kind::Forgets {
            report.quiet().context("after the trouble")?;
        }
        Ok(Round::Held)
    }
}
