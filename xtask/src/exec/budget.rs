//! Keeps the store within its budget: reserves space for saves, and applies the policy afterwards.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;
use jiff::Timestamp;

use super::gc;
use super::reservation::Reservation;
use crate::layout::Layout;
use crate::plan::gc::{self as planning, GcPlan, Request};
use crate::process::signals;
use crate::store::contents::{self, Contents};
use crate::store::lock::Lock;
use crate::store::policy::Policy;
use crate::store::reserved::Others;
use crate::store::used;
use crate::text::size::show;

/// The longest wait for space that other saves have reserved.
const LONGEST_WAIT: Duration = Duration::from_secs(120);
/// The time after which a wait is announced.
const SILENT_WAIT: Duration = Duration::from_secs(2);
/// The time between attempts.
pub(super) const PAUSE: Duration = Duration::from_millis(100);

/// The space of new parent directories and of the reservation itself in bytes.
const SMALL_FILES: u64 = 48 << 10;

/// The number of other saves, and the bytes that they have reserved. Only a change of it can make
/// space for a save that waits.
pub(super) type Seen = (usize, u64);

/// A wait for space that other saves have reserved.
#[derive(Debug)]
pub(super) struct Wait {
    since: Instant,
    is_announced: bool,
}

impl Wait {
    pub(super) fn begin() -> Self {
        Self { since: Instant::now(), is_announced: false }
    }

    /// Returns whether it may take longer.
    pub(super) fn may_continue(&self) -> bool {
        self.since.elapsed() < LONGEST_WAIT
    }

    /// Returns true once, as soon as the wait is worth an announcement.
    pub(super) fn becomes_long(&mut self) -> bool {
        self.since.elapsed() >= SILENT_WAIT && !std::mem::replace(&mut self.is_announced, true)
    }
}

/// The budget of a store.
#[derive(Debug, Clone)]
pub struct Budget {
    pub(super) layout: Layout,
    policy: Policy,
    pub(super) now: Timestamp,
}

