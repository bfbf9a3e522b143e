//! What a transfer brought out of the builder, and into the store.

use std::fs;

use anyhow::{Context, Result};

use super::TransferContext;
use crate::exec::mount_store;
use crate::plan::mounts::transfer::Transfer;
use crate::store::key::FORMAT;
use crate::store::layout_check::{self, Blob};
use crate::store::mount::MountEntry;

/// What one item left: its new entry in the store, with the bytes that are new; nothing for a mount with nothing to keep.
pub(super) fn arrived(
    site: &TransferContext<'_>,
    transfer: &Transfer,
    number: usize,
) -> Result<Option<(MountEntry, u64)>> {
    let mount = &transfer.items[number];
    let result = transfer.result(number);
    let facts = fs::read_to_string(result.join("facts")).context("nothing arrived")?;
    let figure =
        |name: &str| facts.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
    let (Some(files), Some(bytes)) = (figure("files "), figure("bytes ")) else { return Ok(None) };
    let blobs = layout_check::blobs(&result);
    fs::create_dir_all(&blobs)?;
    let take = |name: &str| -> Result<Blob> {
        let path = result.join(name);
        let blob = layout_check::measure(&path)?;
        fs::rename(&path, blobs.join(&blob.digest))?;
        Ok(blob)
    };
    let manifest = take("manifest")?;
    let pack = result.join("pack").exists().then(|| take("pack")).transpose()?;
    let previous = mount.previous();
    if pack.is_none() && previous.is_some_and(|previous| previous.manifest == manifest) {
        return Ok(previous.map(|previous| (previous.clone(), 0)));
    }
    let new = pack.as_ref().map_or(0, |pack| pack.size);
    let older = previous.map(|previous| previous.packs.clone()).unwrap_or_default();
    let entry = MountEntry {
        format: FORMAT,
        identity: mount.identity.clone(),
        sharing: mount.sharing,
        target: mount.target.clone(),
        platform: site.platform.to_owned(),
        saved: site.now,
        files,
        bytes,
        manifest,
        packs: older.into_iter().chain(pack).collect(),
    };
    mount_store::commit(site.layout, &result, &mount.dir, &entry, previous)?;
    Ok(Some((entry, new)))
}
