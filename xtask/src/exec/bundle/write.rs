//! Writing a bundle: beside its place, then renamed into it. Every blob is checked on its way out.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::{BundlePlace, base, pass};
use crate::exec::{mount_store, steps};
use crate::plan::bundle::Export;
use crate::process::signals;
use crate::process::stdio;
use crate::session::Session;
use crate::store::bundle::{Bundle, HEAD};
use crate::store::layout_check::{self, Blob};
use crate::store::lock::Lock;

/// Refuses a place that holds something else than a bundle, before anything is done.
pub fn check_place(to: &BundlePlace) -> Result<()> {
    match to {
        BundlePlace::Dir(dir) if dir.is_dir() => {
            let is_empty = fs::read_dir(dir)?.next().is_none();
            ensure!(
                is_empty || dir.join(HEAD).is_file(),
                "`{}` is there and is no bundle\nname another folder, or one that does not exist yet",
                dir.display()
            );
        }
        BundlePlace::File(file) if file.is_file() => {
            let mut start = [0; HEAD.len()];
            let is_bundle = File::open(file)?.read_exact(&mut start).is_ok() && start == *HEAD.as_bytes();
            ensure!(
                is_bundle || fs::metadata(file)?.len() == 0,
                "`{}` is there and is no bundle\nname another file, or remove it",
                file.display()
            );
        }
        _ => {}
    }
    Ok(())
}

/// Makes the bundle; gives it as it was written.
///
/// # Errors
/// Where something cannot be read or written, or a blob in the store is damaged; then the place is as it was.
pub fn export(session: &Session, export: &Export, to: &BundlePlace, scratch: &Path) -> Result<Bundle> {
    let _reading = Lock::shared(&session.layout)?;
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
            let beside = beside(file)?;
            let written = File::create(&beside)
                .map_err(Into::into)
                .and_then(|out| tar(&bundle, out, source))
                .and_then(|()| Ok(fs::rename(&beside, file)?));
            if written.is_err() {
                let _ = fs::remove_file(&beside);
            }
            written.with_context(|| format!("failed to write `{}`", file.display()))?;
        }
        BundlePlace::Dir(dir) => {
            let beside = beside(dir)?;
            let written = folder(&bundle, &beside, &sources).and_then(|()| replace(&beside, dir));
            if written.is_err() {
                steps::remove(&beside)?;
            }
            written.with_context(|| format!("failed to write `{}`", dir.display()))?;
        }
    }
    Ok(bundle)
}

fn beside(path: &Path) -> Result<PathBuf> {
    let Some(name) = path.file_name() else { bail!("`{}` has no name of its own", path.display()) };
    let parent = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(parent).with_context(|| format!("failed to make `{}`", parent.display()))?;
    Ok(parent.join(format!(".{}.{}", name.to_string_lossy(), std::process::id())))
}

pub(super) fn tar(bundle: &Bundle, out: impl Write, source: impl Fn(&Blob) -> Result<File>) -> Result<()> {
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
    header.set_mode(0o644);
    header.set_entry_type(tar::EntryType::Regular);
    header.set_cksum();
    Ok(header)
}

pub(super) fn folder(
    bundle: &Bundle,
    dir: &Path,
    sources: &std::collections::BTreeMap<String, PathBuf>,
) -> Result<()> {
    let blobs = layout_check::blobs(dir);
    fs::create_dir_all(&blobs)?;
    for blob in &bundle.files {
        signals::check()?;
        let path = sources.get(&blob.digest).with_context(|| format!("nothing has `{}`", blob.digest))?;
        mount_store::link(path, &blobs.join(&blob.digest))?;
        layout_check::verify(dir, blob)?;
    }
    Ok(fs::write(dir.join(HEAD), bundle.head()?)?)
}

/// The old folder goes once the new one is in its place.
fn replace(beside: &Path, dir: &Path) -> Result<()> {
    let old = beside.with_extension("old");
    if dir.exists() {
        fs::rename(dir, &old)?;
    }
    if let Err(error) = fs::rename(beside, dir) {
        if old.exists() {
            fs::rename(&old, dir)?;
        }
        return Err(error.into());
    }
    steps::remove(&old)
}
