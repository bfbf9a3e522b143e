//! One call that transfers cache mounts, and the paths of its files.

use std::path::PathBuf;

use super::{Direction, PlannedMount};
use crate::step::Command;

/// The directory with the output of a RUN, with a subdirectory per item. It is empty if xtask is
/// reached over the loopback interface.
pub(super) const OUT: &str = "/durango/out";

/// The address of xtask for RUNs of this machine's own daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loopback {
    /// The port of the loopback interface.
    pub port: u16,
    /// The text that a client sends first.
    pub token: String,
    /// The first answer of xtask. After its end, another program may get its port.
    pub answer: String,
}

/// The work of a RUN that saves. It can ask xtask in between only over the loopback interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Lists the files of the mount, and packs the requested ones.
    Whole,
    /// Only lists.
    List,
    /// Only packs.
    Pack,
}

/// One call that transfers some mounts, with one RUN each: two locked mounts in one RUN deadlock
/// (measured).
#[derive(Debug, Clone)]
pub struct Transfer {
    /// The direction.
    pub direction: Direction,
    /// The work of RUNs that save.
    pub part: Part,
    /// The mounts; the stage of each is `durango-N`.
    pub items: Vec<PlannedMount>,
    /// Files of the call.
    pub files: Vec<(PathBuf, String)>,
    /// Its targets.
    pub targets: Vec<String>,
    /// The call.
    pub command: Command,
    /// A text that no other call has. It makes each RUN run, and names the remains of the call in
    /// the builder.
    pub nonce: String,
    /// Its directory.
    pub dir: PathBuf,
    /// The address for the input and output of its RUNs. Without it BuildKit transfers them.
    pub loopback: Option<Loopback>,
}

impl Transfer {
    /// Returns an empty context.
    pub fn empty(&self) -> PathBuf {
        self.dir.join("empty")
    }

    /// Returns the output directory of the stages.
    pub fn out(&self) -> PathBuf {
        self.dir.join("out")
    }

    /// Returns the output directory of one item.
    pub fn result(&self, number: usize) -> PathBuf {
        self.out().join(OUT.trim_start_matches('/')).join(number.to_string())
    }

    /// Returns the input directory of one item.
    pub fn input(&self, number: usize) -> PathBuf {
        self.dir.join("in").join(number.to_string())
    }

    /// Returns whether the RUN of an item may make this request.
    pub fn may(&self, verb: &str, number: usize, name: &str) -> bool {
        let known: &[&str] = match (self.direction, verb) {
            (Direction::Save, "put") => &["list", "pack"],
            (Direction::Save, "get") => &["names"],
            (Direction::Restore, "get") => &["stream-0", "stream-1"],
            (Direction::Fill, "get") => &["stream-0", "stream-1", "directories"],
            _ => &[],
        };
        number < self.items.len() && known.contains(&name)
    }

    /// Returns whether BuildKit provides input for each item.
    pub fn has_input(&self) -> bool {
        self.loopback.is_none() && (self.direction.is_restore() || self.part == Part::Pack)
    }

    pub(super) fn dockerfile(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.Dockerfile"))
    }
}
