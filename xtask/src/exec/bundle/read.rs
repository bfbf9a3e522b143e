//! Reads a bundle in one pass, and imports it.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use jiff::Timestamp;

use super::BundlePlace;
use super::stage::{ImportStage, Taken};

use crate::exec::budget::{Budget, Need};
use crate::files;
use crate::layout::Layout;
use crate::process::stdio::{self, Interruptible, errln};
use crate::session::Session;

use crate::store::bundle::{Bundle, HEAD, LONGEST_HEAD};
use crate::store::layout_check::{self, Blob};
use crate::text::size;

/// The result of an import.
#[derive(Debug, Default)]
pub(crate) struct Imported {
    /// Parts of which the store already has the same or a newer version.
    pub kept: Vec<String>,
    /// Whether the base image was loaded into the engine.
    pub loaded: bool,
}

/// Opens a bundle and passes its description to `first`, then each blob to `take`, in order.
///
/// # Errors
/// Describes the fault of the bundle. An error of `first` or `take` ends the read.
pub(crate) fn read(
    from: &BundlePlace,
    first: &mut dyn FnMut(&Bundle) -> Result<bool>,
    take: &mut dyn FnMut(&Blob, Taken<'_>) -> Result<()>,
) -> Result<Bundle> {
    match from {
        BundlePlace::Pipe => read_tar(stdio::stdin(), first, take),
        BundlePlace::File(path) => {
            // A named pipe such as `<(ssh HOST ...)` has a writer that may stall.
            let file = files::open_to_read(path).map(Interruptible);
            let file = file.with_context(|| format!("failed to read `{}`", path.display()))?;
            read_tar(file, first, take)
        }
        BundlePlace::Dir(dir) => read_directory(dir, first, take),
    }
}

pub(crate) fn read_tar(
    from: impl Read,
    first: &mut dyn FnMut(&Bundle) -> Result<bool>,
    take: &mut dyn FnMut(&Blob, Taken<'_>) -> Result<()>,
) -> Result<Bundle> {
    let mut archive = tar::Archive::new(from);
    // Raw: long names and other extensions, which no bundle has, are not followed.
    let mut entries = archive.entries()?.raw(true);
    let mut entry = match entries.next() {
        Some(Ok(entry)) if *entry.path_bytes() == *HEAD.as_bytes() => {
            let is_file = entry.header().entry_type() == tar::EntryType::Regular;
            ensure!(is_file, "not a bundle: its `{HEAD}` is not a regular file");
            entry
        }
        Some(Ok(entry)) => bail!(
            "not a bundle: its first file is `{}` instead of `{HEAD}`",
            String::from_utf8_lossy(&entry.path_bytes()).escape_default()
        ),
        Some(Err(error)) => bail!("not a bundle: {error}"),
        None => bail!("not a bundle: it is empty"),
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
        ensure!(is_it && is_file, "it has another entry in place of its file `{}`", blob.digest);
        take(blob, Taken::Stream(&mut entry))?;
    }
    match entries.next() {
        None => Ok(bundle),
        Some(_) => bail!("it has more files than its `{HEAD}` lists"),
    }
}

fn read_directory(
    dir: &Path,
    first: &mut dyn FnMut(&Bundle) -> Result<bool>,
    take: &mut dyn FnMut(&Blob, Taken<'_>) -> Result<()>,
) -> Result<Bundle> {
    let path = dir.join(HEAD);
    let meta = fs::symlink_metadata(&path).context("not a bundle: `bundle.json` is missing")?;
    // Opening a named pipe would wait for a writer.
    ensure!(meta.is_file(), "not a bundle: its `{HEAD}` is not a regular file");
    let (mut file, size) = (File::open(&path)?, meta.len());
    let bundle = Bundle::parse(&head(&mut file, size)?)?;
    if !first(&bundle)? {
        return Ok(bundle);
    }
    for blob in &bundle.files {
        let path = layout_check::blobs(dir).join(&blob.digest);
        let meta =
            fs::symlink_metadata(&path).with_context(|| format!("its file `{}` is missing", blob.digest))?;
        ensure!(meta.is_file(), "its file `{}` is not a regular file", blob.digest);
        take(blob, Taken::File(&path))?;
    }
    Ok(bundle)
}

fn head(from: &mut dyn Read, size: u64) -> Result<Vec<u8>> {
    ensure!(size <= LONGEST_HEAD, "its `{HEAD}` has {size} bytes, too many for a bundle");
    let mut bytes = Vec::new();
    from.take(LONGEST_HEAD)
        .read_to_end(&mut bytes)
        .with_context(|| format!("failed to read its `{HEAD}`"))?;
    ensure!(bytes.len() as u64 == size, "its `{HEAD}` ends after {} of {size} bytes", bytes.len());
    Ok(bytes)
}

/// Imports a bundle. `here` is the builder's platform, `scratch` a directory in the store.
///
/// # Errors
/// Fails if the bundle is not valid or for another platform, or if its base image cannot be loaded.
/// The store is unchanged then.
pub(crate) fn import(
    session: &Session,
    from: &BundlePlace,
    here: &str,
    budget: &Budget,
    scratch: &Path,
) -> Result<(Bundle, Imported)> {
    let load = |stage: &ImportStage, bundle: &Bundle| stage.load_base(session, bundle);
    import_with(&session.layout, from, here, budget, scratch, session.host.now, &load)
}

/// Imports with a replacement for loading the base image.
pub(super) fn import_with(
    layout: &Layout,
    from: &BundlePlace,
    here: &str,
    budget: &Budget,
    scratch: &Path,
    now: Timestamp,
    load: &dyn Fn(&ImportStage, &Bundle) -> Result<bool>,
) -> Result<(Bundle, Imported)> {
    let stage = ImportStage::new(layout, scratch)?;
    let mut first = |bundle: &Bundle| {
        bundle.check_platform(here)?;
        let bytes = bundle.bytes();
        ensure!(
            bytes <= budget.bytes(),
            "it has {}, and the store's budget is {}\nraise DURANGO_CACHE_BUDGET",
            size::show(bytes),
            size::show(budget.bytes())
        );
        Ok(true)
    };
    let mut bundle = read(from, &mut first, &mut |blob, taken| stage.take(blob, taken))?;
    bundle.clamp_times(now);
    stage.assemble(&bundle)?;
    let loaded = load(&stage, &bundle)?;
    let parts = stage.new_parts(layout, &bundle);
    let _reservation = budget.reserve(Need::Dirs(&parts), &mut |line| errln!("{line}"))?;
    let kept = stage.swap(layout, &bundle)?;
    Ok((bundle, Imported { kept, loaded }))
}
