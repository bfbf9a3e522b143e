//! What the store holds: `layers/<repository>/<key>/<number>/` is one result of a Dockerfile, and its `entry.json` says what
//! it is. Several results of one key are those of branches, or of edits of files that the Dockerfile reads.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::contents::ItemKind;
use super::damage::{self, Damaged};
use super::key::{FORMAT, Key};
use super::validate::Validate;
use super::{layout_check, version};
use crate::layout::Layout;

/// One result.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct Entry {
    /// [`FORMAT`] of the store that wrote it.
    pub format: u32,
    /// The image: the repository of its first tag, or else the project's and the target's name.
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
    /// What tells this result from every other one, in every store.
    #[serde(default)]
    pub id: String,
    /// The results of this key that it came after, newest first: clocks of other machines don't tell.
    #[serde(default)]
    pub after: Vec<String>,
}

/// How many earlier results an entry names.
const ANCESTORS: usize = 32;

impl Entry {
    /// What a result saved now comes after: the results of its key, and what those came after.
    pub(crate) fn after<'a>(results: impl Iterator<Item = &'a Self> + Clone) -> Vec<String> {
        let mut after: Vec<String> = Vec::new();
        let older = results.clone().flat_map(|entry| &entry.after);
        for id in results.map(|entry| &entry.id).chain(older) {
            if !id.is_empty() && !after.contains(id) {
                after.push(id.clone());
            }
        }
        after.truncate(ANCESTORS);
        after
    }

    /// Whether this result is another one, or came after it.
    pub(crate) fn supersedes(&self, other: &Self) -> bool {
        let is_same = self.digest == other.digest && self.bytes == other.bytes && self.digest.is_some();
        let is_later = !other.id.is_empty() && (self.id == other.id || self.after.contains(&other.id));
        self.key == other.key && self.platform == other.platform && (is_same || is_later)
    }
}

/// Where a result is in the store, by the names of its directories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// Its key.
    pub key: Key,
    /// Its number: of two results of an image, the later one has the higher.
    pub number: u64,
}

/// Reads the names of a result's directory; `None` if it has another shape.
pub(crate) fn place(dir: &Path) -> Option<Place> {
    let name = |dir: &Path| dir.file_name()?.to_str().map(str::to_owned);
    let number = name(dir)?;
    let key = name(dir.parent()?)?;
    let is_key = key.len() == 64 && key.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let is_number = number.bytes().all(|b| b.is_ascii_digit()) && !number.starts_with('0');
    let number = number.parse().ok().filter(|_| is_key && is_number)?;
    Some(Place { key: Key(key), number })
}

/// The directories of all results of an image, in no order.
pub(crate) fn results_of(layout: &Layout, image: &str) -> Vec<PathBuf> {
    numbered(&folders(&layout.layers(image)))
}

/// The directories of all results of all images.
pub(crate) fn results(layout: &Layout) -> Vec<PathBuf> {
    numbered(&folders(&layout.all_layers()).iter().flat_map(|image| folders(image)).collect::<Vec<_>>())
}

fn numbered(keys: &[PathBuf]) -> Vec<PathBuf> {
    keys.iter().flat_map(|key| folders(key)).filter(|dir| place(dir).is_some()).collect()
}

/// The number of the next result of an image: numbers tell what superseded what, whatever the clocks said.
pub(crate) fn next_number(layout: &Layout, image: &str) -> u64 {
    let numbers = results_of(layout, image).into_iter().filter_map(|dir| place(&dir));
    numbers.map(|place| place.number).max().unwrap_or(0).saturating_add(1)
}

/// A result that can be read, and where it is.
#[derive(Debug, Clone)]
pub(crate) struct Generation {
    /// Its folder.
    pub dir: PathBuf,
    /// What it says of itself.
    pub entry: Entry,
}

/// What was found of an image in the store.
#[derive(Debug, Clone, Default)]
pub(crate) struct Found {
    /// Sound generations, newest first.
    pub generations: Vec<Generation>,
    /// What is foreign: left alone, never handed to BuildKit.
    pub warnings: Vec<String>,
    /// What is damaged, never handed to BuildKit either.
    pub damaged: Vec<Damaged>,
}

/// The generations of an image and platform, newest first; damaged ones are told and left out, since an index without its
/// tag would end the build (measured with BuildKit 0.13).
pub(crate) fn find(layout: &Layout, image: &str, platform: &str) -> Found {
    let mut found = Found::default();
    if let Some(warning) = foreign_format(layout) {
        found.warnings.push(warning);
        return found;
    }
    for dir in results_of(layout, image) {
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
    newest_first(&mut found.generations);
    found
}

/// Every generation of every image, newest first within an image, and what is damaged.
pub(crate) fn generations(layout: &Layout) -> (Vec<Generation>, Vec<Damaged>) {
    let (mut sound, mut damaged) = (Vec::new(), Vec::new());
    for dir in results(layout).into_iter().filter(|dir| !is_foreign(dir)) {
        match read(&dir) {
            Ok(entry) => sound.push(Generation { dir, entry }),
            Err(_) => damaged.extend(damage::look(ItemKind::Layers, &dir, None)),
        }
    }
    newest_first(&mut sound);
    sound.sort_by(|one, other| one.entry.image.cmp(&other.entry.image));
    (sound, damaged)
}

fn newest_first(generations: &mut [Generation]) {
    generations.sort_by_key(|generation| std::cmp::Reverse(place(&generation.dir).map(|place| place.number)));
}

/// Returns why a store is not used: a newer version wrote it.
pub(crate) fn foreign_format(layout: &Layout) -> Option<String> {
    version::foreign(layout)
}

/// Whether what the store has is as new as another one or newer, by their times. A time in the future is that of a wrong
/// clock, and tells nothing: then the other one counts as newer.
pub(crate) fn is_later(own: Timestamp, other: Timestamp, now: Timestamp) -> bool {
    own >= other && own.as_second() <= now.as_second() + 3600
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
    version::of_entry(dir).is_some_and(|format| format != FORMAT)
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
