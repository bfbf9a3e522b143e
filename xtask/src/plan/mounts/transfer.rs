//! One call that moves cache mounts, and where its files are.

use std::path::PathBuf;

use super::dockerfile;
use super::{Direction, PlannedMount};
use crate::step::Command;
use crate::store::layout_check;

/// Where RUNs of this machine's own daemon reach xtask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loopback {
    /// Port of the loopback interface.
    pub port: u16,
    /// What has to be said there first.
    pub token: String,
}

/// One call that moves some mounts, one RUN each: two locked ones in one RUN deadlock (measured).
#[derive(Debug, Clone)]
pub struct Transfer {
    /// Which way.
    pub way: Direction,
    /// What is moved; the stage of each is `durango-N`.
    pub items: Vec<PlannedMount>,
    /// Files of the call.
    pub files: Vec<(PathBuf, String)>,
    /// Blobs of the store that the call reads, as (blob, link).
    pub links: Vec<(PathBuf, PathBuf)>,
    /// Its targets.
    pub targets: Vec<String>,
    /// The call.
    pub command: Command,
    /// What is in no other call: it makes each RUN run and names what the call leaves in the builder.
    pub nonce: String,
    /// Its folder.
    pub dir: PathBuf,
    /// Where its RUNs get and leave all but the scripts; BuildKit carries it where there is none.
    pub loopback: Option<Loopback>,
}

impl Transfer {
    /// A context with nothing in it.
    pub fn empty(&self) -> PathBuf {
        self.dir.join("empty")
    }

    /// Where a stage's results arrive.
    pub fn out(&self) -> PathBuf {
        self.dir.join("out")
    }

    /// Where the result of one item arrives.
    pub fn result(&self, number: usize) -> PathBuf {
        self.out().join(dockerfile::OUT.trim_start_matches('/')).join(number.to_string())
    }

    /// What the RUN of one item reads.
    pub fn input(&self, number: usize) -> PathBuf {
        self.dir.join("in").join(number.to_string())
    }

    /// Whether an item may have a file of this name.
    pub fn may_have(&self, number: &str, name: &str) -> bool {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-.".contains(c);
        number.parse::<usize>().is_ok_and(|number| number < self.items.len())
            && name.chars().all(is_plain)
            && !name.starts_with('.')
    }

    pub(super) fn dockerfile(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.Dockerfile"))
    }

    /// Gives the item's RUN what it reads.
    pub(super) fn link(&mut self, number: usize, mount: &PlannedMount) {
        let previous = match self.way {
            Direction::Save => mount.previous(),
            Direction::Restore => mount.held.as_ref(),
        };
        let Some(entry) = previous else { return };
        let at = self.input(number);
        let blob = |digest: &str| layout_check::blobs(&mount.dir).join(digest);
        self.links.push((blob(&entry.manifest.digest), at.join("manifest.zst")));
        if self.way == Direction::Restore {
            let packs = entry.packs.iter().enumerate();
            self.links.extend(
                packs.map(|(index, pack)| (blob(&pack.digest), at.join(format!("pack-{index:03}.zst")))),
            );
        }
    }
}
