//! Reading what is in the store, kind by kind. What has another shape than ours is nobody's item.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use walkdir::WalkDir;

use super::{Item, ItemKind, ItemState, Node, is_held, is_id};
use crate::store::damage;
use crate::store::entry::{self, folders};
use crate::store::mount;

/// A file that a save has just written may not be named yet; a folder that a build has just made may not be locked yet.
const YOUNG: Duration = Duration::from_secs(3600);

/// Everything below a folder and itself, but for some paths. What vanishes meanwhile is not there.
pub(super) fn nodes(dir: &Path, without: &BTreeSet<&Path>) -> Vec<Node> {
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
pub(super) fn generation(dir: PathBuf) -> Option<Item> {
    let key = dir.file_name()?.to_str()?.to_owned();
    if !damage::is_generation(&dir) {
        return None;
    }
    let modified = modified(&dir)?;
    let mut item = Item {
        kind: ItemKind::Layers,
        name: key[..12].to_owned(),
        group: String::new(),
        saved: modified,
        used: modified,
        state: ItemState::Sound,
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
        Err(_) => item.state = state(ItemKind::Layers, &item.path),
    }
    if entry::is_foreign(&item.path) {
        item.state = ItemState::Untouchable;
    }
    Some(item)
}

/// The layout of a base image is made again in seconds; it goes by when it was made.
pub(super) fn base(dir: PathBuf) -> Option<Item> {
    let name = dir.file_name()?.to_str().filter(|name| name.starts_with("sha256_"))?.to_owned();
    let made = modified(&dir)?;
    Some(Item {
        kind: ItemKind::Bases,
        name: format!("base image {}", name.chars().skip(7).take(12).collect::<String>()),
        group: String::new(),
        saved: made,
        used: made,
        state: ItemState::Sound,
        nodes: nodes(&dir, &BTreeSet::new()),
        path: dir,
    })
}

pub(super) fn saved_mount(dir: PathBuf, items: &mut Vec<Item>) {
    let Some(modified) = modified(&dir) else { return };
    let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if !dir.join("entry.json").exists() && !dir.join("blobs/sha256").is_dir() {
        return;
    }
    let mut unnamed = Vec::new();
    let mut item = Item {
        kind: ItemKind::Mounts,
        group: String::new(),
        saved: modified,
        used: modified,
        state: ItemState::Sound,
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
        Err(_) => item.state = state(ItemKind::Mounts, &item.path),
    }
    let paths: BTreeSet<&Path> = unnamed.iter().map(PathBuf::as_path).collect();
    item.nodes = nodes(&item.path, &paths);
    let blob = |path: PathBuf| Item {
        state: ItemState::Orphan("no mount names it"),
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
pub(super) fn of_builds(kind: ItemKind, dir: &Path) -> Vec<Item> {
    let mut items = Vec::new();
    for path in folders(dir) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (Some(made), true) = (modified(&path), is_id(&name)) else { continue };
        let state = match kind {
            _ if is_held(&path) => ItemState::Untouchable,
            ItemKind::Tmp if is_young(&path) && process_lives(&name) => ItemState::Untouchable,
            ItemKind::Tmp => ItemState::Orphan("its build is gone"),
            _ => ItemState::Sound,
        };
        let nodes = nodes(&path, &BTreeSet::new());
        items.push(Item { kind, path, name, group: String::new(), saved: made, used: made, state, nodes });
    }
    items
}

fn process_lives(id: &str) -> bool {
    let hex = id.splitn(3, '-').nth(2).and_then(|rest| rest.split('-').next()).unwrap_or_default();
    u32::from_str_radix(hex, 16).is_ok_and(|pid| Path::new(&format!("/proc/{pid}")).exists())
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
fn state(kind: ItemKind, dir: &Path) -> ItemState {
    damage::look(kind, dir, None).map_or(ItemState::Untouchable, |damaged| ItemState::Damaged(damaged.reason))
}
