//! The content of the store with sizes, as input for the policy. A file that several items link to
//! counts once. Foreign files are counted but never changed.

mod age;
mod scan;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::entry::{self, subdirectories};
use crate::files::Seen;
use crate::layout::Layout;
use scan::Scan;

/// The kind of an item.
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
    /// A damaged entry.
    Quarantine,
    /// A scratch directory.
    Tmp,
}

impl ItemKind {
    /// Every kind, in the order of lists.
    pub(crate) const ALL: [Self; 6] =
        [Self::Layers, Self::Mounts, Self::Builds, Self::Bases, Self::Quarantine, Self::Tmp];
}

/// Whether an item may be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ItemState {
    /// Valid; the policy decides.
    Sound,
    /// Unusable, with the reason; removed first.
    Orphan(&'static str),
    /// Damaged, with the reason, until it is moved to the quarantine.
    Damaged(String),
    /// In use by a running build, or foreign; never removed.
    Untouchable,
}

/// A file or directory, identified so that hard links are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Node {
    device: u64,
    inode: u64,
    bytes: u64,
}

/// A unit that is kept or removed as a whole.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub kind: ItemKind,
    pub path: PathBuf,
    /// Its display name.
    pub name: String,
    /// Image and platform of a result: the unit of `keep`.
    pub group: String,
    pub key: String,
    /// Its number: of two results, the later one has the higher number.
    pub rank: u64,
    pub saved: Timestamp,
    /// The time of its last use.
    pub used: Timestamp,
    pub state: ItemState,
    /// Its entry at the time of reading, so that a newer one is not removed in its place.
    pub(crate) seen: Seen,
    /// Its files and directories.
    pub nodes: Vec<Node>,
    /// Whether it counts against the budget.
    pub is_budgeted: bool,
}

/// The content of the store.
#[derive(Debug, Clone, Default)]
pub(crate) struct Contents {
    pub items: Vec<Item>,
    /// Files of no item: the lock, memos, foreign files.
    pub rest: Vec<Node>,
    /// Files and directories that the group or others may access.
    pub exposed: Vec<PathBuf>,
}

impl Contents {
    /// Reads the store.
    pub(crate) fn read(layout: &Layout) -> Self {
        let mut scan = Scan::new(layout);
        entry::results(layout).into_iter().for_each(|dir| scan.result(dir));
        subdirectories(&layout.all_mounts()).into_iter().for_each(|dir| scan.saved_mount(dir));
        subdirectories(&layout.bases()).into_iter().for_each(|dir| scan.base(dir));
        scan.of_builds(ItemKind::Builds, &layout.builds());
        scan.of_builds(ItemKind::Quarantine, &layout.quarantine());
        scan.of_builds(ItemKind::Tmp, &layout.tmp());
        scan.stray_files(&layout.tmp());
        scan.end(layout)
    }

    /// Returns the bytes that count against the budget.
    pub(crate) fn bytes(&self) -> u64 {
        total(self.budgeted().flat_map(|item| &item.nodes).chain(&self.rest))
    }

    /// Returns the items that count against the budget.
    fn budgeted(&self) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(|item| item.is_budgeted)
    }

    /// Returns the bytes that some directories have in addition to what counts against the budget,
    /// and the items that share files with them.
    pub(crate) fn compare(&self, dirs: &[PathBuf]) -> (u64, Vec<PathBuf>) {
        let nodes = |dir: &PathBuf| scan::nodes(dir, &BTreeSet::new(), &mut Vec::new());
        let mut new: BTreeSet<Node> = dirs.iter().flat_map(nodes).collect();
        let shares = self.budgeted().filter(|item| item.nodes.iter().any(|node| new.contains(node)));
        let shared = shares.map(|item| item.path.clone()).collect();
        self.budgeted().flat_map(|item| &item.nodes).for_each(|node| {
            new.remove(node);
        });
        (total(&new), shared)
    }

    /// Returns the size of the items of a kind. Shared files count once.
    pub(crate) fn bytes_of(&self, kind: ItemKind) -> u64 {
        total(self.of(kind).flat_map(|item| &item.nodes))
    }

    /// Returns the items of a kind.
    pub(crate) fn of(&self, kind: ItemKind) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(move |item| item.kind == kind)
    }

    /// Returns files and directories that count against the budget, with the number of items that
    /// share them.
    pub(crate) fn shares(&self) -> BTreeMap<Node, usize> {
        let mut shares = BTreeMap::new();
        let own = self.budgeted().map(|item| item.nodes.iter().collect::<BTreeSet<_>>());
        for node in own.flatten().chain(&self.rest) {
            *shares.entry(*node).or_insert(0) += 1;
        }
        shares
    }
}

