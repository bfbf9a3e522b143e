//! The staging of an import: parts of a bundle are checked while they are copied to a scratch
//! directory, and renamed into place when all are valid.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;

use super::{base, pass};
use crate::exec::{mount_store, results};
use crate::files::{self, Durability};
use crate::layout::Layout;
use crate::process::signals;
use crate::session::Session;
use crate::store::bundle::{Bundle, Layers};
use crate::store::entry::{self, Entry, is_later, subdirectories};
use crate::store::fresh::FreshFile;
use crate::store::layout_check::{self, Blob};
use crate::store::lock::Lock;
use crate::store::mount::{self, MountEntry};
use crate::store::sealed;
use crate::store::used;

/// A received blob: a stream or a file.
pub(crate) enum Taken<'a> {
    /// To be read.
    Stream(&'a mut dyn Read),
    /// To be linked or read.
    File(&'a Path),
}

/// The parts received so far, in a scratch directory of the store.
pub(crate) struct ImportStage {
    dir: PathBuf,
    /// Blobs that the store has.
    known: BTreeMap<String, PathBuf>,
}

impl ImportStage {
    /// Creates an empty one in this directory.
    pub(crate) fn new(layout: &Layout, dir: &Path) -> Result<Self> {
        let blobs = layout_check::blobs(dir);
        files::make_dir(&blobs).with_context(|| format!("failed to create `{}`", blobs.display()))?;
        let layers = entry::results(layout).into_iter().chain(subdirectories(&layout.all_mounts()));
        let files =
            layers.flat_map(|dir| fs::read_dir(layout_check::blobs(&dir)).into_iter().flatten().flatten());
        let known =
            files.map(|file| (file.file_name().to_string_lossy().into_owned(), file.path())).collect();
        Ok(Self { dir: dir.to_path_buf(), known })
    }

    fn blob(&self, digest: &str) -> PathBuf {
        layout_check::blobs(&self.dir).join(digest)
    }

    /// Receives a blob. Always checks it, and writes it only if the store doesn't have the same
    /// one.
    pub(crate) fn take(&self, blob: &Blob, from: Taken<'_>) -> Result<()> {
        let path = self.blob(&blob.digest);
        let has_size = |known: &&PathBuf| fs::metadata(known).is_ok_and(|meta| meta.len() == blob.size);
        let links = |known: &&PathBuf| fs::hard_link(known, &path).is_ok();
        if let Some(known) = self.known.get(&blob.digest).filter(has_size).filter(links) {
            return match from {
                Taken::Stream(stream) => Self::compare(blob, stream, known),
                Taken::File(file) => Self::compare(blob, &mut File::open(file)?, known),
            };
        }
        match from {
            Taken::Stream(stream) => write(blob, stream, &path),
            Taken::File(file) => {
                // A read-only file cannot change, so it is linked; all others are copied.
                let meta = fs::metadata(file)?;
                let is_fixed = meta.mode() & 0o277 == 0 && meta.uid() == rustix::process::geteuid().as_raw();
                if is_fixed && fs::hard_link(file, &path).is_ok() {
                    return pass(blob, &mut File::open(&path)?, |_| Ok(()));
                }
                write(blob, &mut File::open(file)?, &path)
            }
        }
    }

    /// Reads both in parallel, so that a damaged blob of the store does not replace the bundle's.
    fn compare(blob: &Blob, stream: &mut dyn Read, known: &Path) -> Result<()> {
        let (mut own, mut buffer) = (File::open(known)?, Vec::new());
        pass(blob, stream, |part| {
            buffer.resize(part.len(), 0);
            own.read_exact(&mut buffer)?;
            if buffer == part {
                return Ok(());
            }
            Err(io::Error::other(format!(
                "the store's own `{}` is damaged; run `cargo xtask cache verify` to quarantine it",
                known.display()
            )))
        })
    }

    /// Creates the directories of all parts, and checks that builds can use them.
    pub(crate) fn assemble(&self, bundle: &Bundle) -> Result<()> {
        for (at, layers) in bundle.images.iter().enumerate() {
            let dir = self.part("layers", at);
            self.link_all(&dir, layers.blobs.iter())?;
            fs::write(dir.join("entry.json"), sealed::to_json(&layers.entry)?)?;
            fs::write(dir.join("index.json"), &layers.index)?;
            fs::write(dir.join("oci-layout"), &layers.layout)?;
            check(&dir, layers)
                .with_context(|| format!("its layers of `{}` are not usable", layers.entry.image))?;
        }
        for (at, mount) in bundle.mounts.iter().enumerate() {
            self.link_all(&self.part("mount", at), mount.blobs())?;
        }
        Ok(())
    }

    fn part(&self, kind: &str, at: usize) -> PathBuf {
        self.dir.join(format!("{kind}-{at}"))
    }

    fn link_all<'a>(&self, dir: &Path, blobs: impl Iterator<Item = &'a Blob>) -> Result<()> {
        files::make_dir(&layout_check::blobs(dir))?;
        for blob in blobs {
            signals::check()?;
            mount_store::link(&self.blob(&blob.digest), &layout_check::blobs(dir).join(&blob.digest))?;
        }
        Ok(())
    }

    /// Loads the base image if the engine lacks it.
    pub(crate) fn load_base(&self, session: &Session, bundle: &Bundle) -> Result<bool> {
        let Some(image) = &bundle.base else { return Ok(false) };
        base::load(session, image, &self.blob(&image.blob.digest))
    }

    /// Returns the directories of the parts that [`Self::swap`] would move to the store now.
    pub(crate) fn new_parts(&self, layout: &Layout, bundle: &Bundle) -> Vec<PathBuf> {
        let layers = bundle.images.iter().enumerate();
        let layers = layers.filter(|(_, layers)| newer_result(layout, &layers.entry).is_none());
        let mounts = bundle.mounts.iter().enumerate();
        let mounts = mounts.filter(|(_, mount)| newer_mount(layout, mount).is_none());
        let layers = layers.map(|(at, _)| self.part("layers", at));
        layers.chain(mounts.map(|(at, _)| self.part("mount", at))).collect()
    }

    /// Moves all parts to the store that are newer than its own. Returns the names of the others.
    pub(crate) fn swap(&self, layout: &Layout, bundle: &Bundle) -> Result<Vec<String>> {
        let mut kept = Vec::new();
        let _lock = Lock::exclusive(layout)?;
        for at in oldest_first(bundle) {
            let entry = &bundle.images[at].entry;
            if let Some(place) = newer_result(layout, entry) {
                kept.push(format!("layers of {} {}", entry.image, entry.key));
                used::mark_used(&place);
                continue;
            }
            // An imported entry counts as used now. Otherwise the budget would remove old ones of
            // another machine before any build used them.
            results::place(layout, &self.part("layers", at), entry)?;
        }
        for (at, mount) in bundle.mounts.iter().enumerate() {
            if let Some(place) = newer_mount(layout, mount) {
                kept.push(format!("mount {}", mount.identity.id));
                used::mark_used(&place);
                continue;
            }
            let place = layout.all_mounts().join(mount.identity.slug());
            mount_store::move_in(&self.part("mount", at), &place, mount)?;
            used::mark_used(&place);
        }
        for fresh in &bundle.fresh {
            merge(layout, fresh)?;
        }
        Ok(kept)
    }
}

