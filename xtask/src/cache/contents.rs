//! Everything in the store with its size: what a policy decides about. A file that several items link to counts once, and what
//! is not of our making is counted and never touched.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use serde::Serialize;
use walkdir::WalkDir;

use super::damage;
use super::entry::{self, folders};
use super::mount;
use crate::layout::Layout;

/// A file that a save has just written may not be named yet; a folder that a build has just made may not be locked yet.
const YOUNG: Duration = Duration::from_secs(3600);

/// What an item is.
#[derive(Debug, Clone, Copy, Serialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A generation of layers.
    Layers,
    /// A saved cache mount.
    Mounts,
    /// The record of a build.
    Builds,
    /// A base image laid out for builders.
    Bases,
    /// What was found damaged.
    Quarantine,
    /// Scratch space.
    Tmp,
}

/// Whether an item may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It is sound; it goes by the policy.
    Sound,
    /// Nobody can use it, and why: it goes first.
    Orphan(&'static str),
    /// It is damaged, and how; until it is moved to the quarantine.
    Damaged(String),
    /// A running build's, or not ours to judge: it stays.
    Untouchable,
}

/// A file or folder, by what makes it the same under two names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Node {
    device: u64,
    inode: u64,
    bytes: u64,
}

/// One thing that stays or goes as a whole.
#[derive(Debug, Clone)]
pub struct Item {
    /// What it is.
    pub kind: Kind,
    /// Where.
    pub path: PathBuf,
    /// Its name for people.
    pub name: String,
    /// Image and platform of a generation: what `keep` counts by.
    pub group: String,
    /// When it was made.
    pub saved: Timestamp,
    /// When it last was of use.
    pub used: Timestamp,
    /// Whether it may go.
    pub state: State,
    /// Its files and folders.
    pub nodes: Vec<Node>,
}

impl Item {
    /// What it takes for itself and with others, in bytes.
    pub fn bytes(&self) -> u64 {
        total(&self.nodes)
    }
}

/// The store as it is.
#[derive(Debug, Clone, Default)]
pub struct Contents {
    /// Its items.
    pub items: Vec<Item>,
    /// What belongs to no item: the lock, remembered answers, what is not ours.
    pub rest: Vec<Node>,
}

impl Contents {
    /// Reads it all.
    pub fn read(layout: &Layout) -> Self {
        let mut items = Vec::new();
        for dir in folders(&layout.all_layers()).iter().flat_map(|image| folders(image)) {
            items.extend(generation(dir));
        }
        for dir in folders(&layout.all_mounts()) {
            saved_mount(dir, &mut items);
        }
        items.extend(folders(&layout.bases()).into_iter().filter_map(base));
        items.extend(of_builds(Kind::Builds, &layout.builds()));
        items.extend(of_builds(Kind::Quarantine, &layout.quarantine()));
        items.extend(of_builds(Kind::Tmp, &layout.tmp()));
        let known: BTreeSet<&Path> = items.iter().map(|item| item.path.as_path()).collect();
        let rest = nodes(&layout.store, &known);
        Self { items, rest }
    }

    /// What the store takes, in bytes.
    pub fn bytes(&self) -> u64 {
        total(self.items.iter().flat_map(|item| &item.nodes).chain(&self.rest))
    }

    /// What a kind takes, what its items share counted once.
    pub fn bytes_of(&self, kind: Kind) -> u64 {
        total(self.of(kind).flat_map(|item| &item.nodes))
    }

    /// The items of a kind.
    pub fn of(&self, kind: Kind) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(move |item| item.kind == kind)
    }

    /// Files and folders with the number of items that have them.
    pub fn shares(&self) -> BTreeMap<Node, usize> {
        let mut shares = BTreeMap::new();
        let own = self.items.iter().map(|item| item.nodes.iter().collect::<BTreeSet<_>>());
        for node in own.flatten().chain(&self.rest) {
            *shares.entry(*node).or_insert(0) += 1;
        }
        shares
    }
}

impl Node {
    /// A file for tests.
    #[cfg(test)]
    pub(crate) fn new(inode: u64, bytes: u64) -> Self {
        Self { device: 0, inode, bytes }
    }

    /// Size in bytes: what it says or what it occupies, whichever is more.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// What the whole store takes right now, in bytes.
pub fn measure(layout: &Layout) -> u64 {
    total(&nodes(&layout.store, &BTreeSet::new()))
}

fn total<'a>(nodes: impl IntoIterator<Item = &'a Node>) -> u64 {
    nodes.into_iter().collect::<BTreeSet<_>>().iter().map(|node| node.bytes).sum()
}

/// Everything below a folder and itself, but for some paths. What vanishes meanwhile is not there.
fn nodes(dir: &Path, without: &BTreeSet<&Path>) -> Vec<Node> {
    let walk = WalkDir::new(dir).into_iter().filter_entry(|entry| !without.contains(entry.path()));
    let metadata = walk.flatten().filter_map(|entry| entry.metadata().ok());
    let node = |meta: fs::Metadata| Node {
        device: meta.dev(),
        inode: meta.ino(),
        bytes: meta.len().max(meta.blocks() * 512),
    };
    metadata.map(node).collect()
}

