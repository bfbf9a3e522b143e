//! Reads the content of the store, kind by kind. Directories of an unknown shape are not items.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::super::owner::{Life, Owner};
use super::age::{ABANDONED, YOUNG, is_younger, modified, used};
use super::{Contents, Item, ItemKind, ItemState, Node, is_bundle_scratch, is_held, is_id};
use crate::files::{self, Seen};
use crate::layout::Layout;
use crate::store::damage;
use crate::store::entry::{self, subdirectories};
use crate::store::mount;

/// Returns a directory and everything below it, except some paths. Adds paths that others may
/// access to `exposed`.
pub(super) fn nodes(dir: &Path, without: &BTreeSet<&Path>, exposed: &mut Vec<PathBuf>) -> Vec<Node> {
    let walk = WalkDir::new(dir).into_iter().filter_entry(|entry| !without.contains(entry.path()));
    let mut nodes = Vec::new();
    for entry in walk.flatten() {
        let Ok(meta) = entry.metadata() else { continue };
        if files::is_exposed(&meta) {
            exposed.push(entry.path().to_path_buf());
        }
        let bytes = meta.len().max(meta.blocks() * 512);
        nodes.push(Node { device: meta.dev(), inode: meta.ino(), bytes });
    }
    nodes
}

/// Returns the scratch directories of running exports and imports.
pub(super) fn bundles_in_transit(layout: &Layout) -> Vec<PathBuf> {
    let mut dirs = subdirectories(&layout.tmp());
    dirs.retain(|dir| is_bundle_scratch(dir));
    if dirs.is_empty() {
        return dirs;
    }
    let scan = Scan::new(layout);
    dirs.retain(|dir| scan.is_bundle_in_transit(dir));
    dirs
}

/// A scan in progress.
pub(super) struct Scan {
    contents: Contents,
    this: Owner,
}

impl Scan {
    pub(super) fn new(layout: &Layout) -> Self {
        let this = if layout.tmp().is_dir() { Owner::this() } else { Owner::default() };
        Self { contents: Contents::default(), this }
    }

    /// Collects the files of no item.
    pub(super) fn end(self, layout: &Layout) -> Contents {
        let mut contents = self.contents;
        let known: BTreeSet<&Path> = contents.items.iter().map(|item| item.path.as_path()).collect();
        let rest = nodes(&layout.store, &known, &mut contents.exposed);
        contents.rest = rest;
        contents
    }

    fn nodes(&mut self, dir: &Path, without: &BTreeSet<&Path>) -> Vec<Node> {
        nodes(dir, without, &mut self.contents.exposed)
    }

    fn item(&mut self, kind: ItemKind, path: PathBuf, name: String) -> Option<Item> {
        let modified = modified(&path)?;
        Some(Item {
            kind,
            name,
            group: String::new(),
            key: String::new(),
            rank: 0,
            saved: modified,
            used: modified,
            state: ItemState::Sound,
            seen: Seen::default(),
            nodes: Vec::new(),
            is_budgeted: true,
            path,
        })
    }

    /// Adds one result of a key.
    pub(super) fn result(&mut self, dir: PathBuf) {
        let Some(place) = entry::place(&dir) else { return };
        let Some(mut item) = self.item(ItemKind::Layers, dir, place.key.short().to_owned()) else { return };
        item.nodes = self.nodes(&item.path, &BTreeSet::new());
        item.seen = Seen::now(item.path.join("entry.json"));
        match entry::read(&item.path) {
            Ok(entry) => {
                item.name = format!("{} {}", entry.image, place.key.short());
                item.group = format!("{} {}", entry.image, entry.platform);
                item.saved = entry.saved;
                item.used = used(&item.path, entry.saved);
            }
            Err(_) => item.state = state(ItemKind::Layers, &item.path),
        }
        (item.key, item.rank) = (place.key.0, place.number);
        if entry::is_foreign(&item.path) || is_held(&item.path) {
            item.state = ItemState::Untouchable;
        }
        self.contents.items.push(item);
    }

