//! The entries of the store. `layers/<repository>/<key>/<number>/` is one result of a Dockerfile,
//! described by its `entry.json`. Several results of one key come from branches, or from edits of
//! files that the Dockerfile reads.

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
use super::{layout_check, sealed, version};
use crate::files;
use crate::layout::Layout;

/// One result.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct Entry {
    /// [`FORMAT`] of the store that wrote it.
    pub format: u32,
    /// The image: the repository of its first tag, or the names of the project and the target.
    pub image: String,
    pub platform: String,
    pub key: Key,
    /// The digest of the built image, if there is one.
    pub digest: Option<String>,
    pub saved: Timestamp,
    /// The size of its blobs in bytes.
    pub bytes: u64,
    /// The forecast keys of the build's steps.
    #[serde(default)]
    pub steps: Vec<String>,
    /// The same without the modes that a checkout has by its umask.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps_any_mode: Vec<String>,
    /// A unique id across all stores.
    #[serde(default)]
    pub id: String,
    /// The earlier results of this key, newest first. Clocks of several machines can't tell the
    /// order.
    #[serde(default)]
    pub after: Vec<String>,
}

/// The maximum number of earlier results in an entry.
const ANCESTORS: usize = 32;

impl Entry {
    /// Returns the predecessors of a new result: the results of its key, and their predecessors.
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

    /// Returns whether this result is the other one, or came after it.
    pub(crate) fn supersedes(&self, other: &Self) -> bool {
        let is_same = self.digest == other.digest && self.bytes == other.bytes && self.digest.is_some();
        let is_later = !other.id.is_empty() && (self.id == other.id || self.after.contains(&other.id));
        self.key == other.key && self.platform == other.platform && (is_same || is_later)
    }
}

/// The place of a result in the store, by the names of its directories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub key: Key,
    /// Its number: of two results of an image, the later one has the higher number.
    pub number: u64,
}

/// Parses the path of a result's directory. Returns `None` for another shape.
pub(crate) fn place(dir: &Path) -> Option<Place> {
    let name = |dir: &Path| dir.file_name()?.to_str().map(str::to_owned);
    let number = name(dir)?;
    let key = name(dir.parent()?)?;
    let is_key = key.len() == 64 && key.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let is_number = number.bytes().all(|b| b.is_ascii_digit()) && !number.starts_with('0');
    let number = number.parse().ok().filter(|_| is_key && is_number)?;
    Some(Place { key: Key(key), number })
}

/// Returns the directories of all results of an image, in no order.
pub(crate) fn results_of(layout: &Layout, image: &str) -> Vec<PathBuf> {
    numbered(&subdirectories(&layout.layers(image)))
}

/// Returns the directories of all results of all images.
pub(crate) fn results(layout: &Layout) -> Vec<PathBuf> {
    numbered(
        &subdirectories(&layout.all_layers())
            .iter()
            .flat_map(|image| subdirectories(image))
            .collect::<Vec<_>>(),
    )
}

fn numbered(keys: &[PathBuf]) -> Vec<PathBuf> {
    keys.iter().flat_map(|key| subdirectories(key)).filter(|dir| place(dir).is_some()).collect()
}

/// Returns the number of the next result of an image. Numbers give the order, independent of
/// clocks.
pub(crate) fn next_number(layout: &Layout, image: &str) -> u64 {
    let numbers = results_of(layout, image).into_iter().filter_map(|dir| place(&dir));
    numbers.map(|place| place.number).max().unwrap_or(0).saturating_add(1)
}

/// A readable result and its directory.
#[derive(Debug, Clone)]
pub(crate) struct Generation {
    pub dir: PathBuf,
    pub entry: Entry,
}

/// The results of a search for an image.
#[derive(Debug, Clone, Default)]
pub(crate) struct Found {
    /// Valid generations, newest first.
    pub generations: Vec<Generation>,
    /// Warnings about foreign entries, which are never passed to BuildKit.
    pub warnings: Vec<String>,
    /// Damaged entries, which are never passed to BuildKit.
    pub damaged: Vec<Damaged>,
}

/// Returns the generations of an image and platform, newest first. Reports damaged ones separately,
/// because an index without its tag would end the build (measured with BuildKit 0.13).
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
                    found.warnings.push(format!("skipped the cache in `{}`: {reason:#}", dir.display()));
                }
            },
        }
    }
    newest_first(&mut found.generations);
    found
}

/// Returns every generation of every image, newest first within an image, and the damaged ones.
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

/// Returns whether the store's entry is as new as another one or newer, by their times. A time in
/// the future comes from a wrong clock, so the other one counts as newer then.
pub(crate) fn is_later(own: Timestamp, other: Timestamp, now: Timestamp) -> bool {
    own >= other && own.as_second() <= now.as_second() + 3600
}

/// Reads a generation's entry and checks everything that would end a build.
pub(crate) fn read(dir: &Path) -> Result<Entry> {
    let path = dir.join("entry.json");
    let bytes = files::read(&path).with_context(|| format!("failed to read `{}`", path.display()))?;
    let entry: Entry =
        sealed::from_json(&bytes).with_context(|| format!("`{}` is not valid", path.display()))?;
    // Entries of another format are not checked.
    if entry.format == FORMAT {
        entry.validate().with_context(|| format!("`{}` is not valid", path.display()))?;
    }
    layout_check::shape(dir)?;
    Ok(entry)
}

/// Returns whether a newer version made an entry. It is kept and does not count as damaged.
pub(super) fn is_foreign(dir: &Path) -> bool {
    version::of_entry(dir).is_some_and(|format| format != FORMAT)
}

/// Returns whether an error is about damage. A refused read says nothing about the content.
pub(super) fn is_damage(error: &anyhow::Error) -> bool {
    let refused = error.root_cause().downcast_ref::<io::Error>().map(io::Error::kind);
    !matches!(refused, Some(io::ErrorKind::PermissionDenied | io::ErrorKind::Interrupted))
}

/// Returns the subdirectories of a directory, by name.
pub(crate) fn subdirectories(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut dirs: Vec<_> = entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    dirs.sort();
    dirs
}