/// Returns the store's result that is the same as this one or newer.
fn newer_result(layout: &Layout, entry: &Entry) -> Option<PathBuf> {
    let mut known = results::results_of(layout, entry).into_iter();
    known.find(|(_, own)| own.supersedes(entry)).map(|(place, _)| place)
}

/// Returns the store's save of this mount if it is the same or newer.
fn newer_mount(layout: &Layout, mount: &MountEntry) -> Option<PathBuf> {
    let place = layout.all_mounts().join(mount.identity.slug());
    let own = mount::read(&place).ok()?;
    is_later(own.saved, mount.saved, Timestamp::now()).then_some(place)
}

/// The order in which results came to be: by what they came after, else by their times. Its cost
/// grows with what the entries name, however they name each other.
pub(crate) fn oldest_first(bundle: &Bundle) -> Vec<usize> {
    let entry = |at: usize| &bundle.images[at].entry;
    let mut by_time: Vec<usize> = (0..bundle.images.len()).collect();
    by_time.sort_by_key(|at| entry(*at).saved);
    // Entries of one id are one result.
    let (mut results, mut by_id) = (Vec::<Vec<usize>>::new(), HashMap::new());
    for at in by_time {
        let id = entry(at).id.as_str();
        let known = by_id.get(id).copied().filter(|_| !id.is_empty());
        let result = known.unwrap_or_else(|| {
            by_id.insert(id, results.len());
            results.push(Vec::new());
            results.len() - 1
        });
        results[result].push(at);
    }
    let (mut waits_for, mut followers) = (vec![0_usize; results.len()], vec![Vec::new(); results.len()]);
    for (result, entries) in results.iter().enumerate() {
        let ids = entries.iter().flat_map(|at| &entry(*at).after).filter(|id| !id.is_empty());
        let earlier: BTreeSet<usize> = ids.filter_map(|id| by_id.get(id.as_str()).copied()).collect();
        for earlier in earlier.into_iter().filter(|earlier| *earlier != result) {
            waits_for[result] += 1;
            followers[earlier].push(result);
        }
    }
    let mut left: BTreeSet<usize> = (0..results.len()).collect();
    let mut ready: BTreeSet<usize> = left.iter().copied().filter(|result| waits_for[*result] == 0).collect();
    let mut order = Vec::new();
    // Entries that claim to come after each other have no order.
    while let Some(next) = ready.pop_first().or_else(|| left.first().copied()) {
        left.remove(&next);
        order.extend(&results[next]);
        for follower in &followers[next] {
            waits_for[*follower] -= 1;
            if waits_for[*follower] == 0 && left.contains(follower) {
                ready.insert(*follower);
            }
        }
    }
    order
}

fn merge(layout: &Layout, fresh: &FreshFile) -> Result<()> {
    let path = layout.fresh(&fresh.image);
    let (mut own, _) = FreshFile::read(layout, &fresh.image);
    let before = own.clone();
    own.merge(fresh.clone());
    if own == before {
        return Ok(());
    }
    files::make_dir(&layout.all_fresh())?;
    Ok(files::write(&path, &sealed::to_json(&own)?, Durability::Synced)?)
}

/// Checks a generation as BuildKit will read it, with exactly the blobs that it names.
fn check(dir: &Path, layers: &Layers) -> Result<()> {
    let shape: BTreeSet<Blob> = layout_check::shape(dir)?.into_iter().collect();
    ensure!(shape == layers.blobs.iter().cloned().collect(), "it lists other blobs than it has");
    Ok(())
}

fn write(blob: &Blob, from: &mut dyn Read, path: &Path) -> Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    pass(blob, from, |part| file.write_all(part))?;
    Ok(file.sync_all()?)
}
