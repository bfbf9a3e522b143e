//! Taking a bundle in: each file is checked while it is copied into the store's scratch space, in one pass; only when all of them
//! are sound is anything renamed into place.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::{Place, base, pass};
use crate::cache::bundle::{Bundle, HEAD, LONGEST_HEAD, Layers};
use crate::cache::entry::{self, folders};
use crate::cache::fresh::FreshFile;
use crate::cache::key::FORMAT;
use crate::cache::layout_check::{self, Blob};
use crate::cache::{mount, size};
use crate::cli::Session;
use crate::exec::lock::Lock;
use crate::exec::{mount_store, signals, steps};
use crate::layout::Layout;

/// What an import came to.
#[derive(Debug, Default)]
pub struct Imported {
    /// Parts that the store has as new or newer already.
    pub kept: Vec<String>,
    /// Whether the base image was loaded into the engine.
    pub loaded: bool,
}

/// Opens a bundle and hands its description to `first`, then each blob to `take`, in order.
///
/// # Errors
/// What is wrong with the bundle; `first` and `take` stop it with theirs.
pub fn read(
    from: &Place,
    first: &mut dyn FnMut(&Bundle) -> Result<bool>,
    take: &mut dyn FnMut(&Blob, Taken<'_>) -> Result<()>,
) -> Result<Bundle> {
    match from {
        Place::Pipe => read_tar(io::stdin().lock(), first, take),
        Place::File(path) => {
            let file = File::open(path).with_context(|| format!("failed to read `{}`", path.display()))?;
            read_tar(file, first, take)
        }
        Place::Dir(dir) => read_folder(dir, first, take),
    }
}

/// A blob that comes: through a stream, or as a file.
pub enum Taken<'a> {
    /// To be read.
    Stream(&'a mut dyn Read),
    /// To be linked or read.
    File(&'a Path),
}

fn read_tar(
    from: impl Read,
    first: &mut dyn FnMut(&Bundle) -> Result<bool>,
    take: &mut dyn FnMut(&Blob, Taken<'_>) -> Result<()>,
) -> Result<Bundle> {
    let mut archive = tar::Archive::new(from);
    // Raw: long names and other extensions, which no bundle has, are not followed.
    let mut entries = archive.entries()?.raw(true);
    let mut entry = match entries.next() {
        Some(Ok(entry)) if *entry.path_bytes() == *HEAD.as_bytes() => entry,
        Some(Ok(entry)) => bail!(
            "it is no bundle: its first file is `{}` in place of `{HEAD}`",
            String::from_utf8_lossy(&entry.path_bytes()).escape_default()
        ),
        Some(Err(error)) => bail!("it is no bundle: {error}"),
        None => bail!("it is no bundle: it is empty"),
    };
    let size = entry.size();
    let bundle = Bundle::parse(&head(&mut entry, size)?)?;
    if !first(&bundle)? {
        return Ok(bundle);
    }
    for blob in &bundle.files {
        let Some(next) = entries.next() else { bail!("it ends before its file `{}`", blob.digest) };
        let mut entry = next.with_context(|| format!("it is damaged before its file `{}`", blob.digest))?;
        let is_it = *entry.path_bytes() == *format!("blobs/sha256/{}", blob.digest).as_bytes();
        let is_file = entry.header().entry_type() == tar::EntryType::Regular && entry.size() == blob.size;
        ensure!(is_it && is_file, "it has something else in the place of its file `{}`", blob.digest);
        take(blob, Taken::Stream(&mut entry))?;
    }
    match entries.next() {
        None => Ok(bundle),
        Some(_) => bail!("it holds more than its `{HEAD}` lists"),
    }
}

fn read_folder(
    dir: &Path,
    first: &mut dyn FnMut(&Bundle) -> Result<bool>,
    take: &mut dyn FnMut(&Blob, Taken<'_>) -> Result<()>,
) -> Result<Bundle> {
    let mut file = File::open(dir.join(HEAD)).context("it is no bundle: it has no `bundle.json`")?;
    let size = file.metadata()?.len();
    let bundle = Bundle::parse(&head(&mut file, size)?)?;
    if !first(&bundle)? {
        return Ok(bundle);
    }
    for blob in &bundle.files {
        let path = layout_check::blobs(dir).join(&blob.digest);
        let meta =
            fs::symlink_metadata(&path).with_context(|| format!("its file `{}` is missing", blob.digest))?;
        ensure!(meta.is_file(), "its file `{}` is no file", blob.digest);
        take(blob, Taken::File(&path))?;
    }
    Ok(bundle)
}

fn head(from: &mut dyn Read, size: u64) -> Result<Vec<u8>> {
    ensure!(size <= LONGEST_HEAD, "its `{HEAD}` has {size} bytes, which is no bundle's");
    let mut bytes = Vec::new();
    from.take(LONGEST_HEAD)
        .read_to_end(&mut bytes)
        .with_context(|| format!("failed to read its `{HEAD}`"))?;
    ensure!(bytes.len() as u64 == size, "its `{HEAD}` ends after {} of {size} bytes", bytes.len());
    Ok(bytes)
}

/// What was received so far: a scratch folder in the store.
pub struct Stage {
    dir: PathBuf,
    /// Blobs that the store has.
    known: BTreeMap<String, PathBuf>,
}

impl Stage {
    /// An empty one in that folder.
    pub fn new(layout: &Layout, dir: &Path) -> Result<Self> {
        let blobs = layout_check::blobs(dir);
        fs::create_dir_all(&blobs).with_context(|| format!("failed to make `{}`", blobs.display()))?;
        let layers = entry::all(layout).into_iter().chain(folders(&layout.all_mounts()));
        let files =
            layers.flat_map(|dir| fs::read_dir(layout_check::blobs(&dir)).into_iter().flatten().flatten());
        let known =
            files.map(|file| (file.file_name().to_string_lossy().into_owned(), file.path())).collect();
        Ok(Self { dir: dir.to_path_buf(), known })
    }

    fn blob(&self, digest: &str) -> PathBuf {
        layout_check::blobs(&self.dir).join(digest)
    }

    /// Takes a blob in: checked always, written only where the store has not the very same.
    pub fn take(&self, blob: &Blob, from: Taken<'_>) -> Result<()> {
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
                // One that nobody may write, not even we, stays what it is; all others are copied.
                let meta = fs::metadata(file)?;
                let is_fixed = meta.mode() & 0o222 == 0 && meta.uid() == rustix::process::geteuid().as_raw();
                if is_fixed && fs::hard_link(file, &path).is_ok() {
                    return pass(blob, &mut File::open(&path)?, |_| Ok(()));
                }
                write(blob, &mut File::open(file)?, &path)
            }
        }
    }

    /// A blob that the store has damaged is not taken for the bundle's: both are read side by side.
    fn compare(blob: &Blob, stream: &mut dyn Read, known: &Path) -> Result<()> {
        let (mut own, mut buffer) = (File::open(known)?, Vec::new());
        pass(blob, stream, |part| {
            buffer.resize(part.len(), 0);
            own.read_exact(&mut buffer)?;
            if buffer == part {
                return Ok(());
            }
            Err(io::Error::other(format!(
                "the store's own `{}` is damaged; `cargo xtask cache verify` sets it aside",
                known.display()
            )))
        })
    }

    /// Makes the folders of every part, and checks that each is what a build can be shown.
    pub fn assemble(&self, bundle: &Bundle) -> Result<()> {
        for (at, layers) in bundle.images.iter().enumerate() {
            let dir = self.part("layers", at);
            self.link_all(&dir, layers.blobs.iter())?;
            fs::write(dir.join("entry.json"), serde_json::to_vec_pretty(&layers.entry)?)?;
            fs::write(dir.join("index.json"), &layers.index)?;
            fs::write(dir.join("oci-layout"), &layers.layout)?;
            check(&dir, layers)
                .with_context(|| format!("its layers of `{}` are no use", layers.entry.image))?;
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
        fs::create_dir_all(layout_check::blobs(dir))?;
        for blob in blobs {
            signals::check()?;
            mount_store::link(&self.blob(&blob.digest), &layout_check::blobs(dir).join(&blob.digest))?;
        }
        Ok(())
    }

    /// Loads the base image where the engine lacks it.
    pub fn load_base(&self, session: &Session, bundle: &Bundle) -> Result<bool> {
        let Some(image) = &bundle.base else { return Ok(false) };
        base::load(session, image, &self.blob(&image.blob.digest))
    }

    /// Puts every part into the store that is newer than what it has; names those that are not.
    pub fn swap(&self, layout: &Layout, bundle: &Bundle) -> Result<Vec<String>> {
        let mut kept = Vec::new();
        let _lock = Lock::exclusive(layout)?;
        if !layout.version_file().exists() {
            fs::write(layout.version_file(), FORMAT.to_string())?;
        }
        for (at, layers) in bundle.images.iter().enumerate() {
            let entry = &layers.entry;
            let place = layout.generation(&entry.image, &entry.key.0);
            if entry::read(&place).is_ok_and(|own| own.saved >= entry.saved) {
                kept.push(format!("layers of {} {}", entry.image, entry.key));
                continue;
            }
            fs::create_dir_all(layout.layers(&entry.image))?;
            let old = self.part("old", at);
            if place.exists() {
                fs::rename(&place, &old)?;
            }
            fs::rename(self.part("layers", at), &place)?;
        }
        for (at, mount) in bundle.mounts.iter().enumerate() {
            let place = layout.all_mounts().join(mount.identity.slug());
            if mount::read(&place).is_ok_and(|own| own.saved >= mount.saved) {
                kept.push(format!("mount {}", mount.identity.id));
                continue;
            }
            mount_store::move_in(&self.part("mount", at), &place, mount)?;
        }
        for fresh in &bundle.fresh {
            merge(layout, fresh)?;
        }
        Ok(kept)
    }
}

fn merge(layout: &Layout, fresh: &FreshFile) -> Result<()> {
    let path = layout.fresh(&fresh.image);
    let (mut own, _) = FreshFile::read(layout, &fresh.image);
    let before = own.clone();
    own.merge(fresh.clone());
    if own == before {
        return Ok(());
    }
    fs::create_dir_all(layout.all_fresh())?;
    let beside = path.with_extension("json.new");
    fs::write(&beside, serde_json::to_vec_pretty(&own)?)?;
    Ok(fs::rename(&beside, &path)?)
}

/// A generation as BuildKit will read it, with just the blobs that it names.
fn check(dir: &Path, layers: &Layers) -> Result<()> {
    let shape: BTreeSet<Blob> = layout_check::shape(dir)?.into_iter().collect();
    ensure!(shape == layers.blobs.iter().cloned().collect(), "it names other blobs than it has");
    Ok(())
}

fn write(blob: &Blob, from: &mut dyn Read, path: &Path) -> Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    pass(blob, from, |part| file.write_all(part))
}

/// Takes a bundle in. `here` is the builder's platform, `scratch` a folder in the store.
///
/// # Errors
/// Where the bundle is not sound or not for here, or its base image cannot be loaded; then the store is as it was.
pub fn import(
    session: &Session,
    from: &Place,
    here: &str,
    budget: u64,
    scratch: &Path,
) -> Result<(Bundle, Imported)> {
    let load = |stage: &Stage, bundle: &Bundle| stage.load_base(session, bundle);
    import_with(&session.layout, from, here, budget, scratch, &load)
}

/// The same with another way to load the base image.
pub(super) fn import_with(
    layout: &Layout,
    from: &Place,
    here: &str,
    budget: u64,
    scratch: &Path,
    load: &dyn Fn(&Stage, &Bundle) -> Result<bool>,
) -> Result<(Bundle, Imported)> {
    let stage = Stage::new(layout, scratch)?;
    let mut first = |bundle: &Bundle| {
        bundle.check_platform(here)?;
        let bytes = bundle.bytes();
        ensure!(
            bytes <= budget,
            "it has {}, and the store's budget is {}\nraise DURANGO_CACHE_BUDGET",
            size::show(bytes),
            size::show(budget)
        );
        Ok(true)
    };
    let bundle = read(from, &mut first, &mut |blob, taken| stage.take(blob, taken))?;
    stage.assemble(&bundle)?;
    let loaded = load(&stage, &bundle)?;
    let kept = stage.swap(layout, &bundle)?;
    Ok((bundle, Imported { kept, loaded }))
}

/// Removes what an import left, whatever came of it.
pub fn clean(scratch: &Path) {
    if let Err(error) = steps::remove(scratch) {
        eprintln!("warning: {error:#}");
    }
}
