//! The content of a bundle: for each image and platform the newest generation and the exact ones,
//! the cache mounts of its Dockerfile, the base image, and the steps that were run again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::project::mount::MountIdentity;
use crate::store::bundle::{Bundle, Layers};
use crate::store::entry;
use crate::store::fresh::FreshFile;
use crate::store::key::Key;
use crate::store::layout_check::blobs;
use crate::store::mount::SavedMount;
use crate::text::size::show as human;

/// The content of the store.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stock {
    /// Valid generations and their directories.
    pub layers: Vec<(PathBuf, Layers)>,
    /// Valid mounts.
    pub mounts: Vec<SavedMount>,
    /// The steps that were run again.
    pub fresh: Vec<FreshFile>,
}

/// The requested content.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    /// Images; empty for all.
    pub images: Vec<String>,
    /// The current keys of the Dockerfiles.
    pub exact: BTreeSet<Key>,
    /// Mounts; `None` for all if they are unknown.
    pub mounts: Option<Vec<MountIdentity>>,
}

/// The bootstrapped base image in the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HeldBase {
    /// The engine's id of it.
    pub id: String,
    /// Its approximate size in bytes.
    pub bytes: u64,
}

/// The plan of an export.
#[derive(Debug, Clone)]
pub(crate) struct Export {
    /// Its description. The base image is added when it is exported.
    pub bundle: Bundle,
    /// The paths of the blobs by digest.
    pub sources: BTreeMap<String, PathBuf>,
    pub base: Option<HeldBase>,
}

/// Selects the content.
///
/// # Errors
/// Fails if the store lacks a requested image or has nothing to export.
pub(crate) fn plan(
    stock: &Stock,
    wanted: &Wanted,
    base: Option<HeldBase>,
    platform: &str,
    now: Timestamp,
) -> Result<Export> {
    let is_asked = |image: &String| wanted.images.is_empty() || wanted.images.contains(image);
    let has = |image: &&String| stock.layers.iter().any(|(_, layers)| layers.entry.image == **image);
    if let Some(image) = wanted.images.iter().find(|image| !has(image)) {
        let known: BTreeSet<_> = stock.layers.iter().map(|(_, layers)| layers.entry.image.as_str()).collect();
        let known: Vec<_> = known.into_iter().collect();
        bail!("the store has no layers of `{image}`\nit has: {}", known.join(", "));
    }
    let mut newest = BTreeMap::new();
    for (dir, layers) in stock.layers.iter().filter(|(_, layers)| is_asked(&layers.entry.image)) {
        let place = newest.entry((&layers.entry.image, &layers.entry.platform)).or_insert((dir, layers));
        if age(place.0, place.1) < age(dir, layers) {
            *place = (dir, layers);
        }
    }
    let goes = |dir: &PathBuf, layers: &Layers| {
        wanted.exact.contains(&layers.entry.key) || newest.values().any(|(newest, _)| *newest == dir)
    };
    let chosen: Vec<_> = stock
        .layers
        .iter()
        .filter(|(dir, layers)| is_asked(&layers.entry.image) && goes(dir, layers))
        .collect();
    let used = |mount: &&SavedMount| {
        mount.entry.is_shared
            && mount.entry.platform == platform
            && wanted.mounts.as_ref().is_none_or(|wanted| wanted.contains(&mount.entry.identity))
    };
    let mounts: Vec<&SavedMount> = stock.mounts.iter().filter(used).collect();
    if chosen.is_empty() && mounts.is_empty() {
        bail!("the store has nothing to export\nbuild an image first");
    }
    let mut sources = BTreeMap::new();
    for (dir, names) in chosen
        .iter()
        .map(|(dir, layers)| (dir, layers.blobs.iter().collect::<Vec<_>>()))
        .chain(mounts.iter().map(|mount| (&mount.dir, mount.entry.blobs().collect::<Vec<_>>())))
    {
        sources.extend(names.into_iter().map(|blob| (blob.digest.clone(), blobs(dir).join(&blob.digest))));
    }
    let mut bundle = Bundle {
        platform: platform.to_owned(),
        created: now,
        images: chosen.into_iter().map(|(_, layers)| layers.clone()).collect(),
        mounts: mounts.into_iter().map(|mount| mount.entry.clone()).collect(),
        base: None,
        fresh: stock.fresh.iter().filter(|fresh| is_asked(&fresh.image)).cloned().collect(),
        files: Vec::new(),
    };
    bundle.files = bundle.named();
    Ok(Export { bundle, sources, base })
}

/// Numbers give the order of an image's results; between stores, the time does.
fn age(dir: &Path, layers: &Layers) -> (Option<u64>, Timestamp) {
    (entry::place(dir).map(|place| place.number), layers.entry.saved)
}

impl Export {
    /// Returns the approximate size of the bundle in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bundle.bytes() + self.base.as_ref().map_or(0, |base| base.bytes)
    }
}

/// Returns a line for each part of a bundle.
pub(crate) fn text(bundle: &Bundle) -> String {
    let images = bundle.images.iter().map(|layers| {
        let entry = &layers.entry;
        format!("layers  {:>8}  {} {} {}\n", human(entry.bytes), entry.image, entry.platform, entry.key)
    });
    let mounts = bundle.mounts.iter().map(|mount| {
        format!("mount   {:>8}  {} at {}\n", human(mount.stored_bytes()), mount.identity.id, mount.target)
    });
    let base = bundle
        .base
        .iter()
        .map(|base| format!("base    {:>8}  {} {}\n", human(base.blob.size), base.image, base.id));
    images.chain(mounts).chain(base).collect()
}

/// Returns the parts of a bundle in the form of a JSON document.
pub(crate) fn json(bundle: &Bundle) -> Value {
    let image = |layers: &Layers| {
        let entry = &layers.entry;
        json!({"image": entry.image, "platform": entry.platform, "key": entry.key, "saved": entry.saved, "bytes": entry.bytes})
    };
    json!({
        "platform": bundle.platform,
        "created": bundle.created,
        "images": bundle.images.iter().map(image).collect::<Vec<_>>(),
        "keys": bundle.images.iter().map(|layers| &layers.entry.key).collect::<Vec<_>>(),
        "mounts": bundle.mounts.iter().map(|mount| json!({"id": mount.identity.id, "target": mount.target,
            "saved": mount.saved, "bytes": mount.stored_bytes()})).collect::<Vec<_>>(),
        "base": bundle.base.as_ref().map(|base| json!({"image": base.image, "id": base.id, "bytes": base.blob.size})),
        "fresh": bundle.fresh.iter().map(|fresh| &fresh.image).collect::<Vec<_>>(),
        "bytes": bundle.bytes(),
    })
}
