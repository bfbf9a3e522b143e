//! Decides which entries are removed from the store, and why: from its contents, the policy, and
//! the clock. Exactly the listed entries are removed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::files::Seen;
use crate::store::contents::{Contents, Item, ItemKind, ItemState, Node};
use crate::store::policy::{Policy, QUARANTINE_DAYS, RESULTS};

/// The number of build records that are removed last.
const RECORDS: usize = 10;

/// The input of a plan.
#[derive(Debug, Clone, Default)]
pub(crate) struct Request {
    pub policy: Policy,
    /// Bytes to keep free below the budget.
    pub room: u64,
    /// Paths that are kept, whatever their age.
    pub protect: Vec<PathBuf>,
}

/// One entry to remove.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub struct Removal {
    pub kind: ItemKind,
    /// Its display name.
    pub name: String,
    pub path: PathBuf,
    pub reason: String,
    /// The bytes that its removal frees. Shared files are freed with the last entry that has them.
    pub bytes: u64,
    /// The entry when it was selected.
    #[serde(skip)]
    pub(crate) seen: Seen,
}

/// The planned removals.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub struct GcPlan {
    /// The entries to remove, in this order.
    pub removals: Vec<Removal>,
    /// The size of the store before, in bytes.
    pub before: u64,
    /// Its size after, in bytes.
    pub after: u64,
    /// Bytes above the budget that remain.
    pub short: u64,
}

/// Makes the list: first unusable entries, then old ones by the policy, then superseded
/// generations, then, while the store is too large, the least recently used ones. If the requested
/// space cannot be freed, nothing is removed for it.
pub(crate) fn plan(contents: &Contents, request: &Request, now: Timestamp) -> GcPlan {
    let mut picked = Picked { shares: contents.shares(), removals: Vec::new(), left: contents.bytes() };
    let before = picked.left;
    let mine = |item: &&Item| item.state != ItemState::Untouchable && !request.protect.contains(&item.path);
    let mut items: Vec<&Item> = contents.items.iter().filter(mine).collect();
    items.sort_by_key(|item| (item.used, item.path.clone()));
    for item in &items {
        if let Some(reason) = garbage(item, now) {
            picked.take(item, reason);
        }
    }
    for item in items.iter().filter(|item| is_by_age(item.kind)) {
        if let Some(days) = request.policy.older_than.filter(|days| idle(item, now) >= i64::from(*days)) {
            picked.take(item, format!("not used for {days} days or more"));
        }
    }
    for (item, reason) in beyond(contents, request.policy.keep) {
        if mine(&item) {
            picked.take(item, reason);
        }
    }
    let wanted = request.policy.budget.saturating_sub(request.room);
    let unwanted = picked.removals.len();
    pressure(&items, &mut picked, wanted, contents);
    let mut short = (picked.left + request.room).saturating_sub(request.policy.budget);
    if short > 0 && request.room > 0 {
        picked.keep_first(unwanted, contents);
        short = (picked.left + request.room).saturating_sub(request.policy.budget);
    }
    GcPlan { removals: picked.removals, before, after: picked.left, short }
}

/// Returns the list of all entries of some kinds, except those of running builds.
pub(crate) fn clear(contents: &Contents, kinds: &[ItemKind]) -> GcPlan {
    all_of(contents, kinds.iter().flat_map(|kind| contents.of(*kind)), "cleared")
}

/// Returns the list of all build records, except those of running builds.
pub(crate) fn forget(contents: &Contents, ids: &[String]) -> GcPlan {
    all_of(
        contents,
        contents.of(ItemKind::Builds).filter(|item| ids.contains(&item.name)),
        "no longer wanted",
    )
}

fn all_of<'a>(contents: &'a Contents, items: impl Iterator<Item = &'a Item>, reason: &str) -> GcPlan {
    let mut picked = Picked { shares: contents.shares(), removals: Vec::new(), left: contents.bytes() };
    let before = picked.left;
    for item in items.filter(|item| item.state != ItemState::Untouchable) {
        picked.take(item, reason.to_owned());
    }
    GcPlan { removals: picked.removals, before, after: picked.left, short: 0 }
}

/// Returns why an entry is always removed.
fn garbage(item: &Item, now: Timestamp) -> Option<String> {
    match &item.state {
        ItemState::Orphan(why) => Some((*why).to_owned()),
        _ if item.kind == ItemKind::Quarantine && idle(item, now) >= i64::from(QUARANTINE_DAYS) => {
            Some(format!("it was damaged, and kept for {QUARANTINE_DAYS} days"))
        }
        _ => None,
    }
}

/// Returns the whole days since its last use.
fn idle(item: &Item, now: Timestamp) -> i64 {
    now.duration_since(item.used).max(SignedDuration::ZERO).as_hours() / 24
}

