//! Permanent removals: shows the list, asks, and then removes exactly that.

use std::io::{self, IsTerminal};

use anyhow::Result;
use serde_json::Value;

use crate::args::Parsed;
use crate::error::usage;
use crate::exec::gc;
use crate::json;
use crate::plan::gc::GcPlan;
use crate::process::stdio;
use crate::session::Session;

/// Checks before anything is listed that the command can ask for confirmation.
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

/// Returns whether to remove the listed entries.
pub(super) fn wanted(parsed: &Parsed, question: &str) -> Result<bool> {
    if parsed.flag("--dry-run") || parsed.flag("--yes") {
        return Ok(!parsed.flag("--dry-run"));
    }
    Ok(stdio::confirm(question)?)
}

/// Removes the listed entries that are unchanged.
pub(super) fn run(session: &Session, plan: &mut GcPlan, list: &dyn Fn() -> GcPlan) -> Result<()> {
    if plan.removals.is_empty() {
        return Ok(());
    }
    // An entry that was saved again since then was not shown.
    let now = list();
    plan.removals.retain(|removal| now.removals.contains(removal));
    gc::run(&session.layout, plan, session.host.now)
}

/// Returns the JSON document of a list that was, or in a dry run would be, removed.
pub(super) fn document(plan: &GcPlan, dry_run: bool) -> Result<Value> {
    let mut document = serde_json::to_value(plan)?;
    document["schema"] = json::SCHEMA.into();
    document["dry_run"] = dry_run.into();
    Ok(document)
}
