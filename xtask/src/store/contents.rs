//! Everything in the store with its size: what a policy decides about. A file that several items link to counts once, and what
//! is not of our making is counted and never touched.

mod scan;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::entry::{self, folders};
use crate::files::Seen;
use crate::layout::Layout;
use scan::Scan;

/// What an item is.
#[derive(Debug, Clone, Copy, Serialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub enum ItemKind {
    /// A generation of layers.
    Layers,
    /// A saved cache mount.
    Mounts,
    /// The record of a build.
    Builds,
    /// A base image laid out for builders.
    Bases,
    /// What was found damaged.
    Quarantine,
    /// Scratch space.
    Tmp,
}

/// Whether an item may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ItemState {
    /// It is sound; it goes by the policy.
    Sound,
    /// Nobody can use it, and why: it goes first.
    Orphan(&'static str),
    /// It is damaged, and how; until it is moved to the quarantine.
    Damaged(String),
    /// A running build's, or not ours to judge: it stays.
    Untouchable,
}

/// A file or folder, by what makes it the same under two names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Node {
    device: u64,
    inode: u64,
    bytes: u64,
}

/// One thing that stays or goes as a whole.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    /// What it is.
    pub kind: ItemKind,
    /// Where.
    pub path: PathBuf,
    /// Its name for people.
    pub name: String,
    /// Image and platform of a result: what `keep` counts by.
    pub group: String,
    /// Its key.
    pub key: String,
    /// Its number: of two results, the later one has the higher.
    pub rank: u64,
    /// When it was made.
    pub saved: Timestamp,
    /// When it last was of use.
    pub used: Timestamp,
    /// Whether it may go.
    pub state: ItemState,
    /// Its entry, so that nothing that was saved since is removed in its place.
    pub(crate) seen: Seen,
    /// Its files and folders.
    pub nodes: Vec<Node>,
}

/// The store as it is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Contents {
    /// Its items.
    pub items: Vec<Item>,
    /// What belongs to no item: the lock, remembered answers, what is not ours.
    pub rest: Vec<Node>,
    /// Files and directories that the group or others may use.
    pub exposed: Vec<PathBuf>,
}

impl Contents {
    /// Reads it all.
    pub(crate) fn read(layout: &Layout) -> Self {
        let mut scan = Scan::new(layout);
        entry::results(layout).into_iter().for_each(|dir| scan.result(dir));
        folders(&layout.all_mounts()).into_iter().for_each(|dir| scan.saved_mount(dir));
        folders(&layout.bases()).into_iter().for_each(|dir| scan.base(dir));
        scan.of_builds(ItemKind::Builds, &layout.builds());
        scan.of_builds(ItemKind::Quarantine, &layout.quarantine());
        scan.of_builds(ItemKind::Tmp, &layout.tmp());
        scan.end(layout)
    }

    /// What the store takes, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        total(self.items.iter().flat_map(|item| &item.nodes).chain(&self.rest))
    }

    /// What a kind takes, what its items share counted once.
    pub(crate) fn bytes_of(&self, kind: ItemKind) -> u64 {
        total(self.of(kind).flat_map(|item| &item.nodes))
    }

    /// The items of a kind.
    pub(crate) fn of(&self, kind: ItemKind) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(move |item| item.kind == kind)
    }

    /// Files and folders with the number of items that have them.
    pub(crate) fn shares(&self) -> BTreeMap<Node, usize> {
        let mut shares = BTreeMap::new();
        let own = self.items.iter().map(|item| item.nodes.iter().collect::<BTreeSet<_>>());
        for node in own.flatten().chain(&self.rest) {
            *shares.entry(*node).or_insert(0) += 1;
        }
        shares
    }
}

impl Node {
    /// A file for tests.
    #[cfg(test)]
    pub(crate) fn new(inode: u64, bytes: u64) -> Self {
        Self { device: 0, inode, bytes }
    }

    /// Size in bytes: what it says or what it occupies, whichever is more.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// What the whole store takes right now, in bytes.
pub(crate) fn measure(layout: &Layout) -> u64 {
    measure_dir(&layout.store)
}

/// What a directory takes right now, in bytes.
pub(crate) fn measure_dir(dir: &Path) -> u64 {
    total(&scan::nodes(dir, &BTreeSet::new(), &mut Vec::new()))
}

fn total<'a>(nodes: impl IntoIterator<Item = &'a Node>) -> u64 {
    nodes.into_iter().collect::<BTreeSet<_>>().iter().map(|node| node.bytes).sum()
}

/// `20261125-062400-1f3a`, as [`crate::build_id::new_id`] makes them, with or without more behind.
pub(crate) fn is_id(name: &str) -> bool {
    let digits = |text: &str, count: usize| text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    let mut parts = name.splitn(3, '-');
    let mut next = || parts.next().unwrap_or_default();
    digits(next(), 8) && digits(next(), 6) && !next().is_empty()
}

/// The file in a directory of the store that whoever uses the directory locks.
pub(crate) const HELD: &str = "held";

/// Whether a process holds a directory.
pub(crate) fn is_held(dir: &Path) -> bool {
    let path = dir.join(HELD);
    let open = |write: bool| File::options().read(true).write(write).open(&path);
    let Ok(file) = open(true).or_else(|_| open(false)) else { return false };
    // Somebody else who looks holds it for a moment.
    (0..3).all(|round| {
        std::thread::sleep(Duration::from_millis(round));
        matches!(file.try_lock(), Err(TryLockError::WouldBlock))
    })
}
