//! Validates every entry that comes from outside this build: a bundle, a registry, a CI cache, the
//! disk. A valid entry can be shown on a terminal, used in a path, added up, and passed to the
//! engine.

use anyhow::{Result, ensure};
use jiff::Timestamp;

use super::entry::Entry;
use super::fresh::{FreshFile, MOST, Nonce, Remembered};
use super::key::FORMAT;
use super::layout_check::Blob;
use super::mount::MountEntry;
use crate::project::mount::MountIdentity;
use crate::project::packages;

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
    Ok(())
}

/// BuildKit adds this many bytes to a step's `/dev/shm`.
fn nonce(nonce: &Nonce) -> Result<()> {
    let value = nonce.value;
    ensure!((1..=MOST).contains(&value), "it has the nonce {value}, which is not from 1 to {MOST}");
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
mod tests {
    use super::*;
    use crate::project::mount::Sharing;
    use crate::store::fresh::{Packages, Spot};
    use crate::store::key::Key;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    fn entry() -> Entry {
        Entry {
            format: FORMAT,
            image: "team/app".into(),
            platform: "linux/arm64/v8".into(),
            key: Key("a".repeat(64)),
            digest: Some(format!("sha256:{}", "b".repeat(64))),
            saved: at(5),
            bytes: 7,
            steps: vec!["c".repeat(64)],
            steps_any_mode: Vec::new(),
            id: "0123456789abcdef".into(),
            after: vec!["fedcba9876543210".into()],
        }
    }

    fn mount() -> MountEntry {
        let blob = || Blob { digest: "d".repeat(64), size: 3 };
        MountEntry {
            format: FORMAT,
            identity: MountIdentity { id: "/go/pkg mod".into(), ..MountIdentity::default() },
            sharing: Sharing::Shared,
            target: "/go/pkg/mod".into(),
            platform: "linux/amd64".into(),
            saved: at(5),
            files: 1,
            bytes: 5,
            is_shared: true,
            manifest: blob(),
            packs: vec![blob()],
        }
    }

    fn fresh() -> FreshFile {
        let nonce = || Nonce { value: 5, at: at(5) };
        let spot = Spot { stage: "php".into(), instruction: Some("RUN make\tall".into()), nonce: nonce() };
        let mut file = FreshFile::new("team/app");
        let remembered = Remembered { all: Some(nonce()), spots: vec![spot], packages: None };
        file.platforms.insert("linux/amd64".into(), remembered);
        file
    }

    #[track_caller]
    fn refused<T: Validate>(mut value: T, change: impl FnOnce(&mut T), expected: &str) {
        change(&mut value);
        let error = value.validate().expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains(|c: char| !is_visible(c)), "it is shown raw: {error:?}");
    }

    #[test]
    fn sound_entries_pass() {
        entry().validate().expect("sound");
        mount().validate().expect("sound");
        fresh().validate().expect("sound");
    }

    #[test]
    fn texts_that_a_terminal_acts_on_are_refused() {
        for evil in [
            "x\u{1b}[2J",
            "x\u{1b}]52;c;cHduZWQ=\u{7}",
            "x\r",
            "x\u{9b}31m",
            "x\u{202e}y",
            "x\n",
            "",
            "\u{200b}",
        ] {
            refused(entry(), |entry| entry.image = evil.into(), "image named");
            refused(entry(), |entry| entry.platform = evil.into(), "the platform");
            refused(entry(), |entry| entry.key = Key(evil.into()), "not a SHA-256 digest");
            refused(entry(), |entry| entry.digest = Some(evil.into()), "not a SHA-256 digest");
            refused(entry(), |entry| entry.steps = vec![evil.into()], "a step's key");
            refused(mount(), |mount| mount.identity.id = evil.into(), "a mount's id");
            refused(mount(), |mount| mount.target = evil.into(), "a mount's target");
            refused(mount(), |mount| mount.identity.source = Some(evil.into()), "a mount's `source`");
            refused(mount(), |mount| mount.packs[0].digest = evil.into(), "not a SHA-256 digest");
            refused(fresh(), |fresh| set_stage(fresh, evil), "a stage's name");
            refused(fresh(), |fresh| set_packages(fresh, &format!("a/{evil}/")), "package versions");
        }
        refused(mount(), |mount| mount.identity.mode = Some("0x1b".into()), "not octal");
        refused(mount(), |mount| mount.target = "x".repeat(5000), "5000 bytes");
        refused(entry(), |entry| entry.key = Key("abc".into()), "not a SHA-256 digest");
        refused(entry(), |entry| entry.image = "../../etc".into(), "image named");
    }

    fn set_packages(fresh: &mut FreshFile, versions: &str) {
        for remembered in fresh.platforms.values_mut() {
            remembered.packages = Some(Packages { versions: versions.into(), ..Packages::default() });
        }
    }

    #[test]
    fn package_versions_are_a_list_of_bounded_length() {
        let mut file = fresh();
        set_packages(&mut file, "libfoo/1+deb13u1 libbar/2:1.0~rc1-1");
        file.validate().expect("sound");
        refused(fresh(), |fresh| set_packages(fresh, "a/$(x)"), "package versions");
        refused(fresh(), |fresh| set_packages(fresh, &"a/1 ".repeat(100_000)), "bytes of package versions");
    }

    fn set_stage(fresh: &mut FreshFile, stage: &str) {
        for remembered in fresh.platforms.values_mut() {
            remembered.spots[0].stage = stage.into();
        }
    }

    #[test]
    fn numbers_beyond_reason_are_refused() {
        refused(entry(), |entry| entry.bytes = u64::MAX, "bytes");
        refused(entry(), |entry| entry.format = FORMAT + 1, "format");
        refused(entry(), |entry| entry.steps = vec!["a".into(); MOST_PARTS + 1], "10001 parts");
        refused(mount(), |mount| mount.files = u64::MAX, "files");
        refused(mount(), |mount| mount.bytes = u64::MAX, "bytes");
        refused(mount(), |mount| mount.packs[0].size = u64::MAX, "bytes");
        for value in [0, MOST + 1, u32::MAX] {
            let set = |fresh: &mut FreshFile| {
                fresh.platforms.values_mut().for_each(|one| one.spots[0].nonce.value = value);
            };
            refused(fresh(), set, "the nonce");
        }
    }

    #[test]
    fn times_of_a_wrong_clock_are_set_to_now() {
        let (mut entry, mut mount, mut fresh) = (entry(), mount(), fresh());
        entry.clamp_times(at(3));
        mount.clamp_times(at(3));
        fresh.clamp_times(at(3));
        let nonces: Vec<_> = fresh.platforms.values().flat_map(nonces).map(|nonce| nonce.at).collect();
        assert_eq!((entry.saved, mount.saved, nonces), (at(3), at(3), vec![at(3); 2]));
        entry.clamp_times(at(9));
        assert_eq!(entry.saved, at(3), "a time that has passed stays");
    }
}
