//! The memory of steps that were run again: `fresh/<image>.json` in the store and, unchanged, in
//! bundles. BuildKit still has the results from before. A build finds the new results only if it
//! repeats what made them different, on every machine.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::key::FORMAT;
use super::sealed;
use super::validate::Validate;
use crate::files;
use crate::layout::Layout;
use crate::project::release_files::ReleaseFile;

/// A number that sets one run of a step apart from those before, and when it was drawn.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct Nonce {
    /// From 1 to [`HIGHEST_NONCE`].
    pub value: u32,
    /// When.
    pub at: Timestamp,
}

/// The highest nonce. This many additional bytes of `/dev/shm` are harmless.
pub(crate) const HIGHEST_NONCE: u32 = 1 << 22;

impl Nonce {
    /// Returns a nonce for this moment. Processes of one moment get different ones.
    pub(crate) fn draw(now: Timestamp, process: u32) -> Self {
        let mixed =
            (now.as_nanosecond() as u64 ^ u64::from(process) << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let value = u32::try_from(mixed >> 42).unwrap_or_default();
        Self { value: value % HIGHEST_NONCE + 1, at: now }
    }
}

/// A stage, or one RUN of it, that was run again.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct Spot {
    pub stage: String,
    /// The instruction in one line; `None` for the whole stage.
    pub instruction: Option<String>,
    /// The nonce that makes it different.
    pub nonce: Nonce,
}

/// The memory of one image on one platform.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct Remembered {
    /// All steps, as of the last `--no-cache`.
    pub all: Option<Nonce>,
    /// Stages and steps since then.
    pub spots: Vec<Spot>,
    /// The versions of Debian packages that it is built with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packages: Option<Packages>,
}

/// The versions of Debian packages in a mirror.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct Packages {
    /// `NAME/VERSION`, separated by spaces.
    pub versions: String,
    /// The time of the last query.
    pub asked: Timestamp,
    /// The time of the next query.
    pub next: Timestamp,
    /// The sources of the answer; `None` if it may change without them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sources: Option<Sources>,
}

/// The inputs of an answer: while they stay, so does the answer.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct Sources {
    /// The digest of the inputs of the stage that answers.
    pub key: String,
    /// The mirror's files.
    pub files: Vec<ReleaseFile>,
}

impl Remembered {
    /// Records that all steps were run again. Earlier records of parts are obsolete then.
    pub(crate) fn set_all(&mut self, nonce: Nonce) {
        (self.all, self.spots) = (Some(nonce), Vec::new());
    }

    /// Records a part. The newest record of each part counts.
    pub(crate) fn set_spot(&mut self, spot: Spot) {
        self.spots.retain(|known| (&known.stage, &known.instruction) != (&spot.stage, &spot.instruction));
        self.spots.push(spot);
    }

    /// Merges the memory of another store. The newer record of each part counts.
    pub(crate) fn merge(&mut self, other: Self) {
        let at = |nonce: &Option<Nonce>| nonce.as_ref().map(|nonce| nonce.at);
        if at(&other.all) > at(&self.all) {
            self.all = other.all;
        }
        for spot in other.spots {
            let same = |known: &&Spot| (&known.stage, &known.instruction) == (&spot.stage, &spot.instruction);
            if self.spots.iter().find(same).is_none_or(|known| known.nonce.at < spot.nonce.at) {
                self.set_spot(spot);
            }
        }
        let asked = |packages: &Option<Packages>| packages.as_ref().map(|packages| packages.asked);
        if asked(&other.packages) > asked(&self.packages) {
            // Another machine must not name the servers that this one trusts to say that nothing is
            // new.
            self.packages = other.packages.map(|packages| Packages { sources: None, ..packages });
        }
        let all = at(&self.all);
        self.spots.retain(|spot| Some(spot.nonce.at) > all);
    }
}

/// The file of one image.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct FreshFile {
    /// [`FORMAT`] of the store that wrote it.
    pub format: u32,
    /// The image. Several images may have the same file name.
    pub image: String,
    pub platforms: BTreeMap<String, Remembered>,
}

impl FreshFile {
    /// Returns an empty one for an image.
    pub(crate) fn new(image: &str) -> Self {
        Self { format: FORMAT, image: image.to_owned(), platforms: BTreeMap::new() }
    }

    /// Reads the memory of an image, with a warning if its file is not valid.
    pub(crate) fn read(layout: &Layout, image: &str) -> (Self, Option<String>) {
        let path = layout.fresh(image);
        match parse(&path) {
            Ok(Some(file)) if file.image == image => (file, None),
            Ok(_) => (Self::new(image), None),
            Err(reason) => {
                let warning = format!(
                    "ignored which steps of {image} were run again: `{}` {reason}; a build may use the \
                     results from before",
                    path.display()
                );
                (Self::new(image), Some(warning))
            }
        }
    }

