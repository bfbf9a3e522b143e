//! The format of a bundle: `bundle.json`, then `blobs/sha256/<digest>` in the listed order, as a
//! tar or a directory. `bundle.json` contains all small data. Every other file is named by its
//! digest, so a bundle has no path that must be trusted.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::entry::Entry;
use super::fresh::FreshFile;
use super::layout_check::Blob;
use super::mount::MountEntry;
use super::validate::{self, Validate};
use crate::defaults::TAG;

pub(crate) const FORMAT: u32 = 1;
/// The first file.
pub(crate) const HEAD: &str = "bundle.json";
/// The maximum size of `bundle.json`.
pub(crate) const LONGEST_HEAD: u64 = 16 << 20;

/// The content of `bundle.json`.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct Bundle {
    /// The platform of the builder that it was made for.
    pub platform: String,
    pub created: Timestamp,
    /// Generations of layers.
    pub images: Vec<Layers>,
    /// Saved cache mounts.
    pub mounts: Vec<MountEntry>,
    /// The bootstrapped base image.
    pub base: Option<BaseImage>,
    /// The steps that were run again.
    pub fresh: Vec<FreshFile>,
    /// Every blob, each once, in the order of the stream.
    pub files: Vec<Blob>,
}

/// One generation: its small files as text, its blobs by name.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct Layers {
    /// `entry.json`.
    pub entry: Entry,
    /// `index.json`.
    pub index: String,
    /// `oci-layout`.
    pub layout: String,
    pub blobs: Vec<Blob>,
}

/// The bootstrapped base image as `docker save` writes it.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct BaseImage {
    pub image: String,
    /// The engine's id of it.
    pub id: String,
    /// The tar.
    pub blob: Blob,
}

/// `bundle.json`. The digest is that of the remaining fields as compact JSON.
#[derive(Serialize, Deserialize)]
struct Head<T> {
    format: u32,
    sha256: String,
    bundle: T,
}

impl Bundle {
    /// Returns the blobs that its parts name, each once, smallest first.
    pub(crate) fn named(&self) -> Vec<Blob> {
        let layers = self.images.iter().flat_map(|layers| layers.blobs.iter());
        let mounts = self.mounts.iter().flat_map(MountEntry::blobs);
        let all: BTreeSet<&Blob> =
            layers.chain(mounts).chain(self.base.iter().map(|base| &base.blob)).collect();
        let mut all: Vec<Blob> = all.into_iter().cloned().collect();
        all.sort_by_key(|blob| blob.size);
        all
    }

    /// Returns the size of its blobs in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.files.iter().fold(0, |sum, blob| sum.saturating_add(blob.size))
    }

    /// Returns the bytes of `bundle.json`.
    pub(crate) fn head(&self) -> Result<Vec<u8>> {
        Ok(serde_json::to_vec(&Head { format: FORMAT, sha256: digest(self)?, bundle: self })?)
    }

    /// Reads and checks `bundle.json`: its format, its digest, that its parts and its list of files
    /// agree, and that no name is a path.
    ///
    /// # Errors
    /// Describes the fault in words that follow the name of the bundle.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let format =
            serde_json::from_slice::<Format>(bytes).context("its `bundle.json` is not valid")?.format;
        ensure!(
            format == FORMAT,
            "it has format {format}, and this xtask supports {FORMAT}\nuse the xtask that made it, or a \
             newer one"
        );
        let head: Head<Self> = serde_json::from_slice(bytes).context("its `bundle.json` is not valid")?;
        ensure!(digest(&head.bundle)? == head.sha256, "its `bundle.json` is damaged: it has another digest");
        head.bundle.check()?;
        Ok(head.bundle)
    }

    /// Checks that it can be used on this platform.
    pub(crate) fn check_platform(&self, here: &str) -> Result<()> {
        let there = &self.platform;
        ensure!(
            there == here,
            "it is for {there}, and this builder is {here}\nexport one on a machine with {here}"
        );
        Ok(())
    }

    fn check(&self) -> Result<()> {
        let mut files = BTreeMap::new();
        for blob in &self.files {
            validate::blob(blob)?;
            ensure!(files.insert(&blob.digest, blob.size).is_none(), "it lists `{}` twice", blob.digest);
        }
        let named = self.named();
        if let Some(blob) = named.iter().find(|blob| files.get(&blob.digest) != Some(&blob.size)) {
            bail!("it needs `{}` and does not list it", validate::shown(&blob.digest));
        }
        ensure!(named.len() == files.len(), "it lists files that nothing in it needs");
        validate::platform(&self.platform)?;
        for Layers { entry, blobs, .. } in &self.images {
            entry.validate()?;
            let bytes = blobs.iter().fold(0, |sum: u64, blob| sum.saturating_add(blob.size));
            let image = &entry.image;
            ensure!(
                bytes == entry.bytes,
                "its layers of `{image}` have {bytes} bytes instead of {}",
                entry.bytes
            );
        }
        self.mounts.iter().try_for_each(MountEntry::validate)?;
        self.fresh.iter().try_for_each(FreshFile::validate)?;
        if let Some(base) = &self.base {
            let name = validate::shown(&base.image);
            ensure!(base.image == TAG, "its base image is named `{name}`, and only `{TAG}` is accepted");
            validate::prefixed_digest(&base.id)?;
        }
        Ok(())
    }

    /// Sets times in the future to `now`: the machine that made the bundle may have had a wrong
    /// clock.
    pub(crate) fn clamp_times(&mut self, now: Timestamp) {
        self.created = self.created.min(now);
        self.images.iter_mut().for_each(|layers| layers.entry.clamp_times(now));
        self.mounts.iter_mut().for_each(|mount| mount.clamp_times(now));
        self.fresh.iter_mut().for_each(|fresh| fresh.clamp_times(now));
    }
}

fn digest(bundle: &Bundle) -> Result<String> {
    Ok(format!("{:x}", Sha256::digest(serde_json::to_vec(bundle)?)))
}
