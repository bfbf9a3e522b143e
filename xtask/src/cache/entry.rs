//! What the store holds: `entry.json` beside each generation says what it is.

use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::key::{FORMAT, Key};
use super::layout_check;
use crate::layout::Layout;

/// One generation.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct Entry {
    /// [`FORMAT`] of the store that wrote it.
    pub format: u32,
    /// The image, as its first tag or else the target's name.
    pub image: String,
    /// The platform it was built for.
    pub platform: String,
    /// Its key.
    pub key: Key,
    /// Digest of the image that the build gave, where it gave one.
    pub digest: Option<String>,
    /// When it was saved.
    pub saved: Timestamp,
    /// Size of its blobs in bytes.
    pub bytes: u64,
}

/// A generation that can be read, and where it is.
#[derive(Debug, Clone)]
pub struct Generation {
    /// Its folder.
    pub dir: PathBuf,
    /// What it says of itself.
    pub entry: Entry,
}

/// What was found of an image in the store.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// Sound generations, newest first.
    pub generations: Vec<Generation>,
    /// What is damaged or foreign: left alone, never handed to BuildKit.
    pub warnings: Vec<String>,
}

/// The generations of an image and platform, newest first; damaged ones are told and left out, since an index without its
/// tag would end the build (measured with BuildKit 0.13).
pub fn find(layout: &Layout, image: &str, platform: &str) -> Found {
    let mut found = Found::default();
    if let Some(warning) = foreign_format(layout) {
        found.warnings.push(warning);
        return found;
    }
    for dir in folders(&layout.layers(image)) {
        match read(&dir) {
            Ok(entry) if entry.image == image && entry.platform == platform => {
                found.generations.push(Generation { dir, entry });
            }
            Ok(_) => {}
            Err(reason) => {
                found.warnings.push(format!("the cache in `{}` is left out: {reason:#}", dir.display()));
            }
        }
    }
    found.generations.sort_by_key(|generation| std::cmp::Reverse(generation.entry.saved));
    found
}

/// Blob folders of every generation of every image: a new generation takes from them what it shares.
pub fn all(layout: &Layout) -> Vec<PathBuf> {
    folders(&layout.all_layers()).iter().flat_map(|image| folders(image)).collect()
}

/// A store that a newer version wrote is left alone.
pub fn foreign_format(layout: &Layout) -> Option<String> {
    let text = fs::read_to_string(layout.version_file()).ok()?;
    (text.trim() != FORMAT.to_string()).then(|| {
        format!(
            "the store `{}` has format {}, this xtask knows {FORMAT}: it is left alone; use a newer xtask or --cache-dir",
            layout.store.display(),
            text.trim()
        )
    })
}

fn read(dir: &Path) -> anyhow::Result<Entry> {
    let entry: Entry = serde_json::from_slice(&fs::read(dir.join("entry.json"))?)?;
    layout_check::shape(dir)?;
    Ok(entry)
}

/// The folders in a folder, by name.
pub(super) fn folders(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut dirs: Vec<_> = entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    dirs.sort();
    dirs
}