    /// Merges the file of another store.
    pub(crate) fn merge(&mut self, other: Self) {
        for (platform, remembered) in other.platforms {
            self.platforms.entry(platform).or_default().merge(remembered);
        }
    }
}

/// Reads one file. Returns `None` if it doesn't exist.
pub(crate) fn parse(path: &Path) -> Result<Option<FreshFile>, String> {
    let bytes = match files::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("cannot be read ({error})")),
    };
    let file: FreshFile = sealed::from_json(&bytes).map_err(|error| format!("is not valid ({error})"))?;
    file.validate().map_err(|error| format!("is not valid ({error})"))?;
    Ok(Some(file))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn nonce(value: u32, second: i64) -> Nonce {
        Nonce { value, at: Timestamp::from_second(second).expect("in range") }
    }

    fn spot(stage: &str, value: u32, second: i64) -> Spot {
        Spot { stage: stage.into(), instruction: None, nonce: nonce(value, second) }
    }

    #[test]
    fn nonces_are_in_range_and_differ() {
        let at =
            |n: i64| Timestamp::from_nanosecond(1_700_000_000_000_000_000 + i128::from(n)).expect("in range");
        let drawn: Vec<u32> = (0..100).map(|n| Nonce::draw(at(n), 7).value).collect();
        assert!(drawn.iter().all(|value| (1..=HIGHEST_NONCE).contains(value)));
        let distinct: std::collections::BTreeSet<_> = drawn.iter().collect();
        assert_eq!(distinct.len(), 100);
        assert_ne!(Nonce::draw(at(0), 7).value, Nonce::draw(at(0), 8).value);
    }

    #[test]
    fn all_replaces_parts_and_the_newest_of_a_part_counts() {
        let mut remembered = Remembered::default();
        remembered.set_spot(spot("a", 1, 1));
        remembered.set_spot(spot("b", 2, 2));
        remembered.set_spot(spot("a", 3, 3));
        assert_eq!(remembered.spots, [spot("b", 2, 2), spot("a", 3, 3)]);
        remembered.set_all(nonce(4, 4));
        assert_eq!(remembered, Remembered { all: Some(nonce(4, 4)), spots: vec![], packages: None });
    }

    #[test]
    fn of_two_stores_the_newer_counts_whichever_takes_in_the_other() {
        let one = Remembered {
            all: Some(nonce(1, 10)),
            spots: vec![spot("a", 2, 20), spot("b", 3, 12)],
            packages: None,
        };
        let two = Remembered { all: Some(nonce(4, 15)), spots: vec![spot("a", 5, 16)], packages: None };
        let expected = Remembered { all: Some(nonce(4, 15)), spots: vec![spot("a", 2, 20)], packages: None };
        for (mut into, from) in [(one.clone(), two.clone()), (two, one)] {
            into.merge(from);
            assert_eq!(into, expected);
        }
    }

    #[test]
    fn another_store_s_answer_has_no_sources_here() {
        let at = |second| Timestamp::from_second(second).expect("in range");
        let file = ReleaseFile { url: "http://m.test/Release".into(), sha256: "0a".repeat(32) };
        let sources = Some(Sources { key: "k".into(), files: vec![file] });
        let answer = |second| {
            let packages =
                Packages { versions: "a/1".into(), asked: at(second), next: at(9), sources: sources.clone() };
            Remembered { packages: Some(packages), ..Remembered::default() }
        };
        let mut own = answer(2);
        own.merge(answer(1));
        assert_eq!(own, answer(2), "its own stays");
        own.merge(answer(3));
        let taken = own.packages.expect("the newer one");
        assert_eq!((taken.asked, taken.sources), (at(3), None));
    }

    #[test]
    fn a_damaged_or_foreign_file_is_not_used() {
        let dir = tempfile::tempdir().expect("a directory");
        let layout = Layout::new("/r", dir.path());
        assert_eq!(FreshFile::read(&layout, "a/b"), (FreshFile::new("a/b"), None));
        let path = layout.fresh("a/b");
        fs::create_dir_all(path.parent().expect("a directory")).expect("made");
        fs::write(&path, "{").expect("written");
        let (file, warning) = FreshFile::read(&layout, "a/b");
        assert_eq!(file, FreshFile::new("a/b"));
        assert!(warning.expect("a warning").contains("of a/b were run again"));
        let mut other = FreshFile::new("a_b");
        other.platforms.insert(
            "linux/amd64".into(),
            Remembered { all: Some(nonce(1, 1)), spots: vec![], packages: None },
        );
        fs::write(&path, serde_json::to_vec(&other).expect("data")).expect("written");
        assert_eq!(FreshFile::read(&layout, "a/b"), (FreshFile::new("a/b"), None));
        assert_eq!(FreshFile::read(&layout, "a_b"), (other, None));
    }
}
