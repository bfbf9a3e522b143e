//! `cache verify`, `gc` and `clear`: each makes a list, shows it, and then does exactly that.

use anyhow::{Result, bail};

use super::builder::{Records, ours};
use super::other_format;
use crate::args::Parsed;
use crate::commands::removal;
use crate::error::usage;
use crate::exec::{gc as executing, steps};
use crate::json;
use crate::plan::gc::{self, GcPlan, Request};
use crate::process::stdio::{errln, out, outln};
use crate::report::store;
use crate::session::Session;
use crate::store::contents::{Contents, ItemKind};
use crate::store::policy::Policy;
use crate::store::quarantine;
use crate::store::{damage, entry};
use crate::text::suggestion;

/// Runs `cache verify`. Returns 1 if an entry is damaged or cannot be checked.
pub(crate) fn verify(session: &Session, parsed: &Parsed) -> Result<u8> {
    check(session)?;
    let verified = damage::verify(&session.layout);
    let dry_run = parsed.flag("--dry-run");
    let places = if dry_run { Vec::new() } else { quarantine::run(&session.layout, &verified.damaged)? };
    if session.globals.json {
        let document = serde_json::json!({
            "schema": json::SCHEMA, "dry_run": dry_run, "checked": verified.checked, "bytes": verified.bytes,
            "damaged": verified.damaged, "unreadable": verified.unreadable, "quarantine": places,
        });
        outln!("{}", json::line(&document)?);
    } else {
        out!("{}", store::verified(&verified, &places));
    }
    Ok(u8::from(!verified.damaged.is_empty() || !verified.unreadable.is_empty()))
}

/// Runs `cache gc`.
pub(crate) fn gc(session: &Session, parsed: &Parsed) -> Result<u8> {
    let given = [parsed.one("--budget")?, parsed.one("--older-than")?, parsed.one("--keep")?];
    let policy = Policy::of(&session.host)?.with(given)?;
    let is_there = check(session)?;
    let request = Request { policy, ..Request::default() };
    let list = || gc::plan(&Contents::read(&session.layout), &request, session.host.now);
    if parsed.flag("--dry-run") || !is_there {
        return show(session, &list(), true);
    }
    // Entries that builds have held since the list was made are kept, and not shown.
    let mut plan = list();
    executing::run(&session.layout, &mut plan, session.host.now)?;
    show(session, &plan, false)
}

fn show(session: &Session, plan: &GcPlan, dry_run: bool) -> Result<u8> {
    if session.globals.json {
        outln!("{}", json::line(&removal::document(plan, dry_run)?)?);
    } else {
        out!("{}", store::list(plan, !dry_run));
    }
    Ok(0)
}

/// The arguments of `clear`.
const KINDS: &[(&str, &[ItemKind], bool)] = &[
    ("layers", &[ItemKind::Layers], false),
    ("mounts", &[ItemKind::Mounts], false),
    ("builds", &[ItemKind::Builds], false),
    ("quarantine", &[ItemKind::Quarantine], false),
    ("builder", &[], true),
    ("all", &ItemKind::ALL, true),
];

/// Runs `cache clear KIND...`.
pub(crate) fn clear(session: &Session, parsed: &Parsed) -> Result<u8> {
    let words = &parsed.free;
    if let Some(format) = parsed.one("--format")? {
        return other_format::clear(session, parsed, &format);
    }
    let (kinds, builder) = kinds(words)?;
    let dry_run = parsed.flag("--dry-run");
    removal::check(session, parsed, "cache clear")?;
    let is_there = check(session)?;
    let list = || gc::clear(&Contents::read(&session.layout), &kinds);
    let mut plan = list();
    let records = match builder.then(|| ours(session, parsed)) {
        None => Records::default(),
        // Clearing everything succeeds with what exists.
        Some(Err(error)) if !words.iter().any(|word| word == "builder") => Records {
            notes: vec![format!("failed to clear the builder's cache: {error:#}")],
            ..Records::default()
        },
        Some(records) => records?,
    };
    let steps = records.steps();
    if !session.globals.json {
        records.notes.iter().for_each(|note| errln!("note: {note}"));
        out!("{}{}", store::records(&records.records), store::list(&plan, false));
    }
    let goes = removal::wanted(parsed, "clear all of this?")?;
    if goes {
        if is_there {
            removal::run(session, &mut plan, &list)?;
        }
        steps::run(&steps, session.globals.verbose)?;
    }
    if session.globals.json {
        let mut document = removal::document(&plan, dry_run)?;
        document["builder"] = serde_json::to_value(&records.records)?;
        document["notes"] = serde_json::to_value(&records.notes)?;
        outln!("{}", json::line(&document)?);
    } else {
        outln!("{}", if goes { "cleared" } else { "nothing was cleared" });
    }
    Ok(0)
}

/// The words that `cache clear` knows.
pub(in crate::commands) fn kind_names() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|(name, ..)| *name)
}

fn kinds(words: &[String]) -> Result<(Vec<ItemKind>, bool)> {
    let all = kind_names().collect::<Vec<_>>().join(", ");
    let (mut kinds, mut builder) = (Vec::<ItemKind>::new(), false);
    for word in words {
        let Some((_, of, also)) = KINDS.iter().find(|(name, ..)| name == word) else {
            let near = suggestion(word, kind_names());
            return Err(usage(format!(
                "unknown kind `{word}` for `cache clear`{near}\none or more of {all}"
            )));
        };
        for kind in *of {
            if !kinds.contains(kind) {
                kinds.push(*kind);
            }
        }
        builder |= also;
    }
    Ok((kinds, builder))
}

/// Returns whether there is a store. One of another format is an error.
pub(super) fn check(session: &Session) -> Result<bool> {
    if let Some(foreign) = entry::foreign_format(&session.layout) {
        bail!(foreign);
    }
    Ok(session.layout.store.is_dir())
}
