//! Installs and starts the engine: facts about the machine ([`facts`]) -> missing packages
//! ([`packages`]) and the start of the daemon ([`daemon`]) -> steps. Nothing here changes anything.
//! A complete machine yields no steps.

pub(crate) mod browser;
pub(crate) mod daemon;
pub(crate) mod facts;
pub(crate) mod failure;
pub(crate) mod packages;
pub(crate) mod probe;
pub(crate) mod test_tools;

use anyhow::Result;

use crate::process::root::Root;
use crate::session::Session;
use crate::step::Step;
use facts::{Daemon, ProvisionFacts};

/// Returns the steps that make this machine able to build; none if it is. After they have run, the
/// engine must be queried again.
pub(crate) fn steps(session: &Session) -> Result<Vec<Step>> {
    decide(&ProvisionFacts::read(session))
}

/// Makes steps from facts.
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
    // In between: the package starts the daemon if services may start, and a failing mirror changes
    // little.
    steps.extend(configure);
    steps.extend(packages::install(&missing, &root));
    if must_start {
        steps.extend(daemon::start(facts, &root));
    }
    Ok(steps)
}

#[cfg(test)]
mod tests;