fn is_by_age(kind: ItemKind) -> bool {
    matches!(kind, ItemKind::Layers | ItemKind::Mounts | ItemKind::Builds | ItemKind::Bases)
}

/// Returns superseded results of each Dockerfile, and results of superseded Dockerfiles of each
/// image and platform.
fn beyond(contents: &Contents, keep: usize) -> Vec<(&Item, String)> {
    let mut groups: BTreeMap<&str, Vec<&Item>> = BTreeMap::new();
    for item in contents.of(ItemKind::Layers).filter(|item| item.state == ItemState::Sound) {
        groups.entry(&item.group).or_default().push(item);
    }
    let mut old = Vec::new();
    for mut group in groups.into_values() {
        group.sort_by_key(|item| std::cmp::Reverse((item.rank, &item.path)));
        let mut keys: Vec<(&str, usize)> = Vec::new();
        let mut beyond = Vec::new();
        for item in group {
            let at = keys.iter().position(|(key, _)| *key == item.key).unwrap_or_else(|| {
                keys.push((&item.key, 0));
                keys.len() - 1
            });
            keys[at].1 += 1;
            if at >= keep {
                beyond.push((
                    item,
                    format!("there are results of newer Dockerfiles: the latest {keep} are kept"),
                ));
            } else if keys[at].1 > RESULTS {
                beyond
                    .push((item, format!("its Dockerfile has newer results: the latest {RESULTS} are kept")));
            }
        }
        old.extend(beyond.into_iter().rev());
    }
    old
}

/// Selects entries until the store is as small as `wanted`, then drops unnecessary ones from the
/// selection.
fn pressure(items: &[&Item], picked: &mut Picked, wanted: u64, contents: &Contents) {
    let records: BTreeSet<_> = {
        let mut builds: Vec<_> = items.iter().filter(|item| item.kind == ItemKind::Builds).collect();
        builds.sort_by_key(|item| std::cmp::Reverse(&item.name));
        builds.iter().take(RECORDS).map(|item| item.path.clone()).collect()
    };
    let rank = |item: &Item| match (&item.state, item.kind) {
        (ItemState::Damaged(_), _) | (_, ItemKind::Quarantine) => 0,
        _ if records.contains(&item.path) => 2,
        _ => 1,
    };
    let mut order: Vec<&&Item> = items.iter().collect();
    order.sort_by_key(|item| rank(item));
    let first = picked.removals.len();
    for item in order {
        if picked.left <= wanted {
            break;
        }
        let reason = match rank(item) {
            0 => "it is damaged, and space is needed".to_owned(),
            _ => format!("space is needed, and it was last used on {}", day(item.used)),
        };
        picked.take(item, reason);
    }
    // The newest first: one large entry may make the selected small ones before it unnecessary.
    let mut index = picked.removals.len();
    while index > first {
        index -= 1;
        let mut without = picked.clone();
        without.drop_one(index, contents);
        if without.left <= wanted {
            *picked = without;
        }
    }
    picked.count_again(contents);
}

fn day(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d").to_string()
}

#[derive(Clone)]
struct Picked {
    shares: BTreeMap<Node, usize>,
    removals: Vec<Removal>,
    left: u64,
}

impl Picked {
    fn take(&mut self, item: &Item, reason: String) {
        if self.removals.iter().any(|removal| removal.path == item.path) {
            return;
        }
        let bytes = self.release(item);
        let (kind, name, path, seen) = (item.kind, item.name.clone(), item.path.clone(), item.seen.clone());
        self.removals.push(Removal { kind, name, path, reason, bytes, seen });
    }

    /// Frees the files that only this item had.
    fn release(&mut self, item: &Item) -> u64 {
        let mut bytes = 0;
        for node in item.nodes.iter().collect::<BTreeSet<_>>() {
            let count = self.shares.get_mut(node);
            if let Some(count) = count {
                *count = count.saturating_sub(1);
                bytes += if *count == 0 { node.bytes() } else { 0 };
            }
        }
        self.left -= bytes;
        bytes
    }

    fn drop_one(&mut self, index: usize, contents: &Contents) {
        self.removals.remove(index);
        self.count_again(contents);
    }

    fn keep_first(&mut self, len: usize, contents: &Contents) {
        self.removals.truncate(len);
        self.count_again(contents);
    }

    /// The freed bytes of each entry depend on those before it.
    fn count_again(&mut self, contents: &Contents) {
        self.shares = contents.shares();
        self.left = contents.bytes();
        let items: BTreeMap<_, _> = contents.items.iter().map(|item| (&item.path, item)).collect();
        let mut removals = std::mem::take(&mut self.removals);
        for removal in &mut removals {
            if let Some(item) = items.get(&removal.path) {
                removal.bytes = self.release(item);
            }
        }
        self.removals = removals;
    }
}

#[cfg(test)]
#[path = "gc_tests.rs"]
mod tests;
