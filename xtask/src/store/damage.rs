//! What in the store is damaged: quickly, as a build looks, or by every digest, as `cache verify` does.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::contents::ItemKind;
use super::entry::{self, folders};
use super::layout_check;
use super::mount;
use crate::files::Seen;
use crate::layout::Layout;

/// One damaged generation or mount.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub(crate) struct Damaged {
    /// A generation or a mount.
    pub kind: ItemKind,
    /// Its folder.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
    /// Whether only the digests tell.
    pub deep: bool,
    /// Its entry when it was looked at.
    #[serde(skip)]
    pub(crate) seen: Seen,
}

impl Damaged {
    /// Whether it is still what was looked at.
    pub(crate) fn is_unchanged(&self) -> bool {
        self.path.is_dir() && self.seen.is_unchanged()
    }

    /// What a build says of it.
    pub(crate) fn warning(&self) -> String {
        let what = if self.kind == ItemKind::Mounts { "mount" } else { "cache" };
        format!(
            "the {what} in `{}` is left out, and goes to the quarantine: {}",
            self.path.display(),
            self.reason
        )
    }
}

/// What was looked at, and what of it is damaged.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Verified {
    /// How many generations and mounts were looked at.
    pub checked: usize,
    /// How many bytes were read, what is shared once.
    pub bytes: u64,
    /// What is damaged.
    pub damaged: Vec<Damaged>,
}

/// Looks at everything in full.
pub(crate) fn verify(layout: &Layout) -> Verified {
    let mut verified = Verified::default();
    let mut known = Known::default();
    for dir in entry::results(layout) {
        verified.checked += 1;
        verified.damaged.extend(look(ItemKind::Layers, &dir, Some(&mut known)));
    }
    for dir in folders(&layout.all_mounts()) {
        verified.checked += 1;
        verified.damaged.extend(look(ItemKind::Mounts, &dir, Some(&mut known)));
    }
    verified.bytes = known.bytes;
    verified
}

/// Saved mounts that a build would find damaged.
pub(crate) fn mounts(layout: &Layout) -> Vec<Damaged> {
    let dirs = folders(&layout.all_mounts());
    dirs.iter().filter_map(|dir| look(ItemKind::Mounts, dir, None)).collect()
}

/// Whether something is damaged still.
pub(crate) fn persists(item: &Damaged) -> bool {
    let mut known = Known::default();
    look(item.kind, &item.path, item.deep.then_some(&mut known)).is_some()
}

/// Files that were read in full, by what makes them the same under two names.
#[derive(Default)]
pub(super) struct Known {
    sound: std::collections::BTreeSet<(u64, u64)>,
    bytes: u64,
}

/// What is wrong with a generation; `known` where every digest is wanted.
pub(super) fn look(kind: ItemKind, dir: &Path, known: Option<&mut Known>) -> Option<Damaged> {
    let seen = Seen::now(dir.join("entry.json"));
    // An entry that somebody removed meanwhile is not damaged.
    let damaged = |reason: &anyhow::Error, deep| {
        let (path, reason, seen) = (dir.to_path_buf(), reason, seen.clone());
        (entry::is_damage(reason) && dir.is_dir()).then(|| Damaged {
            kind,
            path,
            reason: format!("{reason:#}"),
            deep,
            seen,
        })
    };
    if entry::is_foreign(dir) || (kind == ItemKind::Mounts && !is_mount(dir)) {
        return None;
    }
    let blobs = match kind {
        ItemKind::Layers => entry::read(dir).and_then(|_| layout_check::shape(dir)),
        _ => mount::read(dir).map(|entry| entry.blobs().cloned().collect()),
    };
    let blobs = match blobs {
        Ok(blobs) => blobs,
        Err(reason) => return damaged(&reason, false),
    };
    let known = known?;
    blobs.iter().find_map(|blob| {
        let id = layout_check::identity(dir, blob);
        if id.is_some_and(|id| known.sound.contains(&id)) {
            return layout_check::has(dir, blob).err().and_then(|reason| damaged(&reason, true));
        }
        match layout_check::verify(dir, blob) {
            Ok(()) => {
                known.sound.extend(id);
                known.bytes += blob.size;
                None
            }
            Err(reason) => damaged(&reason, true),
        }
    })
}

/// Whether a folder has the name of a saved mount, as `MountIdentity::slug` gives it.
fn is_mount(dir: &Path) -> bool {
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    let digest = name.rsplit_once('-').map_or("", |(_, digest)| digest);
    digest.len() == 8 && digest.bytes().all(|b| b.is_ascii_hexdigit())
}
