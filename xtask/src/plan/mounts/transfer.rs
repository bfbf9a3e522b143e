//! One call that moves cache mounts, and where its files are.

use std::path::PathBuf;

use super::dockerfile;
use super::{Direction, PlannedMount};
use crate::step::Command;

/// Where RUNs of this machine's own daemon reach xtask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loopback {
    /// Port of the loopback interface.
    pub port: u16,
    /// What has to be said there first.
    pub token: String,
    /// What xtask answers first: after its end, somebody else may have its port.
    pub answer: String,
}

/// What a RUN that saves does. Only over the loopback interface can it ask in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Lists what the mount holds, and packs what it is asked for.
    Whole,
    /// Lists alone.
    List,
    /// Packs alone.
    Pack,
}

/// One call that moves some mounts, one RUN each: two locked ones in one RUN deadlock (measured).
#[derive(Debug, Clone)]
pub struct Transfer {
    /// Which way.
    pub way: Direction,
    /// What RUNs do that save.
    pub part: Part,
    /// What is moved; the stage of each is `durango-N`.
    pub items: Vec<PlannedMount>,
    /// Files of the call.
    pub files: Vec<(PathBuf, String)>,
    /// Its targets.
    pub targets: Vec<String>,
    /// The call.
    pub command: Command,
    /// What is in no other call: it makes each RUN run and names what the call leaves in the
    /// builder.
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

    /// Whether the RUN of an item may ask for this.
    pub fn may(&self, verb: &str, number: usize, name: &str) -> bool {
        let known: &[&str] = match (self.way, verb) {
            (Direction::Save, "put") => &["list", "pack"],
            (Direction::Save, "get") => &["names"],
            (Direction::Restore, "get") => &["stream-0", "stream-1"],
            (Direction::Fill, "get") => &["stream-0", "stream-1", "directories"],
            _ => &[],
        };
        number < self.items.len() && known.contains(&name)
    }

    /// Whether BuildKit brings something for each item.
    pub fn has_input(&self) -> bool {
        self.loopback.is_none() && (self.way.is_in() || self.part == Part::Pack)
    }

    pub(super) fn dockerfile(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.Dockerfile"))
    }
}
