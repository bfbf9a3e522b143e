//! `cache ls` and `cache du`.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::json;

use super::tidy::check;
use crate::args::Parsed;
use crate::engine::disk_usage::{self, Which};
use crate::engine::facts;
use crate::json as document;
use crate::process::stdio::{errln, out, outln};
use crate::report::store::{self, StoreRow};
use crate::session::Session;
use crate::store::contents::{Contents, ItemKind, measure};
use crate::store::policy::Policy;
use crate::store::{entry, mount};

/// Runs `cache ls`.
pub(crate) fn ls(session: &Session, _: &Parsed) -> Result<u8> {
    check(session)?;
    let now = session.host.now;
    let (generations, damaged) = entry::generations(&session.layout);
    let (mounts, warnings) = mount::all(&session.layout);
    let mut rows: Vec<StoreRow> = generations
        .iter()
        .map(|generation| {
            let entry = &generation.entry;
            StoreRow {
                kind: ItemKind::Layers,
                name: entry.image.clone(),
                key: entry.key.short().to_owned(),
                platform: entry.platform.clone(),
                saved: entry.saved,
                bytes: entry.bytes,
                digest: entry.digest.clone(),
            }
        })
        .collect();
    rows.extend(mounts.iter().map(|mount| {
        let entry = &mount.entry;
        let slug = entry.identity.slug();
        StoreRow {
            kind: ItemKind::Mounts,
            name: format!("{} ({})", entry.identity.id, entry.target),
            key: slug.rsplit('-').next().unwrap_or_default().to_owned(),
            platform: entry.platform.clone(),
            saved: entry.saved,
            bytes: entry.stored_bytes(),
            digest: Some(format!("sha256:{}", entry.manifest.digest)),
        }
    }));
    damaged.iter().for_each(|item| errln!("warning: `{}` is damaged: {}", item.path.display(), item.reason));
    warnings.iter().for_each(|warning| errln!("warning: {warning}"));
    if session.globals.json {
        outln!(
            "{}",
            document::line(&json!({"schema": document::SCHEMA, "entries": rows, "damaged": damaged}))?
        );
    } else {
        out!("{}", store::rows(&rows, now));
    }
    Ok(0)
}

/// Runs `cache du`: the builder's records and the store in one table.
pub(crate) fn du(session: &Session, _: &Parsed) -> Result<u8> {
    let policy = Policy::of(&session.host)?;
    check(session)?;
    let held = facts::read(session)
        .map_err(|problem| problem.into_error())
        .and_then(|engine| Ok((disk_usage::read(&session.sh, &engine.builder, Which::All)?, engine.builder)));
    let (records, builder) = match held {
        Ok(held) => held,
        Err(error) => {
            errln!("warning: failed to read the builder's cache: {error:#}");
            (Vec::new(), String::new())
        }
    };
    let (mut types, mut mounts) =
        (BTreeMap::<&str, (usize, u64)>::new(), BTreeMap::<(&str, &str), u64>::new());
    for record in &records {
        let sum = types.entry(&record.kind).or_default();
        *sum = (sum.0 + 1, sum.1 + record.bytes);
        if let (Some(target), Some(id)) = (record.mount_target(), record.mount_id()) {
            *mounts.entry((target, id)).or_default() += record.bytes;
        }
    }
    let contents = Contents::read(&session.layout);
    let kinds = ItemKind::ALL.map(|kind| (kind, contents.of(kind).count(), contents.bytes_of(kind)));
    let total = if session.layout.store.is_dir() { measure(&session.layout) } else { 0 };
    let sum = records.iter().map(|record| record.bytes).sum::<u64>();
    if session.globals.json {
        let types = types
            .iter()
            .map(|(kind, (count, bytes))| json!({"type": kind, "records": count, "bytes": bytes}));
        let mounts =
            mounts.iter().map(|((target, id), bytes)| json!({"target": target, "id": id, "bytes": bytes}));
        let kinds =
            kinds.iter().map(|(kind, count, bytes)| json!({"kind": kind, "items": count, "bytes": bytes}));
        let builder = (!builder.is_empty()).then(|| {
            json!({"name": builder, "bytes": sum, "types": types.collect::<Vec<_>>(), "mounts": mounts.collect::<Vec<_>>()})
        });
        let store = json!({
            "path": session.layout.store, "bytes": total, "budget": policy.budget, "kinds": kinds.collect::<Vec<_>>(),
        });
        outln!(
            "{}",
            document::line(&json!({"schema": document::SCHEMA, "builder": builder, "store": store}))?
        );
        return Ok(0);
    }
    let mut table = store::Table::default();
    if !builder.is_empty() {
        table.row("builder", &builder, records.len(), sum);
        let mut types: Vec<_> = types.into_iter().collect();
        types.sort_by_key(|(_, (_, bytes))| std::cmp::Reverse(*bytes));
        types.iter().for_each(|(kind, (count, bytes))| table.row("", kind, *count, *bytes));
        for ((target, id), bytes) in &mounts {
            table.row("", &format!("  {target} ({id})"), 1, *bytes);
        }
    }
    let path = format!("{} (of {})", session.layout.store.display(), crate::text::size::show(policy.budget));
    table.row("store", &path, kinds.iter().map(|(_, count, _)| count).sum(), total);
    kinds.iter().for_each(|(kind, count, bytes)| table.row("", store::word(*kind), *count, *bytes));
    out!("{}", table.text());
    Ok(0)
}
