//! `setup`: BuildKit on permanently, in the shell and in the daemon, completions and the man page;
//! `--undo` reverses it.

use anyhow::Result;

use crate::args::Parsed;
use crate::exec::steps;
use crate::json::SCHEMA;
use crate::process::stdio::outln;
use crate::session::Session;
use crate::setup;
use crate::setup::Changes;
use crate::step::{Action, Step};

/// Runs `setup` with the text of the man page.
pub(crate) fn run(session: &Session, parsed: &Parsed, man_page: &str) -> Result<u8> {
    let changes =
        if parsed.flag("--undo") { setup::undo(session)? } else { setup::changes(session, man_page)? };
    let is_dry = parsed.flag("--dry-run");
    if !is_dry {
        steps::run(&changes.steps, session.globals.verbose)?;
    }
    if session.globals.json {
        let files: Vec<_> = changes.steps.iter().filter_map(|step| file(&step.action)).collect();
        let steps = is_dry.then_some(&changes.steps);
        outln!(
            "{}",
            serde_json::json!({"schema": SCHEMA, "changed": files, "notes": changes.notes, "steps": steps})
        );
    } else {
        show(&changes, is_dry);
    }
    Ok(0)
}

fn show(changes: &Changes, is_dry: bool) {
    if changes.steps.is_empty() {
        outln!("nothing to change");
    }
    for step in changes.steps.iter().filter(|_| is_dry) {
        show_step(step);
    }
    changes.notes.iter().for_each(|note| outln!("{note}"));
}

fn show_step(step: &Step) {
    if !step.why.is_empty() {
        outln!("# {}", step.why);
    }
    outln!("{}", step.to_shell());
}

fn file(action: &Action) -> Option<&std::path::Path> {
    match action {
        Action::Append { path, .. } | Action::Write { path, .. } | Action::Remove { path } => Some(path),
        _ => None,
    }
}
