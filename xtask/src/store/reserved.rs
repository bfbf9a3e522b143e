//! Space of the store that running saves have reserved and not yet filled. A reservation is a
//! scratch directory with a document. It counts only while its process holds the directory.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::contents::{self, GC, RESERVED};
use super::entry::subdirectories;
use crate::files::{self, Durability};
use crate::layout::Layout;

/// The document in the directory of a reservation.
const FILE: &str = "reserved.json";

/// The reserved space of one save.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reserved {
    /// The bytes that it may add to the store.
    pub bytes: u64,
    /// The directory that it fills; `None` before it begins.
    pub dir: Option<PathBuf>,
    /// The size of the directory when it began.
    pub begun: u64,
}

impl Reserved {
    /// Writes the document.
    pub(crate) fn write(&self, scratch: &Path) -> anyhow::Result<()> {
        Ok(files::write(&scratch.join(FILE), &serde_json::to_vec(self)?, Durability::Quick)?)
    }

    fn read(scratch: &Path) -> Option<Self> {
        serde_json::from_slice(&files::read(&scratch.join(FILE)).ok()?).ok()
    }

    /// Returns the bytes that are written.
    pub(crate) fn written(&self) -> u64 {
        self.dir.as_deref().map_or(0, contents::measure_dir).saturating_sub(self.begun)
    }

    /// Returns the bytes that are still to be written.
    fn left(&self) -> u64 {
        self.bytes.saturating_sub(self.written())
    }
}

/// The work of other processes that changes how much space is free.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Others {
    /// The bytes that other saves have reserved and not yet filled.
    pub bytes: u64,
    /// The bytes that they had reserved before they filled any. Unlike [`Self::bytes`], it changes
    /// only when a save begins, ends, or reserves more.
    pub promised: u64,
    /// The number of running saves and removals.
    pub number: usize,
}

impl Others {
    /// Reads the reservations of a store, except those in `own`. The size of the store is to be
    /// measured afterwards, so that bytes that are written meanwhile count twice and not never.
    pub(crate) fn read(layout: &Layout, own: Option<&Path>) -> Self {
        let mut others = Self::default();
        for dir in subdirectories(&layout.tmp()).into_iter().filter(|dir| own != Some(dir)) {
            let is = |purpose| contents::is_scratch_for(&dir, purpose);
            if !(is(RESERVED) || is(GC)) || !contents::is_held(&dir) {
                continue;
            }
            others.number += 1;
            let reserved = Reserved::read(&dir).unwrap_or_default();
            others.bytes = others.bytes.saturating_add(reserved.left());
            others.promised = others.promised.saturating_add(reserved.bytes);
        }
        others
    }
}