impl Node {
    /// Returns a file for tests.
    #[cfg(test)]
    pub(crate) fn new(inode: u64, bytes: u64) -> Self {
        Self { device: 0, inode, bytes }
    }

    /// Returns its size in bytes: the apparent or the allocated size, whichever is larger.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// Returns the size of the store in bytes.
pub(crate) fn measure(layout: &Layout) -> u64 {
    measure_dir(&layout.store)
}

/// Returns [`Contents::bytes`] without reading any entry.
pub(crate) fn measure_budgeted(layout: &Layout) -> u64 {
    let in_transit = scan::bundles_in_transit(layout);
    let without = in_transit.iter().map(PathBuf::as_path).collect();
    total(&scan::nodes(&layout.store, &without, &mut Vec::new()))
}

/// Returns the size of a directory in bytes.
pub(crate) fn measure_dir(dir: &Path) -> u64 {
    total(&scan::nodes(dir, &BTreeSet::new(), &mut Vec::new()))
}

fn total<'a>(nodes: impl IntoIterator<Item = &'a Node>) -> u64 {
    nodes.into_iter().collect::<BTreeSet<_>>().iter().map(|node| node.bytes).sum()
}

/// Returns true for an id such as `20261125-062400-1f3a` from [`crate::build_id::new_id`], with or
/// without a suffix.
pub(crate) fn is_id(name: &str) -> bool {
    let digits = |text: &str, count: usize| text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    let mut parts = name.splitn(3, '-');
    let mut next = || parts.next().unwrap_or_default();
    digits(next(), 8) && digits(next(), 6) && !next().is_empty()
}

/// The purposes of scratch directories that hold a bundle or its base image.
pub(crate) const EXPORT: &str = "export";
/// See [`EXPORT`].
pub(crate) const IMPORT: &str = "import";
/// The purpose of a scratch directory that holds entries until they are removed.
pub(crate) const GC: &str = "gc";
/// The purpose of a scratch directory that reserves space for a save.
pub(crate) const RESERVED: &str = "reserved";

/// Returns whether a directory has the name of a scratch directory for this purpose.
pub(crate) fn is_scratch_for(dir: &Path, purpose: &str) -> bool {
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    name.rsplit_once('-').is_some_and(|(id, own)| is_id(id) && own == purpose)
}

fn is_bundle_scratch(dir: &Path) -> bool {
    is_scratch_for(dir, EXPORT) || is_scratch_for(dir, IMPORT)
}

/// The file in a directory of the store that a process locks while it uses the directory.
pub(crate) const HELD: &str = "held";

/// Returns whether a process holds a directory.
pub(crate) fn is_held(dir: &Path) -> bool {
    let path = dir.join(HELD);
    let open = |write: bool| File::options().read(true).write(write).open(&path);
    let Ok(file) = open(true).or_else(|_| open(false)) else { return false };
    // Another process that checks holds it for a moment.
    (0..3).all(|round| {
        std::thread::sleep(Duration::from_millis(round));
        matches!(file.try_lock(), Err(TryLockError::WouldBlock))
    })
}
