//! Transfers cache mounts between the builder and the store. A failure of one mount leaves the
//! store and the builder unchanged.

mod announcing;
mod arrived;
mod call;
mod codec;
pub(crate) mod incoming;
pub(crate) mod loopback;
mod mount_transfer;
mod outgoing;
pub(crate) mod pack;
mod pack_server;
mod sink;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use anyhow::Result;
use jiff::Timestamp;

use self::mount_transfer::MountTransfer;
use super::budget::Budget;
use crate::layout::Layout;
use crate::plan::mounts::{Direction, PlannedMount, TransferTemplate};
use crate::process::signals;
use crate::progress::Watcher;
use crate::record::log::Log;
use crate::store::mount::MountEntry;

/// The environment of a transfer.
pub struct TransferContext<'a> {
    /// The store.
    pub layout: &'a Layout,
    /// The log of the build.
    pub log: &'a Log,
    /// The current time.
    pub now: Timestamp,
    /// The platform of the builder.
    pub platform: &'a str,
    /// The limit of the store.
    pub budget: &'a Budget,
}

/// The result of one transfer.
#[derive(Debug, Default)]
pub struct TransferResult {
    /// Mounts that were restored, or whose save is up to date, with the number of bytes of new
    /// packs.
    pub done: Vec<(MountEntry, u64)>,
    /// The failures.
    pub warnings: Vec<String>,
    /// The total time.
    pub seconds: f64,
}

/// Mounts that are left out of a transfer, by number, with a warning if there is a reason for one.
type Skipped = BTreeMap<usize, Option<String>>;

impl TransferResult {
    /// Adds the result of another transfer of the same build.
    pub fn add(&mut self, other: Self) {
        self.done.extend(other.done);
        self.warnings.extend(other.warnings);
        self.seconds += other.seconds;
    }

    /// Removes mounts from a transfer, with their warnings.
    fn skip(&mut self, mounts: Skipped, skipped: &mut BTreeSet<usize>) {
        skipped.extend(mounts.keys());
        self.warnings.extend(mounts.into_values().flatten());
    }
}

/// Transfers mounts. Failures become warnings; only Ctrl-C is an error.
pub fn run(
    context: &TransferContext<'_>,
    template: &TransferTemplate,
    direction: Direction,
    mounts: &[PlannedMount],
    watcher: &mut dyn Watcher,
) -> Result<TransferResult> {
    let started = Instant::now();
    // A separate one for each transfer, because a build may have several.
    let nonce = format!("{:x}-{:x}", Timestamp::now().as_nanosecond(), std::process::id());
    let mut result = TransferResult::default();
    let done = MountTransfer { context, template, direction, mounts, nonce }.run(watcher, &mut result);
    signals::check()?;
    if let Err(error) = done {
        let verb = if direction.is_restore() { "restored" } else { "saved" };
        result.warnings.push(format!("the cache mounts are not {verb}: {error:#}"));
    }
    result.seconds = started.elapsed().as_secs_f64();
    Ok(result)
}
