//! Writes a bundle next to its place, then renames it. Checks every blob while it is read.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::{BundlePlace, base, pass};
use crate::exec::{mount_store, steps};
use crate::files::{self, Durability};
use crate::plan::bundle::Export;
use crate::process::signals;
use crate::process::stdio;
use crate::session::Session;
use crate::store::bundle::{Bundle, HEAD};
use crate::store::contents::is_held;
use crate::store::layout_check::{self, Blob};
use crate::store::lock::{Holds, hold};

/// Refuses a place with other content than a bundle, before anything is done.
pub(crate) fn check_place(to: &BundlePlace) -> Result<()> {
    match to {
        BundlePlace::Dir(dir) if dir.is_dir() => {
            let is_empty = fs::read_dir(dir)?.next().is_none();
            ensure!(
                is_empty || dir.join(HEAD).is_file(),
                "`{}` exists and is not a bundle\nname another directory, or one that does not exist yet",
                dir.display()
            );
        }
        BundlePlace::File(file) if file.is_file() => {
            let mut start = [0; HEAD.len()];
            let is_bundle = File::open(file)?.read_exact(&mut start).is_ok() && start == *HEAD.as_bytes();
            ensure!(
                is_bundle || fs::metadata(file)?.len() == 0,
                "`{}` exists and is not a bundle\nname another file, or remove it",
                file.display()
            );
        }
        _ => {}
    }
    Ok(())
}

/// Exports the bundle and returns its final description.
///
/// # Errors
/// Fails if something cannot be read or written, or if a blob in the store is damaged. The place is
/// unchanged then.
pub(crate) fn export(session: &Session, export: &Export, to: &BundlePlace, scratch: &Path) -> Result<Bundle> {
    // A blob is in `blobs/sha256` of its entry.
    let _held = Holds::of(export.sources.values().filter_map(|blob| blob.ancestors().nth(3)));
    let (mut bundle, mut sources) = (export.bundle.clone(), export.sources.clone());
    if let Some(held) = &export.base {
        let (image, path) = base::save(session, held, scratch)?;
        sources.insert(image.blob.digest.clone(), path);
        bundle.base = Some(image);
        bundle.files = bundle.named();
    }
    let source = |blob: &Blob| -> Result<File> {
        let path = sources.get(&blob.digest).with_context(|| format!("nothing has `{}`", blob.digest))?;
        File::open(path).with_context(|| format!("failed to read `{}`", path.display()))
    };
    match to {
        BundlePlace::Pipe => {
            tar(&bundle, stdio::stdout(), source).context("failed to write the bundle to stdout")?;
        }
        BundlePlace::File(file) => {
            let (dir, name) = parts(file)?;
            remove_leftovers(&dir, &name);
            let written = temporary(&dir, &name).and_then(|temporary| {
                tar(&bundle, temporary.as_file(), source)?;
                temporary.as_file().sync_all()?;
                temporary.persist(file)?;
                Ok(())
            });
            written.with_context(|| format!("failed to write `{}`", file.display()))?;
        }
        BundlePlace::Dir(place) => {
            let (dir, name) = parts(place)?;
            remove_leftovers(&dir, &name);
            let staging = prefix(&name).tempdir_in(&dir)?;
            let _held = hold(staging.path());
            let new = staging.path().join("new");
            let written = directory(&bundle, &new, &sources).and_then(|()| replace(&new, place));
            written.with_context(|| format!("failed to write `{}`", place.display()))?;
        }
    }
    Ok(bundle)
}

/// Returns the directory of a bundle, which is created if needed, and the bundle's name.
fn parts(path: &Path) -> Result<(PathBuf, String)> {
    let Some(name) = path.file_name() else { bail!("`{}` has no file name", path.display()) };
    let parent = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(parent).with_context(|| format!("failed to create `{}`", parent.display()))?;
    Ok((parent.to_path_buf(), name.to_string_lossy().into_owned()))
}

/// Returns the name of an unfinished bundle, with an unguessable suffix.
fn prefix(name: &str) -> tempfile::Builder<'_, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(name).suffix(PARTIAL);
    builder
}

/// The suffix of unfinished bundles.
const PARTIAL: &str = ".durango-partial";

/// Creates a file for a bundle, locked while this process lives.
fn temporary(dir: &Path, name: &str) -> Result<tempfile::NamedTempFile> {
    let temporary = prefix(name).tempfile_in(dir)?;
    let _ = temporary.as_file().try_lock();
    Ok(temporary)
}

/// Removes the remains of killed exports to the same place, which no process holds.
fn remove_leftovers(dir: &Path, name: &str) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let other = entry.file_name().to_string_lossy().into_owned();
        let is_ours = other.strip_prefix(name).is_some_and(|rest| rest.ends_with(PARTIAL));
        let (path, Ok(kind)) = (entry.path(), entry.file_type()) else { continue };
        let is_left = match &path {
            path if kind.is_dir() => !is_held(path),
            path if kind.is_file() => File::open(path).is_ok_and(|file| file.try_lock().is_ok()),
            _ => false,
        };
        if is_ours && is_left {
            let _ = steps::remove(&path);
        }
    }
}

pub(crate) fn tar(bundle: &Bundle, out: impl Write, source: impl Fn(&Blob) -> Result<File>) -> Result<()> {
    let mut builder = tar::Builder::new(out);
    let head = bundle.head()?;
    builder.append(&header(HEAD, head.len() as u64)?, head.as_slice())?;
    for blob in &bundle.files {
        builder.append(&header(&format!("blobs/sha256/{}", blob.digest), blob.size)?, io::empty())?;
        let out = builder.get_mut();
        pass(blob, &mut source(blob)?, |part| out.write_all(part))?;
        let padding = (512 - blob.size % 512) % 512;
        out.write_all(&[0; 512][..usize::try_from(padding)?])?;
    }
    builder.into_inner()?.flush()?;
    Ok(())
}

/// The same bundle gives the same bytes.
fn header(path: &str, size: u64) -> Result<tar::Header> {
    let mut header = tar::Header::new_gnu();
    header.set_path(path)?;
    header.set_size(size);
    header.set_mode(0o600);
    header.set_entry_type(tar::EntryType::Regular);
    header.set_cksum();
    Ok(header)
}

pub(super) fn directory(
    bundle: &Bundle,
    dir: &Path,
    sources: &std::collections::BTreeMap<String, PathBuf>,
) -> Result<()> {
    let blobs = layout_check::blobs(dir);
    files::make_dir(&blobs)?;
    for blob in &bundle.files {
        signals::check()?;
        let path = sources.get(&blob.digest).with_context(|| format!("nothing has `{}`", blob.digest))?;
        mount_store::link(path, &blobs.join(&blob.digest))?;
        layout_check::verify(dir, blob)?;
    }
    Ok(files::write(&dir.join(HEAD), &bundle.head()?, Durability::Synced)?)
}

/// The old directory is removed after the new one is in its place.
fn replace(staging: &Path, dir: &Path) -> Result<()> {
    let old = staging.with_extension("old");
    if dir.exists() {
        fs::rename(dir, &old)?;
    }
    if let Err(error) = fs::rename(staging, dir) {
        if old.exists() {
            fs::rename(&old, dir)?;
        }
        return Err(error.into());
    }
    steps::remove(&old)
}
