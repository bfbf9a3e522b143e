//! Exports the bootstrapped base image from an engine, and loads it into another one.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use xshell::cmd;

use super::archive;
use crate::defaults::TAG;
use crate::exec::steps;
use crate::plan::bundle::HeldBase;
use crate::process::query;
use crate::session::Session;
use crate::step::{Command, Step};
use crate::store::bundle::BaseImage;
use crate::store::layout_check::Blob;

const QUERY_TIMEOUT: Duration = Duration::from_secs(20);

/// Returns the image in the engine, or `None` if it is missing or there is no engine.
pub(crate) fn held(session: &Session) -> Option<HeldBase> {
    session.host.which("docker")?;
    let sh = &session.sh;
    let answer =
        query::query(cmd!(sh, "docker image inspect --format '{{.Id}} {{.Size}}' {TAG}"), QUERY_TIMEOUT)
            .ok()?;
    let (id, bytes) = answer.stdout.trim().split_once(' ')?;
    Some(HeldBase { id: id.to_owned(), bytes: bytes.parse().ok()? })
}

/// Saves it to a file in the scratch directory.
pub(crate) fn save(session: &Session, held: &HeldBase, scratch: &Path) -> Result<(BaseImage, PathBuf)> {
    let [saved, path] = ["saved.tar", "base.tar"].map(|name| scratch.join(name));
    let command = Command::new(["docker", "save", "--output", &saved.to_string_lossy(), TAG]);
    steps::run(&[Step::run("", command)], session.globals.verbose)?;
    archive::rewrite(&saved, TAG, &mut File::create_new(&path)?)?;
    fs::remove_file(&saved)?;
    let (mut hash, mut file) = (Sha256::new(), File::open(&path)?);
    let size = std::io::copy(&mut file, &mut hash)?;
    let blob = Blob { digest: format!("{:x}", hash.finalize()), size };
    Ok((BaseImage { image: TAG.into(), id: held.id.clone(), blob }, path))
}

/// Loads it if the engine has a different one or none. Returns whether it did.
///
/// # Errors
///
/// Fails if the archive is not valid. The engine is unchanged then.
pub(crate) fn load(session: &Session, base: &BaseImage, path: &Path) -> Result<bool> {
    if held(session).is_some_and(|held| held.id == base.id) {
        return Ok(false);
    }
    let mut archive = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(Path::new(".")))?;
    archive::rewrite(path, TAG, archive.as_file_mut())?;
    let command = Command::new(["docker", "load", "--input", &archive.path().to_string_lossy()]);
    steps::run(&[Step::run("", command)], session.globals.verbose)
        .context("failed to load the bundle's base image, which its layers need")?;
    Ok(true)
}