    /// The layout of a base image is made again in seconds, so the time of its creation counts as
    /// its last use.
    pub(super) fn base(&mut self, dir: PathBuf) {
        let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some(digest) = name.strip_prefix("sha256_") else { return };
        let name = format!("base image {}", digest.chars().take(12).collect::<String>());
        let Some(mut item) = self.item(ItemKind::Bases, dir, name) else { return };
        item.nodes = self.nodes(&item.path, &BTreeSet::new());
        self.contents.items.push(item);
    }

    pub(super) fn saved_mount(&mut self, dir: PathBuf) {
        let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !dir.join("entry.json").exists() && !dir.join("blobs/sha256").is_dir() {
            return;
        }
        let Some(mut item) = self.item(ItemKind::Mounts, dir, name) else { return };
        item.seen = Seen::now(item.path.join("entry.json"));
        let mut unnamed = Vec::new();
        match mount::read(&item.path) {
            Ok(entry) => {
                item.name.clone_from(&entry.identity.id);
                (item.saved, item.used) = (entry.saved, used(&item.path, entry.saved));
                let named: BTreeSet<&str> = entry.blobs().map(|blob| blob.digest.as_str()).collect();
                unnamed = garbage(&item.path, &named);
            }
            Err(_) if !mount::is_saved(&item.path) && damage::is_mount(&item.path) => {
                item.state = ItemState::Orphan("its save did not end");
            }
            Err(_) => item.state = state(ItemKind::Mounts, &item.path),
        }
        let is_held = is_held(&item.path);
        if is_held {
            item.state = ItemState::Untouchable;
        }
        let paths: BTreeSet<&Path> = unnamed.iter().map(PathBuf::as_path).collect();
        item.nodes = self.nodes(&item.path, &paths);
        for path in unnamed {
            let state = if is_held { ItemState::Untouchable } else { ItemState::Orphan("no mount names it") };
            let nodes = self.nodes(&path, &BTreeSet::new());
            let name = format!("a blob of {}", item.name);
            self.contents.items.push(Item { state, nodes, name, path, ..item.clone() });
        }
        self.contents.items.push(item);
    }

    /// Adds directories that are named by a build's id. Running builds hold theirs.
    pub(super) fn of_builds(&mut self, kind: ItemKind, dir: &Path) {
        for path in subdirectories(dir) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if !is_id(&name) {
                continue;
            }
            let in_transit = kind == ItemKind::Tmp && self.is_bundle_in_transit(&path);
            let state = match kind {
                _ if in_transit || is_held(&path) => ItemState::Untouchable,
                ItemKind::Tmp if self.may_run(&path) => ItemState::Untouchable,
                ItemKind::Tmp => ItemState::Orphan("its build is gone"),
                _ => ItemState::Sound,
            };
            let Some(mut item) = self.item(kind, path, name) else { continue };
            item.nodes = self.nodes(&item.path, &BTreeSet::new());
            (item.state, item.is_budgeted) = (state, !in_transit);
            self.contents.items.push(item);
        }
    }

    /// Plain files in a directory that has none: versions before left them there.
    pub(super) fn stray_files(&mut self, dir: &Path) {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if !entry.file_type().is_ok_and(|kind| kind.is_file()) || is_younger(&path, YOUNG) {
                continue;
            }
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(mut item) = self.item(ItemKind::Tmp, path, name) else { continue };
            item.nodes = self.nodes(&item.path, &BTreeSet::new());
            item.state = ItemState::Orphan("nothing uses it");
            self.contents.items.push(item);
        }
    }

    /// Returns whether this is the scratch directory of a running export or import. It is in
    /// addition to the budget: other builds would lose valid entries for it.
    fn is_bundle_in_transit(&self, dir: &Path) -> bool {
        is_bundle_scratch(dir) && (is_held(dir) || self.may_run(dir))
    }

    /// Returns whether the owner of an unlocked scratch directory may still run.
    fn may_run(&self, dir: &Path) -> bool {
        match Owner::read(dir).map(|owner| owner.life(&self.this)) {
            Some(Life::Runs) => true,
            Some(Life::Gone) => false,
            Some(Life::Elsewhere) => is_younger(dir, ABANDONED),
            Some(Life::Unseen) | None => is_younger(dir, YOUNG),
        }
    }
}

