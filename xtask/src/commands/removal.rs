//! What is removed for good: it is shown, asked for, and then exactly what was shown goes.

use std::io::{self, IsTerminal};

use anyhow::Result;

use crate::args::Parsed;
use crate::error::usage;
use crate::exec::gc;
use crate::plan::gc::GcPlan;
use crate::process::stdio;
use crate::session::Session;

/// Told before anything is listed: a command that asks needs somebody to answer.
pub(super) fn check(session: &Session, parsed: &Parsed, command: &str) -> Result<()> {
    let asks = io::stdin().is_terminal() && session.host.stderr_is_terminal && !session.globals.json;
    if asks || parsed.flag("--dry-run") || parsed.flag("--yes") {
        return Ok(());
    }
    Err(usage(format!(
        "`{command}` asks for confirmation, and stdin is not a terminal\nadd --yes, or --dry-run to see \
         what it would remove"
    )))
}

/// Whether what was shown is to go.
pub(super) fn wanted(parsed: &Parsed, question: &str) -> Result<bool> {
    if parsed.flag("--dry-run") || parsed.flag("--yes") {
        return Ok(!parsed.flag("--dry-run"));
    }
    Ok(stdio::confirm(question)?)
}

/// Removes what was shown, as far as it is still the same.
pub(super) fn run(session: &Session, plan: &mut GcPlan, list: &dyn Fn() -> GcPlan) -> Result<()> {
    if plan.removals.is_empty() {
        return Ok(());
    }
    // What was saved anew since it was shown was not shown.
    let now = list();
    plan.removals.retain(|removal| now.removals.contains(removal));
    gc::run(&session.layout, plan, session.host.now)
}
