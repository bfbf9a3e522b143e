//! What was asked to run again, remembered: `fresh/<image>.json` in the store, and in bundles as it is. BuildKit still holds
//! the results from before; a build finds the new ones only by repeating what set them apart, on every machine.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::key::FORMAT;
use super::validate::Validate;
use crate::layout::Layout;

/// A number that sets one run of a step apart from those before, and when it was drawn.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct Nonce {
    /// From 1 to [`MOST`].
    pub value: u32,
    /// When.
    pub at: Timestamp,
}

/// The highest nonce: as many bytes more of `/dev/shm` harm nobody.
pub(crate) const MOST: u32 = 1 << 22;

impl Nonce {
    /// One for this moment; processes of one moment draw different ones.
    pub(crate) fn draw(now: Timestamp, process: u32) -> Self {
        let mixed =
            (now.as_nanosecond() as u64 ^ u64::from(process) << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let value = u32::try_from(mixed >> 42).unwrap_or_default();
        Self { value: value % MOST + 1, at: now }
    }
}

/// A stage, or one RUN of it, that was run again.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct Spot {
    /// The stage.
    pub stage: String,
    /// The instruction in one line; the whole stage where there is none.
    pub instruction: Option<String>,
    /// What sets it apart.
    pub nonce: Nonce,
}

/// What is remembered of one image on one platform.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct Remembered {
    /// All steps, as of the last `--no-cache`.
    pub all: Option<Nonce>,
    /// Stages and steps since.
    pub spots: Vec<Spot>,
    /// The versions of Debian packages that it is built with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packages: Option<Packages>,
}

/// The versions of Debian packages that a mirror had.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct Packages {
    /// `NAME/VERSION`, separated by blanks.
    pub versions: String,
    /// When it was asked.
    pub asked: Timestamp,
    /// When it is to be asked again.
    pub next: Timestamp,
}

impl Remembered {
    /// Remembers that all was run again: what was remembered of parts is of no use any more.
    pub(crate) fn set_all(&mut self, nonce: Nonce) {
        (self.all, self.spots) = (Some(nonce), Vec::new());
    }

    /// Remembers a part; the newest of each counts.
    pub(crate) fn set_spot(&mut self, spot: Spot) {
        self.spots.retain(|known| (&known.stage, &known.instruction) != (&spot.stage, &spot.instruction));
        self.spots.push(spot);
    }

    /// Takes in what another store remembers; of each the newer counts.
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
            self.packages = other.packages;
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
    /// The image: names that differ may give one file name.
    pub image: String,
    /// By platform.
    pub platforms: BTreeMap<String, Remembered>,
}

impl FreshFile {
    /// One of an image of which nothing is remembered.
    pub(crate) fn new(image: &str) -> Self {
        Self { format: FORMAT, image: image.to_owned(), platforms: BTreeMap::new() }
    }

    /// What the store remembers of an image; a warning where its file is not what it should be.
    pub(crate) fn read(layout: &Layout, image: &str) -> (Self, Option<String>) {
        let path = layout.fresh(image);
        match parse(&path) {
            Ok(Some(file)) if file.image == image => (file, None),
            Ok(_) => (Self::new(image), None),
            Err(reason) => {
                let warning = format!(
                    "what was run again of {image} is forgotten: `{}` {reason}; a build may find results from before",
                    path.display()
                );
                (Self::new(image), Some(warning))
            }
        }
    }

    /// Takes in the file of another store.
    pub(crate) fn merge(&mut self, other: Self) {
        for (platform, remembered) in other.platforms {
            self.platforms.entry(platform).or_default().merge(remembered);
        }
    }
}

/// Reads one file; `None` where there is none.
pub(crate) fn parse(path: &Path) -> Result<Option<FreshFile>, String> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("cannot be read ({error})")),
    };
    let file: FreshFile =
        serde_json::from_slice(&bytes).map_err(|error| format!("is not what it should be ({error})"))?;
    file.validate().map_err(|error| format!("is not what it should be ({error})"))?;
    Ok(Some(file))
}

#[cfg(test)]
mod tests {
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
        assert!(drawn.iter().all(|value| (1..=MOST).contains(value)));
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
    fn a_damaged_or_foreign_file_is_not_used() {
        let dir = tempfile::tempdir().expect("a folder");
        let layout = Layout::new("/r", dir.path());
        assert_eq!(FreshFile::read(&layout, "a/b"), (FreshFile::new("a/b"), None));
        let path = layout.fresh("a/b");
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(&path, "{").expect("written");
        let (file, warning) = FreshFile::read(&layout, "a/b");
        assert_eq!(file, FreshFile::new("a/b"));
        assert!(warning.expect("a warning").contains("a/b is forgotten"));
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
