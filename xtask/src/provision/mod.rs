//! Installing and starting the engine: facts about the machine ([`facts`]) -> what is missing
//! ([`packages`]) and how the daemon is started ([`daemon`]) -> steps. Nothing here changes
//! anything; a machine that lacks nothing yields no steps.

pub(crate) mod browser;
pub(crate) mod daemon;
pub(crate) mod facts;
pub(crate) mod packages;
pub(crate) mod probe;
pub(crate) mod test_tools;

use anyhow::Result;

use crate::process::root::Root;
use crate::session::Session;
use crate::step::Step;
use facts::{Daemon, ProvisionFacts};

/// The steps that make this machine able to build; none where it is already. Run them, then ask the
/// engine again.
pub(crate) fn steps(session: &Session) -> Result<Vec<Step>> {
    decide(&ProvisionFacts::read(session))
}

/// From facts to steps.
pub(crate) fn decide(facts: &ProvisionFacts) -> Result<Vec<Step>> {
    if let Daemon::Hangs(pid) = facts.daemon {
        return Ok(vec![daemon::await_process(pid)]);
    }
    let missing = packages::missing(facts)?;
    let must_start = facts.daemon == Daemon::Down;
    if missing.is_empty() && !must_start {
        return Ok(Vec::new());
    }
    let root = Root::new(facts.user, &facts.tmp)?;
    let configure = if must_start { daemon::configure(facts, &root)? } else { Vec::new() };
    let mut steps = packages::prepare(facts, &missing, &root)?;
    // Between the two: the package starts the daemon where services may start, and a mirror that is
    // down changes little.
    steps.extend(configure);
    steps.extend(packages::install(&missing, &root));
    if must_start {
        steps.extend(daemon::start(facts, &root));
    }
    Ok(steps)
}

#[cfg(test)]
mod tests;
