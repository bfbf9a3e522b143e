//! Saved cache mounts in the store. `mounts/<name>/` has `entry.json`, which names every blob, and
//! `blobs/sha256/` with packs (`tar | zstd`) and the list of files. A save takes effect when
//! `entry.json` is renamed. A blob that it doesn't name is garbage.

use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::entry::{foreign_format, subdirectories};
use super::layout_check::Blob;
use super::sealed;
use super::used::USED;
use super::validate::Validate;
use crate::files;
use crate::layout::Layout;
use crate::project::mount::{MountIdentity, Sharing};

/// A mount as it was last saved.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct MountEntry {
    /// The format of the store that wrote it.
    pub format: u32,
    /// Its identity in BuildKit.
    pub identity: MountIdentity,
    /// Its sharing mode, which every access repeats: a locked reader of a shared mount orphans its
    /// content (measured).
    pub sharing: Sharing,
    /// Its target in the last declaration, for display.
    pub target: String,
    /// The platform of the step that filled it.
    pub platform: String,
    /// The time of the save.
    pub saved: Timestamp,
    /// The number of its files and directories.
    pub files: u64,
    /// Their unpacked size in bytes.
    pub bytes: u64,
    /// Whether it may leave this machine: the declaration gives it an id, or `--mounts` named it.
    #[serde(default)]
    pub is_shared: bool,
    /// The list of its files.
    pub manifest: Blob,
    /// Its packs, oldest first. Each has the files that were new or changed at the time.
    pub packs: Vec<Blob>,
    /// In a registry: keys of steps that used it and whose layers were pushed, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<String>,
}

/// The number of keys that an entry keeps.
const MOST_STEPS: usize = 64;

impl MountEntry {
    /// Returns every blob that it names.
    pub fn blobs(&self) -> impl Iterator<Item = &Blob> {
        std::iter::once(&self.manifest).chain(&self.packs)
    }

    /// Adds older keys of steps.
    pub(crate) fn add_steps(&mut self, older: &[String]) {
        let new = older.iter().filter(|step| !self.steps.contains(step)).cloned().collect::<Vec<_>>();
        self.steps.extend(new);
        self.steps.truncate(MOST_STEPS);
    }

    /// Returns its size in the store in bytes.
    pub fn stored_bytes(&self) -> u64 {
        self.blobs().map(|blob| blob.size).sum()
    }
}

/// A saved mount and its directory.
#[derive(Debug, Clone)]
pub struct SavedMount {
    /// Its directory.
    pub dir: PathBuf,
    /// Its entry.
    pub entry: MountEntry,
}

/// Returns the directory of every saved mount, damaged or not.
pub(crate) fn directories(layout: &Layout) -> Vec<PathBuf> {
    subdirectories(&layout.all_mounts()).into_iter().filter(|dir| is_saved(dir)).collect()
}

/// Returns whether a save ended there. A mount's first save may have been killed before. If it was
/// used, its entry was lost.
pub(crate) fn is_saved(dir: &Path) -> bool {
    let is_there = |name: &str| {
        let meta = fs::symlink_metadata(dir.join(name));
        meta.map_or_else(|error| error.kind() != io::ErrorKind::NotFound, |_| true)
    };
    is_there("entry.json") || is_there(USED)
}

/// Returns every saved mount. Damaged ones become warnings.
pub fn all(layout: &Layout) -> (Vec<SavedMount>, Vec<String>) {
    if let Some(warning) = foreign_format(layout) {
        return (Vec::new(), vec![warning]);
    }
    let (mut mounts, mut warnings) = (Vec::new(), Vec::new());
    for dir in directories(layout) {
        match read(&dir) {
            Ok(entry) => mounts.push(SavedMount { dir, entry }),
            Err(reason) => {
                warnings.push(format!("skipped the mount in `{}`: {reason:#}", dir.display()));
            }
        }
    }
    (mounts, warnings)
}

/// Reads the directory of a mount and checks that its blobs exist with their sizes.
pub fn read(dir: &Path) -> Result<MountEntry> {
    let path = dir.join("entry.json");
    let bytes = files::read(&path).with_context(|| format!("failed to read `{}`", path.display()))?;
    let entry: MountEntry =
        sealed::from_json(&bytes).with_context(|| format!("`{}` is not valid", path.display()))?;
    entry.validate().with_context(|| format!("`{}` is not valid", path.display()))?;
    entry.blobs().try_for_each(|blob| super::layout_check::has(dir, blob))?;
    Ok(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_entry_differs_from_a_save_that_did_not_end() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir_all(dir.path().join("blobs/sha256")).expect("made");
        assert!(!is_saved(dir.path()), "its save did not end");
        fs::write(dir.path().join(USED), "").expect("written");
        assert!(is_saved(dir.path()), "it was used");
        let error = format!("{:#}", read(dir.path()).expect_err("it has no entry"));
        assert!(error.contains("entry.json"), "{error}");
    }

    #[test]
    fn every_part_of_an_identity_changes_the_directory() {
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
