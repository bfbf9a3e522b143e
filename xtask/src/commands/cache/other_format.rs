//! `cache clear all --format N`: removes a store of another version of xtask, which this one
//! doesn't use.

use anyhow::Result;

use crate::args::Parsed;
use crate::commands::removal;
use crate::error::usage;
use crate::exec::steps;
use crate::json;
use crate::plan::gc::{GcPlan, Removal};
use crate::process::stdio::{out, outln};
use crate::report::store;
use crate::session::Session;
use crate::store::contents::{ItemKind, measure_dir};
use crate::store::key::FORMAT;
use crate::store::lock::Lock;
use crate::store::version;

/// Removes everything in a store of that format.
pub(super) fn clear(session: &Session, parsed: &Parsed, text: &str) -> Result<u8> {
    let layout = &session.layout;
    let Ok(format) = text.parse::<u32>() else {
        return Err(usage(format!(
            "`--format {text}` is not a number\nfor example: --format {}",
            FORMAT + 1
        )));
    };
    if parsed.free != ["all"] {
        return Err(usage("`--format` needs `all`\nrun: cargo xtask cache clear all --format N"));
    }
    let there = version::format(layout);
    if there != format || format == FORMAT {
        let what = if there == FORMAT { "leave out --format" } else { "correct --format" };
        return Err(usage(format!("the store `{}` has format {there}\n{what}", layout.store.display())));
    }
    removal::check(session, parsed, "cache clear")?;
    let rooms = [
        (ItemKind::Layers, layout.all_layers()),
        (ItemKind::Layers, layout.all_fresh()),
        (ItemKind::Mounts, layout.all_mounts()),
        (ItemKind::Builds, layout.builds()),
        (ItemKind::Bases, layout.bases()),
        (ItemKind::Quarantine, layout.quarantine()),
        (ItemKind::Tmp, layout.tmp()),
    ];
    let rooms = rooms.into_iter().filter(|(_, path)| path.exists());
    let remove_whole = |(kind, path): (ItemKind, std::path::PathBuf)| Removal {
        name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        reason: format!("another version wrote it, with format {format}"),
        bytes: measure_dir(&path),
        kind,
        path,
        seen: crate::files::Seen::default(),
    };
    let removals: Vec<Removal> = rooms.map(remove_whole).collect();
    let before = measure_dir(&layout.store);
    let freed: u64 = removals.iter().map(|removal| removal.bytes).sum();
    let plan = GcPlan { removals, before, after: before.saturating_sub(freed), short: 0 };
    if !session.globals.json {
        out!("{}", store::list(&plan, false));
    }
    let goes = removal::wanted(parsed, "clear all of this?")?;
    if goes {
        let _lock = Lock::of_any_format(layout)?;
        plan.removals.iter().try_for_each(|removal| steps::remove(&removal.path))?;
        // The last one, so that a killed run can be repeated.
        steps::remove(&layout.version_file())?;
    }
    if session.globals.json {
        outln!("{}", json::line(&removal::document(&plan, parsed.flag("--dry-run"))?)?);
    } else {
        outln!("{}", if goes { "cleared" } else { "nothing was cleared" });
    }
    Ok(0)
}