/// The space that a save needs.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Need<'a> {
    /// About this many bytes. These entries are kept if possible.
    Bytes(u64, &'a [PathBuf]),
    /// Space for directories that are about to be moved into the store. Files that they share with
    /// the store need none.
    Dirs(&'a [PathBuf]),
}

impl Budget {
    /// Creates the budget of a store from a policy.
    pub fn new(layout: &Layout, policy: &Policy, now: Timestamp) -> Self {
        Self { layout: layout.clone(), policy: policy.clone(), now }
    }

    /// Frees space and reserves it. Fails if the space cannot be freed, without removing a valid
    /// entry. Entries that builds hold are kept. Waits for other saves if all of them do not fit
    /// together, and announces a long wait.
    pub(crate) fn reserve(&self, need: Need<'_>, announce: &mut dyn FnMut(&str)) -> Result<Reservation<'_>> {
        let (mut wait, mut seen) = (Wait::begin(), None);
        loop {
            let may_wait = wait.may_continue();
            let others = Others::read(&self.layout, None);
            // Another attempt reads the whole store, so only a change is worth one.
            if seen != Some((others.number, others.promised)) || !may_wait {
                match self.try_reserve(need, may_wait)? {
                    Ok(reservation) => return Ok(reservation),
                    Err(now) => seen = Some(now),
                }
            }
            if wait.becomes_long() {
                announce(&self.describe_wait(others));
            }
            signals::check()?;
            std::thread::sleep(PAUSE);
        }
    }

    /// Returns what it saw of others if they have to end their saves and removals first.
    fn try_reserve(&self, need: Need<'_>, may_wait: bool) -> Result<Result<Reservation<'_>, Seen>> {
        let _lock = Lock::for_reservations(&self.layout)?;
        match self.try_free(need, None, may_wait)? {
            Ok(bytes) => Reservation::new(self, bytes).map(Ok),
            Err(seen) => Ok(Err(seen)),
        }
    }

    /// Frees space in addition to the reservations of others, and returns how much. If it has to
    /// wait for them, returns what it saw of them: a caller that looked before may have seen less,
    /// and would wait for a change that does not come. The caller has the lock of the reservations.
    pub(super) fn try_free(
        &self,
        need: Need<'_>,
        own: Option<&Path>,
        may_wait: bool,
    ) -> Result<Result<u64, Seen>> {
        let others = Others::read(&self.layout, own);
        let contents = Contents::read(&self.layout);
        let (bytes, protect) = match need {
            Need::Bytes(bytes, protect) => (with_slack(bytes), protect.to_vec()),
            Need::Dirs(dirs) => {
                let (bytes, shared) = contents.compare(dirs);
                (bytes + SMALL_FILES, shared)
            }
        };
        let can_wait = may_wait && others.number > 0;
        let is_free = self.free(&contents, (bytes, others.bytes), &protect, can_wait)?;
        Ok(if is_free { Ok(bytes) } else { Err((others.number, others.promised)) })
    }

    /// Frees space for a save, in addition to the bytes that others have reserved. Returns false if
    /// it has to wait for them.
    fn free(
        &self,
        contents: &Contents,
        (bytes, reserved): (u64, u64),
        protect: &[PathBuf],
        can_wait: bool,
    ) -> Result<bool> {
        let room = bytes.saturating_add(reserved);
        let planned = |room: u64, protect: &[PathBuf]| {
            let request = Request { policy: self.policy.clone(), room, protect: protect.to_vec() };
            planning::plan(contents, &request, self.now)
        };
        let used = contents.bytes();
        if used.saturating_add(room) <= self.bytes() {
            return Ok(true);
        }
        if bytes > self.bytes() {
            return Err(self.too_small(bytes, used));
        }
        let mut plan = planned(room, protect);
        if plan.short > 0 && can_wait && planned(bytes, &[]).short == 0 {
            return Ok(false);
        }
        if plan.short > 0 {
            plan = planned(room, &[]);
        }
        if plan.short == 0 {
            gc::run(&self.layout, &mut plan, self.now)?;
        }
        // Another process may still be removing an entry that is gone.
        let is_free =
            plan.short == 0 && contents::measure_budgeted(&self.layout).saturating_add(room) <= self.bytes();
        if !is_free && !can_wait {
            return Err(self.too_small(bytes, used));
        }
        Ok(is_free)
    }

    /// Removes entries by the policy and returns the removed ones. Entries that builds hold are
    /// kept until the next time.
    pub fn enforce(&self) -> Result<GcPlan> {
        let contents = Contents::read(&self.layout);
        gc::seal(&self.layout, &contents.exposed);
        used::correct_times(&contents, self.now);
        let request = Request { policy: self.policy.clone(), ..Request::default() };
        let mut plan = planning::plan(&contents, &request, self.now);
        gc::run(&self.layout, &mut plan, self.now)?;
        Ok(plan)
    }

    /// Returns the maximum size of the store in bytes.
    pub fn bytes(&self) -> u64 {
        self.policy.budget
    }

    /// Describes a wait for the space that others have reserved.
    pub(super) fn describe_wait(&self, others: Others) -> String {
        let (reserved, budget) = (show(others.bytes), show(self.bytes()));
        format!(
            "waiting for other builds to save: they have reserved {reserved} of the store's budget of {budget}"
        )
    }

    fn too_small(&self, bytes: u64, used: u64) -> anyhow::Error {
        let (bytes, used, budget) = (show(bytes), show(used), show(self.policy.budget));
        anyhow::anyhow!(
            "it needs about {bytes}; the store's budget is {budget}, of which {used} are in use; raise \
             DURANGO_CACHE_BUDGET, or see `cargo xtask cache gc`"
        )
    }
}

/// Adds a margin to an expected size for inaccuracy, directories and lists.
pub(super) fn with_slack(bytes: u64) -> u64 {
    bytes.saturating_add(bytes / 16).saturating_add(256 << 10)
}

#[cfg(test)]
#[path = "budget_tests.rs"]
mod tests;
