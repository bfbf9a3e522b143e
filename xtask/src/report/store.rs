//! The store as text: its contents, its size, the removed entries.

use std::fmt::Write;

use jiff::Timestamp;
use serde::Serialize;

use crate::plan::gc::GcPlan;
use crate::store::contents::ItemKind;
use crate::store::damage::Verified;
use crate::text::size::show;

/// Returns one line about the removed entries.
pub(crate) fn gone(plan: &GcPlan) -> String {
    let names: Vec<&str> = plan.removals.iter().map(|removal| removal.name.as_str()).collect();
    let few = if names.len() > 3 {
        format!("{} and {} more", names[..3].join(", "), names.len() - 3)
    } else {
        names.join(", ")
    };
    format!("the store: {few} removed, {} free", show(plan.before.saturating_sub(plan.after)))
}

/// Returns the list of removed entries, one line each, with a total.
pub(crate) fn list(plan: &GcPlan, done: bool) -> String {
    let mut text = String::new();
    for removal in &plan.removals {
        let kind = word(removal.kind);
        let _ = writeln!(
            text,
            "{:>9}  {kind:<10}  {}: {}\n{:>21}  {}",
            show(removal.bytes),
            removal.name,
            removal.reason,
            "",
            removal.path.display()
        );
    }
    let verb = if done { "went" } else { "would go" };
    let _ = match plan.removals.len() {
        0 => writeln!(text, "nothing {verb}: the store takes {}", show(plan.after)),
        count => {
            writeln!(text, "{count} {verb}; the store takes {} after {}", show(plan.after), show(plan.before))
        }
    };
    text
}

/// Returns the name of a kind.
pub(crate) fn word(kind: ItemKind) -> &'static str {
    match kind {
        ItemKind::Layers => "layers",
        ItemKind::Mounts => "mounts",
        ItemKind::Builds => "builds",
        ItemKind::Quarantine => "quarantine",
        ItemKind::Bases => "bases",
        ItemKind::Tmp => "tmp",
    }
}

/// The result of `cache verify`: the damage, and the places that it was moved to.
pub(crate) fn verified(verified: &Verified, places: &[std::path::PathBuf]) -> String {
    let mut text = String::new();
    for item in &verified.damaged {
        let _ = writeln!(text, "damaged: `{}`: {}", item.path.display(), item.reason);
    }
    for item in &verified.unreadable {
        let _ = writeln!(text, "not checked: `{}`: {}", item.path.display(), item.reason);
    }
    for place in places {
        let _ = writeln!(text, "moved to `{}`", place.display());
    }
    let (checked, bytes) = (verified.checked, show(verified.bytes));
    let counts = [(verified.damaged.len(), "damaged"), (verified.unreadable.len(), "not checked")];
    let counts: Vec<String> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    let _ = if counts.is_empty() {
        writeln!(text, "{checked} verified, {bytes}: all valid")
    } else {
        writeln!(text, "{checked} verified, {bytes} sound: {}", counts.join(", "))
    };
    text
}

/// A builder's record to remove: a cache mount of the declaration.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Ours {
    /// The builder's id of it.
    pub id: String,
    /// Namespace and id of the mount.
    pub mount: String,
    pub bytes: u64,
}

/// Returns the list of a builder's records to remove.
pub(crate) fn records(records: &[Ours]) -> String {
    let line = |record: &Ours| {
        format!("{:>9}  {:<10}  {} ({})\n", show(record.bytes), "builder", record.mount, record.id)
    };
    records.iter().map(line).collect()
}

/// One generation or mount, as `cache ls` lists it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct StoreRow {
    pub kind: ItemKind,
    /// Image, or id and target of a mount.
    pub name: String,
    /// Its key, or the part that distinguishes its identity.
    pub key: String,
    pub platform: String,
    pub saved: Timestamp,
    pub bytes: u64,
    /// The image's digest, or that of the mount's list of files.
    pub digest: Option<String>,
}

/// Returns the list in columns.
pub(crate) fn rows(rows: &[StoreRow], now: Timestamp) -> String {
    if rows.is_empty() {
        return "nothing is saved\n".into();
    }
    let mut cells = vec![["NAME", "KEY", "PLATFORM", "AGE", "SIZE", "DIGEST"].map(str::to_owned)];
    cells.extend(rows.iter().map(|row| {
        let digest = row.digest.as_deref().unwrap_or("-").trim_start_matches("sha256:");
        [
            row.name.clone(),
            row.key.clone(),
            row.platform.clone(),
            age(now.duration_since(row.saved).as_secs()),
            show(row.bytes),
            digest.chars().take(12).collect(),
        ]
    }));
    columns(&cells)
}

/// Returns `5 s`, `12 min`, `3 h`, `9 d`.
pub(crate) fn age(seconds: i64) -> String {
    match seconds.max(0) {
        s @ 0..60 => format!("{s} s"),
        s @ 60..3600 => format!("{} min", s / 60),
        s @ 3600..86_400 => format!("{} h", s / 3600),
        s => format!("{} d", s / 86_400),
    }
}

pub(crate) fn columns<const N: usize>(cells: &[[String; N]]) -> String {
    let width = |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut text = String::new();
    for row in cells {
        let line: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        let _ = writeln!(text, "{}", line.join("  ").trim_end());
    }
    text
}

/// The table of `cache du`.
#[derive(Debug)]
pub(crate) struct Table(Vec<[String; 4]>);

impl Default for Table {
    fn default() -> Self {
        Self(vec![["", "WHAT", "COUNT", "SIZE"].map(str::to_owned)])
    }
}

impl Table {
    pub(crate) fn row(&mut self, place: &str, what: &str, count: usize, bytes: u64) {
        self.0.push([place.to_owned(), what.to_owned(), count.to_string(), show(bytes)]);
    }

    /// Returns the table as text.
    pub(crate) fn text(&self) -> String {
        columns(&self.0)
    }
}
