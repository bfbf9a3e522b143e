//! Finds damage in the store: quickly, as a build looks, or by every digest, as `cache verify`
//! does.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::contents::ItemKind;
use super::entry;
use super::layout_check;
use super::mount;
use crate::files::Seen;
use crate::layout::Layout;

/// One damaged generation or mount.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub(crate) struct Damaged {
    /// A generation or a mount.
    pub kind: ItemKind,
    /// Its directory.
    pub path: PathBuf,
    pub reason: String,
    /// Whether only the digests show the damage.
    pub deep: bool,
    /// Its entry at the time of the check.
    #[serde(skip)]
    pub(crate) seen: Seen,
}

impl Damaged {
    /// Returns whether the entry is unchanged since the check.
    pub(crate) fn is_unchanged(&self) -> bool {
        self.path.is_dir() && self.seen.is_unchanged()
    }

    /// Returns the warning of a build.
    pub(crate) fn warning(&self) -> String {
        let what = if self.kind == ItemKind::Mounts { "mount" } else { "cache" };
        format!(
            "skipped the {what} in `{}`, which is moved to the quarantine: {}",
            self.path.display(),
            self.reason
        )
    }
}

/// A saved result or cache mount that this user may not read: it may be damaged or not.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub(crate) struct Unreadable {
    /// A saved result or a cache mount.
    pub kind: ItemKind,
    /// Its directory.
    pub path: PathBuf,
    /// The file that cannot be read.
    pub reason: String,
}

/// The entries that were checked, and those of them that are damaged.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Verified {
    /// The number of saved results and cache mounts that were checked.
    pub checked: usize,
    /// The number of bytes that were read, shared ones once.
    pub bytes: u64,
    /// Damaged entries.
    pub damaged: Vec<Damaged>,
    /// Entries that could not be checked.
    pub unreadable: Vec<Unreadable>,
}

/// Checks every entry in full.
pub(crate) fn verify(layout: &Layout) -> Verified {
    let mut verified = Verified::default();
    let mut known = Known::default();
    let results = entry::results(layout).into_iter().map(|dir| (ItemKind::Layers, dir));
    let mounts = mount::directories(layout).into_iter().map(|dir| (ItemKind::Mounts, dir));
    for (kind, dir) in results.chain(mounts) {
        verified.checked += 1;
        match examine(kind, &dir, Some(&mut known)) {
            None => {}
            Some(problem) if problem.is_damage() => verified.damaged.push(problem.damaged(kind, &dir)),
            Some(Problem { error, .. }) => {
                verified.unreadable.push(Unreadable { kind, path: dir, reason: format!("{error:#}") });
            }
        }
    }
    verified.bytes = known.bytes;
    verified
}

/// Damaged ones of some saved results, by every digest.
pub(crate) fn results<'a>(dirs: impl IntoIterator<Item = &'a Path>) -> Vec<Damaged> {
    let mut known = Known::default();
    dirs.into_iter().filter_map(|dir| look(ItemKind::Layers, dir, Some(&mut known))).collect()
}

/// Returns the saved mounts that a build would find damaged.
pub(crate) fn mounts(layout: &Layout) -> Vec<Damaged> {
    mount::directories(layout).iter().filter_map(|dir| look(ItemKind::Mounts, dir, None)).collect()
}

/// Returns whether the entry is still damaged.
pub(crate) fn persists(item: &Damaged) -> bool {
    let mut known = Known::default();
    look(item.kind, &item.path, item.deep.then_some(&mut known)).is_some()
}

/// Files that were read in full, identified so that hard links are equal.
#[derive(Default)]
pub(super) struct Known {
    sound: std::collections::BTreeSet<(u64, u64)>,
    bytes: u64,
}

/// A reason why an entry cannot be used.
struct Problem {
    error: anyhow::Error,
    /// Whether only the digests show the damage.
    deep: bool,
    /// The entry before it was looked at.
    seen: Seen,
}

impl Problem {
    /// Returns whether the content is wrong: not where reading it was refused.
    fn is_damage(&self) -> bool {
        entry::is_damage(&self.error)
    }

    fn damaged(self, kind: ItemKind, dir: &Path) -> Damaged {
        let Self { error, deep, seen } = self;
        Damaged { kind, path: dir.to_path_buf(), reason: format!("{error:#}"), deep, seen }
    }
}

/// Looks for damage of one entry; with `known`, by every digest.
pub(super) fn look(kind: ItemKind, dir: &Path, known: Option<&mut Known>) -> Option<Damaged> {
    let problem = examine(kind, dir, known).filter(Problem::is_damage);
    problem.map(|problem| problem.damaged(kind, dir))
}

/// Looks for a reason not to use an entry. An entry that somebody removed meanwhile has none.
fn examine(kind: ItemKind, dir: &Path, known: Option<&mut Known>) -> Option<Problem> {
    let seen = Seen::now(dir.join("entry.json"));
    let problem = |(error, deep)| dir.is_dir().then_some(Problem { error, deep, seen });
    if entry::is_foreign(dir) || (kind == ItemKind::Mounts && !is_mount(dir)) {
        return None;
    }
    first_error(kind, dir, known).err().and_then(problem)
}

/// The first error of reading an entry, and whether only the digests tell.
fn first_error(kind: ItemKind, dir: &Path, known: Option<&mut Known>) -> Result<(), (anyhow::Error, bool)> {
    let blobs = match kind {
        ItemKind::Layers => entry::read(dir).and_then(|_| layout_check::shape(dir)),
        _ => mount::read(dir).map(|entry| entry.blobs().cloned().collect()),
    };
    let blobs = blobs.map_err(|error| (error, false))?;
    let Some(known) = known else { return Ok(()) };
    for blob in &blobs {
        let id = layout_check::identity(dir, blob);
        if id.is_some_and(|id| known.sound.contains(&id)) {
            layout_check::has(dir, blob).map_err(|error| (error, true))?;
            continue;
        }
        layout_check::verify(dir, blob).map_err(|error| (error, true))?;
        known.sound.extend(id);
        known.bytes += blob.size;
    }
    Ok(())
}

/// Returns whether a directory has a name of the form that `MountIdentity::slug` returns.
pub(super) fn is_mount(dir: &Path) -> bool {
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    let digest = name.rsplit_once('-').map_or("", |(_, digest)| digest);
    digest.len() == 8 && digest.bytes().all(|b| b.is_ascii_hexdigit())
}
