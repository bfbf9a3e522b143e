//! Bundles: the content of the store for another machine, as a tar or a directory.

pub(crate) mod archive;
pub(crate) mod base;
pub(crate) mod read;
pub(crate) mod stage;
#[cfg(test)]
mod tests;
pub(crate) mod write;

use std::io::Read;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

use crate::process::{retry, signals};
use crate::store::layout_check::Blob;

/// The place of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BundlePlace {
    /// A directory with the files.
    Dir(PathBuf),
    /// A tar file.
    File(PathBuf),
    /// A tar on stdin or stdout.
    Pipe,
}

/// Reads exactly one blob, passes each part on, and checks its size and digest.
pub(crate) fn pass(
    blob: &Blob,
    from: &mut dyn Read,
    mut on: impl FnMut(&[u8]) -> std::io::Result<()>,
) -> Result<()> {
    let mut buffer = vec![0; 1 << 18];
    let (mut hash, mut bytes) = (Sha256::new(), 0_u64);
    loop {
        signals::check()?;
        let count =
            retry::read(from, &mut buffer).with_context(|| format!("failed to read `{}`", blob.digest))?;
        if count == 0 {
            break;
        }
        bytes += count as u64;
        ensure!(bytes <= blob.size, "its file `{}` is longer than {} bytes", blob.digest, blob.size);
        hash.update(&buffer[..count]);
        on(&buffer[..count])?;
    }
    ensure!(bytes == blob.size, "its file `{}` ends after {bytes} of {} bytes", blob.digest, blob.size);
    let digest = format!("{:x}", hash.finalize());
    ensure!(digest == blob.digest, "its file `{}` is damaged: it has the digest {digest}", blob.digest);
    Ok(())
}
