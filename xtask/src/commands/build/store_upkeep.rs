//! A build and the store's upkeep: what is damaged goes out of the way before, what the policy does
//! not keep goes after.

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

/// Asking for an image's size takes 25 ms.
const UPKEEP_TIMEOUT: Duration = Duration::from_secs(10);

/// Moves damaged entries out of the way, as far as possible: the build does not use them anyway.
pub(in crate::commands) fn quarantine(session: &Session, damaged: &[Damaged]) {
    if session.layout.aside.is_some() {
        return;
    }
    if let Err(error) = quarantine::run(&session.layout, damaged) {
        errln!("warning: damaged entries of the store stay where they are: {error:#}");
    }
}

/// What the policy does not keep goes, at the end of a build.
pub(in crate::commands) fn settle(session: &Session, plan: &Plan) {
    if session.layout.aside.is_some() {
        return;
    }
    match budget(session, plan).enforce() {
        Ok(gone) if gone.removals.is_empty() || session.globals.json => {}
        Ok(gone) => errln!("{}", report::store::gone(&gone)),
        Err(error) => errln!("warning: failed to clean up the store: {error:#}"),
    }
}

/// What the store may take.
pub(in crate::commands) fn budget(session: &Session, plan: &Plan) -> Budget {
    Budget::new(&session.layout, &plan.policy, session.host.now)
}

/// What the first generation of an image may take: the image twice, for the stages that it is made
/// of, and no more than a quarter of the budget, since this is a guess.
pub(in crate::commands) fn guess(session: &Session, image: &str, budget: &Budget) -> u64 {
    let size = "{{.Size}}";
    let question = cmd!(session.sh, "docker image inspect --format {size} {image}");
    let answer = query(question.quiet(), UPKEEP_TIMEOUT).ok().filter(|answer| answer.success);
    let size = answer.and_then(|answer| answer.stdout.trim().parse::<u64>().ok()).unwrap_or(0);
    size.saturating_mul(2).min(budget.bytes() / 4)
}

/// Notes which results were of use: those of the exact key, else all that BuildKit was shown.
pub(in crate::commands) fn touch(plan: &Plan) {
    for target in &plan.targets {
        let is_exact =
            |dir: &&PathBuf| target.key.is_some() && entry::place(dir).map(|place| place.key) == target.key;
        let exact: Vec<&PathBuf> = target.read.iter().filter(is_exact).collect();
        let of_use = if exact.is_empty() { target.read.iter().collect() } else { exact };
        of_use.into_iter().for_each(|dir| used::mark_used(dir));
    }
}