/// Returns blobs that the entry doesn't name, without those that a running save may name soon.
fn garbage(dir: &Path, named: &BTreeSet<&str>) -> Vec<PathBuf> {
    let files = fs::read_dir(dir.join("blobs/sha256")).into_iter().flatten().flatten();
    let is_garbage = |file: &fs::DirEntry| {
        !named.contains(file.file_name().to_string_lossy().as_ref()) && !is_younger(&file.path(), YOUNG)
    };
    files.filter(is_garbage).map(|file| file.path()).collect()
}

/// An unreadable entry is not known to be damaged.
fn state(kind: ItemKind, dir: &Path) -> ItemState {
    damage::look(kind, dir, None).map_or(ItemState::Untouchable, |damaged| ItemState::Damaged(damaged.reason))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn a_file_that_an_earlier_version_left_is_removed_after_a_while() {
        let store = tempfile::tempdir().expect("a directory");
        let layout = Layout::new("/", store.path());
        fs::create_dir_all(layout.tmp().join("facts")).expect("made");
        for (name, hours) in [("apt.conf-42", 2), ("debian-trixie.tar-7", 30), ("apt.conf-43", 0)] {
            let path = layout.tmp().join(name);
            fs::write(&path, "a password").expect("written");
            let time = SystemTime::now() - Duration::from_secs(hours * 3600);
            fs::File::open(&path).expect("opened").set_modified(time).expect("set");
        }
        let contents = Contents::read(&layout);
        let gone: BTreeSet<&str> = contents.of(ItemKind::Tmp).map(|item| item.name.as_str()).collect();
        assert_eq!(gone, BTreeSet::from(["apt.conf-42", "debian-trixie.tar-7"]));
        assert!(contents.of(ItemKind::Tmp).all(|item| matches!(item.state, ItemState::Orphan(_))));
    }

    #[test]
    fn scratch_is_removed_only_if_its_build_is_gone() {
        let store = tempfile::tempdir().expect("a directory");
        let layout = Layout::new("/", store.path());
        let this = serde_json::to_value(Owner::this()).expect("JSON");
        let make = |name: &str, edit: &dyn Fn(&mut serde_json::Value), days: u64| {
            let dir = layout.tmp().join(format!("20260101-000000-{name}"));
            fs::create_dir_all(&dir).expect("made");
            let mut owner = this.clone();
            edit(&mut owner);
            fs::write(dir.join("owner.json"), owner.to_string()).expect("written");
            let time = SystemTime::now() - Duration::from_secs(days * 86_400);
            fs::File::open(&dir).expect("opened").set_modified(time).expect("set");
        };
        let elsewhere = |owner: &mut serde_json::Value| {
            owner["host"] = "other".into();
            owner["boot"] = "other".into();
        };
        make("runs", &|_| {}, 2);
        make("gone", &|owner| owner["started"] = "1".into(), 0);
        make("rebooted", &|owner| owner["boot"] = "before".into(), 0);
        make("container-new", &|owner| owner["namespace"] = "pid:[1]".into(), 0);
        make("container-old", &|owner| owner["namespace"] = "pid:[1]".into(), 1);
        make("elsewhere-new", &elsewhere, 20);
        make("elsewhere-old", &elsewhere, 31);
        make("unknown-new", &|owner| *owner = serde_json::Value::Null, 0);
        make("unknown-old", &|owner| *owner = serde_json::Value::Null, 1);
        let contents = Contents::read(&layout);
        let gone: Vec<&str> = contents
            .of(ItemKind::Tmp)
            .filter(|item| item.state != ItemState::Untouchable)
            .map(|item| &item.name["20260101-000000-".len()..])
            .collect();
        assert_eq!(gone, ["container-old", "elsewhere-old", "gone", "rebooted", "unknown-old"]);
    }
}
