//! Moves the output of a transfer to the store.

use std::fs;

use anyhow::Result;

use super::outgoing::{Kept, Outgoing};
use super::{TransferContext, codec};
use crate::exec::mount_store;
use crate::plan::mounts::transfer::Transfer;
use crate::store::key::FORMAT;
use crate::store::layout_check::{self, Blob};
use crate::store::mount::MountEntry;

/// The result of the save of one mount.
pub(super) struct Arrived {
    /// Its entry in the store with the number of new bytes; `None` for an empty mount.
    pub(super) entry: Option<(MountEntry, u64)>,
    /// Warnings about files that are not saved.
    pub(super) warnings: Vec<String>,
}

/// Moves the output of one item to the store.
pub(super) fn arrived(
    site: &TransferContext<'_>,
    transfer: &Transfer,
    (number, outgoing): (usize, Outgoing),
) -> Result<Arrived> {
    let mount = &transfer.items[number];
    let Kept { list, previous, is_same, warnings } = outgoing.keep();
    let Some(list) = list else { return Ok(Arrived { entry: None, warnings }) };
    let result = transfer.result(number);
    let pack = result.join("pack");
    if let Some(previous) =
        previous.clone().filter(|previous| is_same && previous.is_shared == mount.is_shared)
    {
        return Ok(Arrived { entry: Some((previous, 0)), warnings });
    }
    let blobs = layout_check::blobs(&result);
    fs::create_dir_all(&blobs)?;
    codec::write(&result.join("manifest"), &list.to_bytes())?;
    let take = |name: &str| -> Result<Blob> {
        let path = result.join(name);
        let blob = layout_check::measure(&path)?;
        fs::rename(&path, blobs.join(&blob.digest))?;
        Ok(blob)
    };
    let manifest = take("manifest")?;
    let pack = pack.exists().then(|| take("pack")).transpose()?;
    let new = pack.as_ref().map_or(0, |pack| pack.size);
    let older = previous.as_ref().map(|previous| previous.packs.clone()).unwrap_or_default();
    let entry = MountEntry {
        format: FORMAT,
        identity: mount.identity.clone(),
        sharing: mount.sharing,
        target: mount.target.clone(),
        platform: site.platform.to_owned(),
        saved: site.now,
        files: list.files(),
        bytes: list.bytes(),
        is_shared: mount.is_shared,
        manifest,
        packs: older.into_iter().chain(pack).collect(),
        steps: Vec::new(),
    };
    mount_store::commit(site.layout, &result, &mount.dir, &entry, previous.as_ref())?;
    Ok(Arrived { entry: Some((entry, new)), warnings })
}
