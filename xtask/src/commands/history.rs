//! `history`: recorded builds, and `history rm`.

use anyhow::{Result, bail};
use serde_json::json;

use super::removal;
use crate::args::Parsed;
use crate::error::usage;
use crate::json;
use crate::plan::gc;
use crate::process::stdio::{out, outln};
use crate::record::find::find;
use crate::record::read::{self, RecordState};
use crate::report::{history, store};
use crate::session::Session;
use crate::store::contents::{Contents, ItemKind};
use crate::store::entry;

pub(crate) fn list(session: &Session, _: &Parsed) -> Result<u8> {
    let builds = read::all(&session.layout);
    let (rows, trends) = (history::rows(&builds), history::trends(&builds));
    if session.globals.json {
        outln!("{}", json::line(&json!({"schema": json::SCHEMA, "builds": rows, "trends": trends}))?);
    } else {
        out!("{}", history::text(&rows, &trends, session.host.now));
    }
    Ok(0)
}

/// Runs `history rm`.
pub(crate) fn rm(session: &Session, parsed: &Parsed) -> Result<u8> {
    let words = &parsed.free;
    let all = parsed.flag("--all");
    if all != words.is_empty() {
        return Err(usage("`history rm` needs builds or --all\nfor example: cargo xtask history rm latest"));
    }
    removal::check(session, parsed, "history rm")?;
    if let Some(foreign) = entry::foreign_format(&session.layout) {
        bail!(foreign);
    }
    let ids = named(session, words)?;
    let removals = || {
        let contents = Contents::read(&session.layout);
        if all { gc::clear(&contents, &[ItemKind::Builds]) } else { gc::forget(&contents, &ids) }
    };
    let mut plan = removals();
    if !session.globals.json {
        out!("{}", store::list(&plan, false));
    }
    let goes = !plan.removals.is_empty() && removal::wanted(parsed, "remove these records?")?;
    if goes {
        removal::run(session, &mut plan, &removals)?;
    }
    if session.globals.json {
        outln!("{}", json::line(&removal::document(&plan, parsed.flag("--dry-run"))?)?);
    } else {
        outln!("{}", if goes { "removed" } else { "nothing was removed" });
    }
    Ok(0)
}

/// Returns the ids for the arguments. A running build keeps its record.
fn named(session: &Session, words: &[String]) -> Result<Vec<String>> {
    let builds = read::all(&session.layout);
    let id = |word: &String| {
        let build = find(&builds, word).map_err(usage)?;
        if matches!(build.state, RecordState::Running) {
            bail!("the build {} is still running\nstop it first", build.id);
        }
        Ok(build.id.clone())
    };
    words.iter().map(id).collect()
}
