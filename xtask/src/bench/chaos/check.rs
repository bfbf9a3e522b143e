//! The conditions that hold after every fault: the store is valid, nothing earlier is lost, and the
//! next build is right.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::site::Site;

/// Saved results and cache mounts as `cache ls` lists them.
#[derive(Debug)]
pub(super) struct Known {
    entries: Vec<Entry>,
    builds: BTreeSet<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    kind: String,
    name: String,
    key: String,
    digest: String,
    saved: String,
}

/// Newest results of one image that a save leaves there, whatever it adds.
const NEWEST: usize = 2;

impl Known {
    /// Reads the content of a store. Fails on damage of any kind.
    pub(super) fn read(site: &Site, store: &Path) -> Result<Self> {
        let verified = site.json(store, &["cache", "verify", "--dry-run", "--json"])?;
        let damaged = verified["damaged"].as_array().context("`cache verify` lists no damage")?;
        ensure!(damaged.is_empty(), "the store is damaged: {}", verified["damaged"]);
        Self::read_damaged(site, store)
    }

    /// Reads the content of a store that may be damaged.
    pub(super) fn read_damaged(site: &Site, store: &Path) -> Result<Self> {
        let listed = site.json(store, &["cache", "ls", "--json"])?;
        let entries = listed["entries"].as_array().context("`cache ls` lists no entries")?;
        let builds = site.json(store, &["history", "--json"])?;
        let builds = builds["builds"].as_array().context("`history` lists no builds")?;
        let id = |build: &Value| build["id"].as_str().map(str::to_owned);
        Ok(Self {
            entries: entries.iter().map(Entry::of).collect(),
            builds: builds.iter().filter_map(id).collect(),
        })
    }

    /// Removes the results of a service from the list, because they may be missing.
    pub(super) fn without(mut self, service: &str) -> Self {
        self.entries.retain(|entry| !entry.name.ends_with(&format!("/{service}")));
        self
    }

    /// The same for a clock that was wrong meanwhile: a later save of a mount may have an earlier
    /// time.
    pub(super) fn at_any_time(mut self) -> Self {
        self.entries.iter_mut().filter(|entry| entry.kind == "mounts").for_each(|entry| entry.saved.clear());
        self
    }

    /// Fails if one of the newest entries is no longer there.
    pub(super) fn are_in(&self, now: &Self) -> Result<()> {
        for entry in self.entries.iter().filter(|entry| self.is_newest(entry)) {
            ensure!(now.entries.iter().any(|other| entry.is_or_precedes(other)), "lost: {entry:?}");
        }
        Ok(())
    }

    /// Fails if a build is no longer in the history.
    pub(super) fn builds_are_in(&self, now: &Self) -> Result<()> {
        let lost: Vec<&String> = self.builds.difference(&now.builds).collect();
        // The history keeps the newest 50.
        ensure!(lost.is_empty() || now.builds.len() >= 50, "lost builds: {lost:?}");
        Ok(())
    }

    fn is_newest(&self, entry: &Entry) -> bool {
        let newer = self.entries.iter().filter(|other| other.is_group_of(entry) && other.saved > entry.saved);
        newer.count() < NEWEST
    }
}

impl Entry {
    fn of(value: &Value) -> Self {
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        Self {
            kind: text("kind"),
            name: text("name"),
            key: text("key"),
            digest: text("digest"),
            saved: text("saved"),
        }
    }

    fn is_group_of(&self, other: &Self) -> bool {
        (&self.kind, &self.name, &self.key) == (&other.kind, &other.name, &other.key)
    }

    /// A cache mount has one entry, which the next save replaces.
    fn is_or_precedes(&self, other: &Self) -> bool {
        self.is_group_of(other)
            && (self.digest == other.digest || (self.kind == "mounts" && self.saved <= other.saved))
    }
}

/// Checks a store after a fault: it is valid and has what it had.
pub(super) fn store(site: &Site, store: &Path, before: &Known) -> Result<()> {
    let now = Known::read(site, store)?;
    before.are_in(&now)?;
    before.builds_are_in(&now)
}

/// How long `cache gc` keeps a scratch directory without an owner, with some more: its process may
/// be about to write its name.
const WITHOUT_OWNER: Duration = Duration::from_secs(2 * 3600);

/// Fails if `cache gc` leaves a directory of a run that has ended. A process that was killed before
/// it named itself leaves one without an owner, which has to go once it is old.
pub(super) fn no_leftovers(site: &Site, store: &Path) -> Result<()> {
    site.run(store, &["cache", "gc"])?;
    let without_owner = |dir: &PathBuf| !dir.join("owner.json").exists();
    let young: Vec<PathBuf> = leftovers(store).into_iter().filter(without_owner).collect();
    if !young.is_empty() {
        for dir in &young {
            File::open(dir)?.set_modified(SystemTime::now() - WITHOUT_OWNER)?;
        }
        site.run(store, &["cache", "gc"])?;
    }
    let left = leftovers(store);
    ensure!(left.is_empty(), "`cache gc` leaves in `tmp`: {left:?}");
    Ok(())
}

fn leftovers(store: &Path) -> Vec<PathBuf> {
    let dirs = fs::read_dir(store.join("tmp")).into_iter().flatten().flatten();
    dirs.map(|entry| entry.path()).filter(|path| !path.ends_with("facts")).collect()
}
