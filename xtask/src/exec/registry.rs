//! Cache mounts in registries: pulled to the store and pushed from it. A failure of one mount is a
//! warning, and leaves the store and the registry unchanged.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use jiff::Timestamp;

use super::bake::{self, Call};
use super::budget::{Budget, Need};
use super::idle_timeout::IdleTimeout;
use super::mount_store;
use super::push::{self, SILENCE};
use super::supervisor::Condition;
use crate::engine::registry::{self, Wanted};
use crate::layout::Layout;
use crate::plan::caches::Registry;
use crate::plan::mounts::oci::OciTransfer;
use crate::progress::Watcher;
use crate::progress::bake_outcome::BakeStatus;
use crate::record::log::Log;
use crate::step::Command;
use crate::store::entry::is_later;
use crate::store::layout_check::OCI_LAYOUT;
use crate::store::layout_check::{self, Blob};
use crate::store::lock;
use crate::store::mount::{self, MountEntry, SavedMount};
use crate::store::mount_image::{self, RemoteMount};

/// The environment of both directions.
pub struct Transport<'a> {
    /// The store.
    pub layout: &'a Layout,
    /// The builder.
    pub builder: &'a str,
    /// A temporary directory of this build on the store's file system.
    pub scratch: &'a Path,
    /// The timeout for an answer of a registry.
    pub timeout: Duration,
    /// The log of the build.
    pub log: &'a Log,
    /// The limit of the store.
    pub budget: &'a Budget,
    /// Variables for docker in addition to this process's own, such as DOCKER_HOST.
    pub env: &'a BTreeMap<String, String>,
}

/// Pulls mounts to the store. Returns those that are there now, and a warning for each other one.
pub fn fetch_mounts(
    transport: &Transport<'_>,
    mounts: &[RemoteMount],
    watcher: &mut dyn Watcher,
) -> Result<(Vec<SavedMount>, Vec<String>)> {
    let (mut fetched, mut warnings) = (Vec::new(), Vec::new());
    for mount in mounts {
        match fetch(transport, mount, watcher) {
            Ok(saved) => fetched.push(saved),
            Err(error) => warnings.push(format!(
                "failed to pull the cache mount `{}` from `{}`: {error:#}",
                mount.entry.identity.id, mount.reference
            )),
        }
        crate::process::signals::check()?;
    }
    Ok((fetched, warnings))
}

/// Pushes mounts of the store to a registry. Returns the written references, and a warning at the
/// first failure: after a failure the next mount would wait just as long.
pub fn publish_mounts(
    transport: &Transport<'_>,
    registry: &Registry,
    mounts: &[SavedMount],
    watcher: &mut dyn Watcher,
) -> Result<(Vec<String>, Vec<String>)> {
    let (mut published, mut warnings) = (Vec::new(), Vec::new());
    let writable = mounts.iter().filter(|_| !registry.read_only);
    for mount in writable {
        match publish(transport, registry, mount, watcher) {
            Ok(written) => published.extend(written),
            Err(error) => {
                crate::process::signals::check()?;
                warnings.push(format!(
                    "failed to push the cache mount `{}` to `{}`, and skipped those after it: {error:#}",
                    mount.entry.identity.id, registry.reference
                ));
                break;
            }
        }
    }
    Ok((published, warnings))
}

fn publish(
    transport: &Transport<'_>,
    registry: &Registry,
    mount: &SavedMount,
    watcher: &mut dyn Watcher,
) -> Result<Option<String>> {
    let slug = mount.entry.identity.slug();
    let reference = registry.mount(&slug, &mount.entry.platform);
    let held = registry::document(transport.builder, &reference, Wanted::Config, transport.timeout);
    let held = held.and_then(|config| mount_image::entry(&config).ok());
    // A newer save of another machine is kept.
    let mut mount = mount.clone();
    if let Some(held) = held {
        let has_steps = mount.entry.steps.iter().all(|step| held.steps.contains(step));
        if held.saved > mount.entry.saved || (has_steps && held.manifest == mount.entry.manifest) {
            return Ok(None);
        }
        mount.entry.add_steps(&held.steps);
    }
    let transfer = OciTransfer::new(transport.scratch, &format!("out-{slug}"));
    let held = lock::hold(&mount.dir);
    lay_out(&transfer, &mount)?;
    drop(held);
    call(transport, transfer.publish(transport.builder, &reference), &reference, watcher, None)?;
    Ok(Some(reference))
}

/// Writes the mount as an OCI layout: links to its blobs, with the documents.
fn lay_out(transfer: &OciTransfer, mount: &SavedMount) -> Result<()> {
    let blobs = layout_check::blobs(&transfer.layout);
    fs::create_dir_all(&blobs).with_context(|| format!("failed to create `{}`", blobs.display()))?;
    for blob in mount.entry.blobs() {
        mount_store::link(&layout_check::blobs(&mount.dir).join(&blob.digest), &blobs.join(&blob.digest))?;
    }
    let documents = mount_image::documents(&mount.entry)?;
    for (digest, bytes) in [&documents.manifest, &documents.config] {
        fs::write(blobs.join(digest), bytes)?;
    }
    fs::write(transfer.layout.join("oci-layout"), OCI_LAYOUT)?;
    fs::write(transfer.layout.join("index.json"), &documents.index)?;
    write_dockerfile(transfer, mount_image::TAG)
}

