//! What the store holds: `entry.json` beside each generation says what it is.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::contents::ItemKind;
use super::damage::{self, Damaged};
use super::key::{FORMAT, Key};
use super::layout_check;
use super::validate::Validate;
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
    /// What the steps of that build were made of, as their keys in a forecast.
    #[serde(default)]
    pub steps: Vec<String>,
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
    /// What is foreign: left alone, never handed to BuildKit.
    pub warnings: Vec<String>,
    /// What is damaged, never handed to BuildKit either.
    pub damaged: Vec<Damaged>,
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
            Ok(entry) if entry.image == image && entry.platform == platform && entry.format == FORMAT => {
                found.generations.push(Generation { dir, entry });
            }
            Ok(_) => {}
            Err(reason) => match damage::look(ItemKind::Layers, &dir, None) {
                Some(damaged) => found.damaged.push(damaged),
                None => {
                    found.warnings.push(format!("the cache in `{}` is left out: {reason:#}", dir.display()));
                }
            },
        }
    }
    found.generations.sort_by_key(|generation| std::cmp::Reverse(generation.entry.saved));
    found
}

/// Every generation of every image, newest first within an image, and what is damaged.
pub fn generations(layout: &Layout) -> (Vec<Generation>, Vec<Damaged>) {
    let (mut sound, mut damaged) = (Vec::new(), Vec::new());
    for dir in all(layout).into_iter().filter(|dir| damage::is_generation(dir) && !is_foreign(dir)) {
        match read(&dir) {
            Ok(entry) => sound.push(Generation { dir, entry }),
            Err(_) => damaged.extend(damage::look(ItemKind::Layers, &dir, None)),
        }
    }
    sound.sort_by(|one, other| {
        let order = one.entry.image.cmp(&other.entry.image);
        order.then(other.entry.saved.cmp(&one.entry.saved))
    });
    (sound, damaged)
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

/// Reads a generation's entry and checks what would end a build.
pub(crate) fn read(dir: &Path) -> Result<Entry> {
    let path = dir.join("entry.json");
    let bytes = fs::read(&path).with_context(|| format!("failed to read `{}`", path.display()))?;
    let entry: Entry = serde_json::from_slice(&bytes)
        .with_context(|| format!("`{}` is not what it should be", path.display()))?;
    // Another version's entries are its own to check.
    if entry.format == FORMAT {
        entry.validate().with_context(|| format!("`{}` is not what it should be", path.display()))?;
    }
    layout_check::shape(dir)?;
    Ok(entry)
}

/// Whether a newer version made an entry: it is left alone, and is not damaged.
pub(super) fn is_foreign(dir: &Path) -> bool {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let bytes = fs::read(dir.join("entry.json")).unwrap_or_default();
    serde_json::from_slice::<Format>(&bytes).is_ok_and(|entry| entry.format != FORMAT)
}

/// Whether an error tells of damage: not where reading was refused, which says nothing of the content.
pub(super) fn is_damage(error: &anyhow::Error) -> bool {
    let refused = error.root_cause().downcast_ref::<io::Error>().map(io::Error::kind);
    !matches!(refused, Some(io::ErrorKind::PermissionDenied | io::ErrorKind::Interrupted))
}

/// The folders in a folder, by name.
pub(crate) fn folders(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut dirs: Vec<_> = entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    dirs.sort();
    dirs
}
