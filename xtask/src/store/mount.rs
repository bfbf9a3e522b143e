//! What the store holds of cache mounts: `mounts/<name>/` has `entry.json`, which names every blob, and `blobs/sha256/`
//! with packs (`tar | zstd`) and the list of files. Renaming `entry.json` is what makes a save count; a blob that it does
//! not name is garbage.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::entry::{folders, foreign_format};
use super::layout_check::Blob;
use super::validate::Validate;
use crate::layout::Layout;
use crate::project::mount::{MountIdentity, Sharing};

/// One mount as it was last saved.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct MountEntry {
    /// The format of the store that wrote it.
    pub format: u32,
    /// What it is.
    pub identity: MountIdentity,
    /// Its sharing, which every access repeats: a locked reader beside a shared mount orphans its content (measured).
    pub sharing: Sharing,
    /// Where it is mounted, as it was last declared; for people.
    pub target: String,
    /// The platform it was filled on.
    pub platform: String,
    /// When it was saved.
    pub saved: Timestamp,
    /// How many files and folders it has.
    pub files: u64,
    /// Their size in bytes, unpacked.
    pub bytes: u64,
    /// Whether it may leave this machine: the declaration gives it an id, or `--mounts` named it.
    #[serde(default)]
    pub is_shared: bool,
    /// The list of its files.
    pub manifest: Blob,
    /// Its packs, oldest first: each holds what was new or changed when it was made.
    pub packs: Vec<Blob>,
}

impl MountEntry {
    /// Every blob it names.
    pub fn blobs(&self) -> impl Iterator<Item = &Blob> {
        std::iter::once(&self.manifest).chain(&self.packs)
    }

    /// What it takes in the store, in bytes.
    pub fn stored_bytes(&self) -> u64 {
        self.blobs().map(|blob| blob.size).sum()
    }
}

/// A mount that is saved, and where.
#[derive(Debug, Clone)]
pub struct SavedMount {
    /// Its folder.
    pub dir: PathBuf,
    /// What it says of itself.
    pub entry: MountEntry,
}

/// Every saved mount; those that are damaged come as warnings, never as mounts.
pub fn all(layout: &Layout) -> (Vec<SavedMount>, Vec<String>) {
    if let Some(warning) = foreign_format(layout) {
        return (Vec::new(), vec![warning]);
    }
    let (mut mounts, mut warnings) = (Vec::new(), Vec::new());
    for dir in folders(&layout.all_mounts()) {
        match read(&dir) {
            Ok(entry) => mounts.push(SavedMount { dir, entry }),
            Err(reason) => {
                warnings.push(format!("the mount in `{}` is left out: {reason:#}", dir.display()));
            }
        }
    }
    (mounts, warnings)
}

/// Reads one mount's folder and checks that its blobs are there with their sizes.
pub fn read(dir: &Path) -> Result<MountEntry> {
    let path = dir.join("entry.json");
    let bytes = fs::read(&path).with_context(|| format!("failed to read `{}`", path.display()))?;
    let entry: MountEntry = serde_json::from_slice(&bytes)
        .with_context(|| format!("`{}` is not what it should be", path.display()))?;
    entry.validate().with_context(|| format!("`{}` is not what it should be", path.display()))?;
    entry.blobs().try_for_each(|blob| super::layout_check::has(dir, blob))?;
    Ok(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_an_identity_gives_another_folder() {
        let base =
            || MountIdentity { project: "a/b".into(), id: "/go/pkg/mod".into(), ..MountIdentity::default() };
        let slug = base().slug();
        assert!(slug.starts_with("a_b-go_pkg_mod-"), "{slug}");
        for other in [
            MountIdentity { project: "a_b".into(), ..base() },
            MountIdentity { namespace: "ns".into(), ..base() },
            MountIdentity { from: Some("app/seed".into()), ..base() },
            MountIdentity { source: Some("/x".into()), ..base() },
            MountIdentity { uid: Some(0), ..base() },
            MountIdentity { gid: Some(0), ..base() },
            MountIdentity { mode: Some("0755".into()), ..base() },
        ] {
            assert_ne!(other.slug(), slug);
        }
    }
}
