//! The upkeep of the store around a build: damaged entries are moved away before it, and the policy
//! is applied after it.

use std::path::PathBuf;
use std::time::Duration;

use xshell::cmd;

use crate::exec::budget::Budget;
use crate::plan::build::Plan;
use crate::process::query::query;
use crate::process::stdio::errln;
use crate::report;
use crate::session::Session;
use crate::store::damage::Damaged;
use crate::store::entry;
use crate::store::{quarantine, used};

/// The query for an image's size takes 25 ms.
const UPKEEP_TIMEOUT: Duration = Duration::from_secs(10);

/// Quarantines damaged entries as far as possible. The build doesn't use them anyway.
pub(in crate::commands) fn quarantine(session: &Session, damaged: &[Damaged]) {
    if session.layout.replacement.is_some() {
        return;
    }
    if let Err(error) = quarantine::run(&session.layout, damaged) {
        errln!("warning: damaged entries of the store stay where they are: {error:#}");
    }
}

/// Applies the policy at the end of a build.
pub(in crate::commands) fn settle(session: &Session, plan: &Plan) {
    if session.layout.replacement.is_some() {
        return;
    }
    match budget(session, plan).enforce() {
        Ok(gone) if gone.removals.is_empty() || session.globals.json => {}
        Ok(gone) => errln!("{}", report::store::gone(&gone)),
        Err(error) => errln!("warning: failed to clean up the store: {error:#}"),
    }
}

/// Returns the limit of the store.
pub(in crate::commands) fn budget(session: &Session, plan: &Plan) -> Budget {
    Budget::new(&session.layout, &plan.policy, session.host.now)
}

/// Estimates the size of an image's first generation: twice the image, for its stages, but at most
/// a quarter of the budget.
pub(in crate::commands) fn guess(session: &Session, image: &str, budget: &Budget) -> u64 {
    let size = "{{.Size}}";
    let question = cmd!(session.sh, "docker image inspect --format {size} {image}");
    let answer = query(question.quiet(), UPKEEP_TIMEOUT).ok().filter(|answer| answer.success);
    let size = answer.and_then(|answer| answer.stdout.trim().parse::<u64>().ok()).unwrap_or(0);
    size.saturating_mul(2).min(budget.bytes() / 4)
}

/// Marks the used results: those of the exact key, else all that BuildKit read.
pub(in crate::commands) fn touch(plan: &Plan) {
    for target in &plan.targets {
        let is_exact =
            |dir: &&PathBuf| target.key.is_some() && entry::place(dir).map(|place| place.key) == target.key;
        let exact: Vec<&PathBuf> = target.read.iter().filter(is_exact).collect();
        let of_use = if exact.is_empty() { target.read.iter().collect() } else { exact };
        of_use.into_iter().for_each(|dir| used::mark_used(dir));
    }
}
