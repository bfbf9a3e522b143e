//! Validates every entry that comes from outside this build: a bundle, a registry, a CI cache, the
//! disk. A valid entry can be shown on a terminal, used in a path, added up, and passed to the
//! engine.

use anyhow::{Result, ensure};
use jiff::Timestamp;

use super::entry::Entry;
use super::fresh::{FreshFile, HIGHEST_NONCE, Nonce, Remembered};
use super::key::FORMAT;
use super::layout_check::Blob;
use super::mount::MountEntry;
use crate::project::mount::MountIdentity;
use crate::project::{packages, release_files};

/// The maximum number of characters of a name.
const LONGEST_NAME: usize = 200;
/// The maximum number of characters of a path or of an id, which is a path by default.
const LONGEST_PATH: usize = 4096;
/// The maximum number of characters of an instruction.
const LONGEST_INSTRUCTION: usize = 64 << 10;
/// The maximum number of blobs, steps or stages in an entry.
const MOST_PARTS: usize = 10_000;
/// The maximum number of bytes and files of an entry: 16 TiB. Sums of some thousands can't
/// overflow.
const MOST_BYTES: u64 = 16 << 40;
const MOST_FILES: u64 = 1_000_000_000;

/// An entry that can be validated.
pub(crate) trait Validate {
    /// Checks sizes, counts, names and texts.
    ///
    /// # Errors
    ///
    /// Describes the fault in words that follow the name of the entry. The description has no raw
    /// text.
    fn validate(&self) -> Result<()>;

    /// Sets times in the future to `now`: the clock of another machine may have been wrong.
    fn clamp_times(&mut self, now: Timestamp);
}

impl Validate for Entry {
    fn validate(&self) -> Result<()> {
        image(&self.image)?;
        format(self.format, &self.image)?;
        platform(&self.platform)?;
        hex_digest(&self.key.0)?;
        if let Some(digest) = &self.digest {
            prefixed_digest(digest)?;
        }
        bytes(self.bytes)?;
        count(self.steps.len())?;
        count(self.steps_any_mode.len())?;
        let steps = self.steps.iter().chain(&self.steps_any_mode);
        steps.into_iter().try_for_each(|step| name("a step's key", step))?;
        count(self.after.len())?;
        self.after
            .iter()
            .chain(std::slice::from_ref(&self.id))
            .filter(|id| !id.is_empty())
            .try_for_each(|id| name("an id", id))
    }

    fn clamp_times(&mut self, now: Timestamp) {
        self.saved = self.saved.min(now);
    }
}

impl Validate for MountEntry {
    fn validate(&self) -> Result<()> {
        identity(&self.identity)?;
        format(self.format, &self.identity.id)?;
        path("a mount's target", &self.target)?;
        platform(&self.platform)?;
        bytes(self.bytes)?;
        ensure!(self.files <= MOST_FILES, "it has a cache mount of {} files", self.files);
        count(self.packs.len())?;
        count(self.steps.len())?;
        self.steps.iter().try_for_each(|step| name("a step's key", step))?;
        self.blobs().try_for_each(blob)
    }

    fn clamp_times(&mut self, now: Timestamp) {
        self.saved = self.saved.min(now);
    }
}

impl Validate for FreshFile {
    fn validate(&self) -> Result<()> {
        image(&self.image)?;
        format(self.format, &self.image)?;
        count(self.platforms.len())?;
        for (of, remembered) in &self.platforms {
            platform(of)?;
            count(remembered.spots.len())?;
            packages(remembered)?;
            nonces(remembered).try_for_each(nonce)?;
            for spot in &remembered.spots {
                name("a stage's name", &spot.stage)?;
                let instruction = spot.instruction.as_deref().unwrap_or("RUN");
                text("an instruction", instruction, LONGEST_INSTRUCTION)?;
            }
        }
        Ok(())
    }

    fn clamp_times(&mut self, now: Timestamp) {
        for remembered in self.platforms.values_mut() {
            let spots = remembered.spots.iter_mut().map(|spot| &mut spot.nonce);
            spots.chain(&mut remembered.all).for_each(|nonce| nonce.at = nonce.at.min(now));
            if let Some(packages) = &mut remembered.packages {
                packages.asked = packages.asked.min(now);
            }
        }
    }
}

fn nonces(remembered: &Remembered) -> impl Iterator<Item = &Nonce> {
    remembered.spots.iter().map(|spot| &spot.nonce).chain(&remembered.all)
}