fn write_dockerfile(transfer: &OciTransfer, image: &str) -> Result<()> {
    fs::create_dir_all(&transfer.context)?;
    fs::write(transfer.context.join("Dockerfile"), OciTransfer::dockerfile(image))?;
    Ok(())
}

fn fetch(transport: &Transport<'_>, mount: &RemoteMount, watcher: &mut dyn Watcher) -> Result<SavedMount> {
    let slug = mount.entry.identity.slug();
    let transfer = OciTransfer::new(transport.scratch, &format!("in-{slug}"));
    let dir = transport.layout.all_mounts().join(&slug);
    let blobs = layout_check::blobs(&transfer.layout);
    fs::create_dir_all(&blobs).with_context(|| format!("failed to create `{}`", blobs.display()))?;
    let mut had = BTreeSet::new();
    for blob in mount.entry.blobs().filter(|blob| layout_check::has(&dir, blob).is_ok()) {
        mount_store::link(&layout_check::blobs(&dir).join(&blob.digest), &blobs.join(&blob.digest))?;
        had.insert(blob.digest.clone());
    }
    write_dockerfile(&transfer, &mount.reference)?;
    // The sizes that a registry reports may be wrong, so the received data is measured.
    let expected = mount.entry.blobs().filter(|blob| !had.contains(&blob.digest)).map(|blob| blob.size);
    let expected = expected.fold(0, u64::saturating_add);
    let need = Need::Bytes(expected, std::slice::from_ref(&dir));
    let reservation = transport.budget.reserve(need, &mut |line| watcher.say(line))?;
    reservation.begin(&transfer.layout)?;
    let fetch = transfer.fetch(transport.builder);
    let fetched = call(transport, fetch, &mount.reference, watcher, Some(&|| reservation.is_full()));
    reservation.check(fetched?)?;
    reservation.end();
    let mut entry = arrived(&transfer.layout, mount)?;
    entry.saved = entry.saved.min(Timestamp::now());
    let is_new = |blob: &&Blob| !had.contains(&blob.digest);
    entry.blobs().filter(is_new).try_for_each(|blob| layout_check::verify(&transfer.layout, blob))?;
    // A newer save of this machine is kept, and so is one of another platform.
    let there = mount::read(&dir).ok();
    match &there {
        Some(there) if there.platform != entry.platform => bail!("the store has it for {}", there.platform),
        Some(there) if is_later(there.saved, entry.saved, Timestamp::now()) => {
            return Ok(SavedMount { entry: there.clone(), dir });
        }
        _ => mount_store::commit(transport.layout, &transfer.layout, &dir, &entry, there.as_ref())?,
    }
    Ok(SavedMount { dir, entry })
}

/// Returns the received entry, which may be newer than the requested one but is never another
/// mount.
fn arrived(dir: &Path, wanted: &RemoteMount) -> Result<MountEntry> {
    let file = |path: &Path| fs::read_to_string(path).context("the pulled content is not an OCI layout");
    let blob = |digest: &serde_json::Value| -> Result<String> {
        let digest = digest.as_str().and_then(|text| text.strip_prefix("sha256:")).unwrap_or_default();
        if digest.contains(['/', '.']) {
            bail!("`{digest}` is not a SHA-256 digest");
        }
        file(&layout_check::blobs(dir).join(digest))
    };
    let index: serde_json::Value = serde_json::from_str(&file(&dir.join("index.json"))?)?;
    let manifest: serde_json::Value = serde_json::from_str(&blob(&index["manifests"][0]["digest"])?)?;
    let entry = mount_image::entry(&blob(&manifest["config"]["digest"])?)?;
    if entry.identity != wanted.entry.identity || entry.platform != wanted.entry.platform {
        bail!("it has `{}` for {}, another mount", entry.identity.id, entry.platform);
    }
    Ok(entry)
}

/// Makes one call of buildx with the timeouts of a push. Returns whether `is_full` ended it.
fn call(
    transport: &Transport<'_>,
    command: Command,
    reference: &str,
    watcher: &mut dyn Watcher,
    is_full: Option<Condition<'_>>,
) -> Result<bool> {
    let command = transport.env.iter().fold(command, |command, (name, value)| command.env(name, value));
    let is_gone = push::silence_check(transport.builder, reference, transport.timeout, push::LONGEST);
    let call = Call {
        idle_timeout: Some(IdleTimeout { after: SILENCE, is_gone: &is_gone }),
        end_if: is_full,
        ..Call::new(&command, &[], transport.log)
    };
    let ended = bake::run(&call, watcher)?;
    match ended.status {
        BakeStatus::Succeeded => Ok(false),
        BakeStatus::ConditionMet => Ok(true),
        BakeStatus::Stalled => bail!("the registry stopped answering"),
        BakeStatus::Failed | BakeStatus::Stopped => bail!("{}", push::reason(&ended.text)),
    }
}