/// A folder of another shape than ours is nobody's item.
fn generation(dir: PathBuf) -> Option<Item> {
    let key = dir.file_name()?.to_str()?.to_owned();
    if !damage::is_generation(&dir) {
        return None;
    }
    let modified = modified(&dir)?;
    let mut item = Item {
        kind: Kind::Layers,
        name: key[..12].to_owned(),
        group: String::new(),
        saved: modified,
        used: modified,
        state: State::Sound,
        nodes: nodes(&dir, &BTreeSet::new()),
        path: dir,
    };
    match entry::read(&item.path) {
        Ok(entry) => {
            item.name = format!("{} {}", entry.image, &key[..12]);
            item.group = format!("{} {}", entry.image, entry.platform);
            item.saved = entry.saved;
            item.used = used(&item.path, entry.saved);
        }
        Err(_) => item.state = state(Kind::Layers, &item.path),
    }
    if entry::is_foreign(&item.path) {
        item.state = State::Untouchable;
    }
    Some(item)
}

/// The layout of a base image is made again in seconds; it goes by when it was made.
fn base(dir: PathBuf) -> Option<Item> {
    let name = dir.file_name()?.to_str().filter(|name| name.starts_with("sha256_"))?.to_owned();
    let made = modified(&dir)?;
    Some(Item {
        kind: Kind::Bases,
        name: format!("base image {}", name.chars().skip(7).take(12).collect::<String>()),
        group: String::new(),
        saved: made,
        used: made,
        state: State::Sound,
        nodes: nodes(&dir, &BTreeSet::new()),
        path: dir,
    })
}

fn saved_mount(dir: PathBuf, items: &mut Vec<Item>) {
    let Some(modified) = modified(&dir) else { return };
    let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if !dir.join("entry.json").exists() && !dir.join("blobs/sha256").is_dir() {
        return;
    }
    let mut unnamed = Vec::new();
    let mut item = Item {
        kind: Kind::Mounts,
        group: String::new(),
        saved: modified,
        used: modified,
        state: State::Sound,
        nodes: Vec::new(),
        name,
        path: dir,
    };
    match mount::read(&item.path) {
        Ok(entry) => {
            item.name.clone_from(&entry.identity.id);
            (item.saved, item.used) = (entry.saved, used(&item.path, entry.saved));
            let named: BTreeSet<&str> = entry.blobs().map(|blob| blob.digest.as_str()).collect();
            unnamed = garbage(&item.path, &named);
        }
        Err(_) => item.state = state(Kind::Mounts, &item.path),
    }
    let paths: BTreeSet<&Path> = unnamed.iter().map(PathBuf::as_path).collect();
    item.nodes = nodes(&item.path, &paths);
    let blob = |path: PathBuf| Item {
        state: State::Orphan("no mount names it"),
        nodes: nodes(&path, &BTreeSet::new()),
        name: format!("a blob of {}", item.name),
        path,
        ..item.clone()
    };
    items.extend(unnamed.iter().cloned().map(blob));
    items.push(item);
}

/// Blobs that the entry does not name and that no save may be about to name.
fn garbage(dir: &Path, named: &BTreeSet<&str>) -> Vec<PathBuf> {
    let files = fs::read_dir(dir.join("blobs/sha256")).into_iter().flatten().flatten();
    let is_garbage = |file: &fs::DirEntry| {
        !named.contains(file.file_name().to_string_lossy().as_ref()) && !is_young(&file.path())
    };
    files.filter(is_garbage).map(|file| file.path()).collect()
}

/// Folders named by a build's id. The builds that still run hold a lock on theirs.
fn of_builds(kind: Kind, dir: &Path) -> Vec<Item> {
    let mut items = Vec::new();
    for path in folders(dir) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (Some(made), true) = (modified(&path), is_id(&name)) else { continue };
        let state = match kind {
            _ if is_held(&path) => State::Untouchable,
            Kind::Tmp if is_young(&path) && process_lives(&name) => State::Untouchable,
            Kind::Tmp => State::Orphan("its build is gone"),
            _ => State::Sound,
        };
        let nodes = nodes(&path, &BTreeSet::new());
        items.push(Item { kind, path, name, group: String::new(), saved: made, used: made, state, nodes });
    }
    items
}

/// `20261125-062400-1f3a`, as [`crate::record::new_id`] makes them, with or without more behind.
pub(crate) fn is_id(name: &str) -> bool {
    let digits = |text: &str, count: usize| text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    let mut parts = name.splitn(3, '-');
    let mut next = || parts.next().unwrap_or_default();
    digits(next(), 8) && digits(next(), 6) && !next().is_empty()
}

fn process_lives(id: &str) -> bool {
    let hex = id.splitn(3, '-').nth(2).and_then(|rest| rest.split('-').next()).unwrap_or_default();
    u32::from_str_radix(hex, 16).is_ok_and(|pid| Path::new(&format!("/proc/{pid}")).exists())
}

/// Whether a process holds a lock on a folder.
pub(crate) fn is_held(dir: &Path) -> bool {
    File::open(dir).is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}

fn is_young(path: &Path) -> bool {
    let age = fs::metadata(path).and_then(|meta| meta.modified()).map(|time| time.elapsed());
    age.is_ok_and(|age| age.unwrap_or_default() < YOUNG)
}

fn modified(path: &Path) -> Option<Timestamp> {
    time(fs::metadata(path).ok()?.modified().ok()?)
}

fn time(time: SystemTime) -> Option<Timestamp> {
    Timestamp::try_from(time).ok()
}

/// The file `used` beside an entry is touched whenever it was of use.
fn used(dir: &Path, saved: Timestamp) -> Timestamp {
    modified(&dir.join("used")).map_or(saved, |used| used.max(saved))
}

/// What may not be read is not known to be damaged.
fn state(kind: Kind, dir: &Path) -> State {
    damage::look(kind, dir, None).map_or(State::Untouchable, |damaged| State::Damaged(damaged.reason))
}