/// The list becomes a build argument.
fn packages(remembered: &Remembered) -> Result<()> {
    let versions = remembered.packages.as_ref().map_or("", |packages| &packages.versions);
    ensure!(versions.len() <= LONGEST_INSTRUCTION, "it has {} bytes of package versions", versions.len());
    ensure!(packages::is_value(versions), "it has package versions that are not NAME/VERSION");
    if let Some(sources) = remembered.packages.as_ref().and_then(|packages| packages.sources.as_ref()) {
        name("a stage's key", &sources.key)?;
        ensure!(release_files::are_valid(&sources.files), "it has an invalid Release file");
    }
    Ok(())
}

/// BuildKit adds this many bytes to a step's `/dev/shm`.
fn nonce(nonce: &Nonce) -> Result<()> {
    let value = nonce.value;
    ensure!(
        (1..=HIGHEST_NONCE).contains(&value),
        "it has the nonce {value}, which is not from 1 to {HIGHEST_NONCE}"
    );
    Ok(())
}

fn identity(identity: &MountIdentity) -> Result<()> {
    let MountIdentity { project, namespace, id, from, source, uid: _, gid: _, mode } = identity;
    path("a mount's id", id)?;
    let others =
        [("a project", Some(project)), ("a namespace", Some(namespace)), ("a mount's `from`", from.as_ref())];
    for (what, value) in others {
        let value = value.filter(|value| !value.is_empty());
        value.map_or(Ok(()), |value| path(what, value))?;
    }
    source.as_ref().map_or(Ok(()), |source| path("a mount's `source`", source))?;
    let is_octal = |mode: &String| mode.len() <= 6 && mode.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    ensure!(mode.as_ref().is_none_or(is_octal), "it has a mount with a mode that is not octal");
    Ok(())
}

/// Checks the name of an image, which becomes the name of a directory.
pub(crate) fn image(image: &str) -> Result<()> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@".contains(c);
    let fits = !image.is_empty()
        && image.len() <= LONGEST_NAME
        && !image.starts_with('.')
        && image.chars().all(is_plain);
    ensure!(fits, "it has an image named `{}`", shown(image));
    Ok(())
}

/// Checks `OS/ARCHITECTURE` or `OS/ARCHITECTURE/VARIANT`.
pub(crate) fn platform(platform: &str) -> Result<()> {
    let is_part = |part: &str| {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
        !part.is_empty() && part.len() <= 32 && part.bytes().all(fits)
    };
    let parts = platform.split('/').count();
    let fits = (2..=3).contains(&parts) && platform.split('/').all(is_part);
    ensure!(fits, "it has the platform `{}`", shown(platform));
    Ok(())
}

/// Checks a blob's digest, which becomes the name of a file, and its size.
pub(crate) fn blob(blob: &Blob) -> Result<()> {
    hex_digest(&blob.digest)?;
    bytes(blob.size)
}

/// Checks a SHA-256 digest in hexadecimal.
pub(crate) fn hex_digest(digest: &str) -> Result<()> {
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    ensure!(
        digest.len() == 64 && digest.bytes().all(is_hex),
        "it refers to `{}`, which is not a SHA-256 digest",
        shown(digest)
    );
    Ok(())
}

/// Checks `sha256:` and a digest.
pub(crate) fn prefixed_digest(digest: &str) -> Result<()> {
    hex_digest(digest.strip_prefix("sha256:").unwrap_or(""))
        .map_err(|_| anyhow::anyhow!("it refers to `{}`, which is not a SHA-256 digest", shown(digest)))
}

fn format(format: u32, name: &str) -> Result<()> {
    let name = shown(name);
    ensure!(
        format == FORMAT,
        "`{name}` in it has the store's format {format}, and this xtask supports {FORMAT}"
    );
    Ok(())
}

fn name(what: &str, value: &str) -> Result<()> {
    text(what, value, LONGEST_NAME)
}

fn path(what: &str, value: &str) -> Result<()> {
    text(what, value, LONGEST_PATH)
}

/// Checks a displayed text: one line, without characters that control a terminal or reorder text.
fn text(what: &str, value: &str, longest: usize) -> Result<()> {
    ensure!(!value.is_empty() && value.len() <= longest, "it has {what} of {} bytes", value.len());
    ensure!(value.chars().all(is_visible), "it has {what} with control characters: `{}`", shown(value));
    Ok(())
}

/// Returns false for control characters and for those that are invisible or change the direction of
/// text.
fn is_visible(c: char) -> bool {
    let is_format = matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}');
    c == '\t' || !c.is_control() && !is_format
}

fn bytes(bytes: u64) -> Result<()> {
    ensure!(bytes <= MOST_BYTES, "it has a part of {bytes} bytes");
    Ok(())
}

fn count(count: usize) -> Result<()> {
    ensure!(count <= MOST_PARTS, "it has an entry with {count} parts");
    Ok(())
}

/// Returns a foreign text in a form for an error.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(LONGEST_NAME).flat_map(char::escape_default).collect()
}

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;
