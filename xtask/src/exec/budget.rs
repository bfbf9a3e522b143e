//! Keeping the store within its budget: room is made before something is saved, what is being
//! written is watched, and what the policy does not keep goes afterwards.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Result, bail};
use jiff::Timestamp;

use super::gc;
use crate::layout::Layout;
use crate::plan::gc::{self as planning, GcPlan, Request};
use crate::store::contents::{self, Contents};
use crate::store::policy::Policy;
use crate::store::used;
use crate::text::size::show;

/// The budget of a store.
#[derive(Debug, Clone)]
pub struct Budget {
    layout: Layout,
    policy: Policy,
    now: Timestamp,
}

impl Budget {
    /// The budget of a store by a policy.
    pub fn new(layout: &Layout, policy: &Policy, now: Timestamp) -> Self {
        Self { layout: layout.clone(), policy: policy.clone(), now }
    }

    /// Makes room for so many bytes: `protect` stays if that is possible at all. An error if there
    /// is no room to be had; nothing valid is gone then. What builds hold stays.
    pub fn room_for(&self, bytes: u64, protect: &[PathBuf]) -> Result<()> {
        let bytes = with_slack(bytes);
        let request = |protect: &[PathBuf]| Request {
            policy: self.policy.clone(),
            room: bytes,
            protect: protect.to_vec(),
        };
        let contents = Contents::read(&self.layout);
        let used = contents.bytes();
        if used + bytes <= self.policy.budget {
            return Ok(());
        }
        if bytes > self.policy.budget {
            return Err(self.too_small(bytes, used));
        }
        let mut plan = planning::plan(&contents, &request(protect), self.now);
        if plan.short > 0 {
            plan = planning::plan(&contents, &request(&[]), self.now);
        }
        if plan.short == 0 {
            gc::run(&self.layout, &mut plan, self.now)?;
        }
        if plan.short > 0 || plan.after + bytes > self.policy.budget {
            return Err(self.too_small(bytes, used));
        }
        Ok(())
    }

    /// Removes what the policy does not keep; gives what went. What builds hold stays until the
    /// next time.
    pub fn enforce(&self) -> Result<GcPlan> {
        let contents = Contents::read(&self.layout);
        gc::seal(&self.layout, &contents.exposed);
        used::correct_times(&contents, self.now);
        let request = Request { policy: self.policy.clone(), ..Request::default() };
        let mut plan = planning::plan(&contents, &request, self.now);
        gc::run(&self.layout, &mut plan, self.now)?;
        Ok(plan)
    }

    /// Something to ask while a directory of the store is being written, which is expected to take
    /// so many bytes more.
    pub fn meter(&self, expected: u64, dir: &Path) -> Meter<'_> {
        let begun = contents::measure(&self.layout);
        let own = contents::measure_dir(dir);
        let looked = Looked { total: begun, own, last: own };
        Meter { budget: self, dir: dir.to_path_buf(), begun: own, expected, looked: Mutex::new(looked) }
    }

    /// What the store may take, in bytes.
    pub fn bytes(&self) -> u64 {
        self.policy.budget
    }

    fn too_small(&self, bytes: u64, used: u64) -> anyhow::Error {
        let (bytes, used, budget) = (show(bytes), show(used), show(self.policy.budget));
        anyhow::anyhow!(
            "it needs about {bytes}; the store's budget is {budget}, of which {used} are in use; raise \
             DURANGO_CACHE_BUDGET, or see `cargo xtask cache gc`"
        )
    }
}

/// What is expected is never met to the byte, and has folders and lists around it.
fn with_slack(bytes: u64) -> u64 {
    bytes + bytes / 16 + (256 << 10)
}

/// Says when the store is about to be too large. Looks at the directory that is being written; the
/// whole store, which takes long, only once that has grown by an eighth of what is left, since
/// other builds may write as well.
pub struct Meter<'a> {
    budget: &'a Budget,
    dir: PathBuf,
    /// What the directory took at first, in bytes.
    begun: u64,
    expected: u64,
    looked: Mutex<Looked>,
}

/// What was measured last, in bytes.
#[derive(Debug, Clone, Copy)]
struct Looked {
    /// The whole store, when it was looked at.
    total: u64,
    /// The directory at that time.
    own: u64,
    /// The directory when it was looked at last.
    last: u64,
}

impl Meter<'_> {
    /// Whether the store is too large, or will be the next time this is asked, going on as since
    /// the last time. Room was made for what was expected, so that much may come in one go.
    pub fn is_full(&self) -> bool {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let (own, budget) = (contents::measure_dir(&self.dir), self.budget.policy.budget);
        let grown = own.saturating_sub(looked.last);
        looked.last = own;
        let left = budget.saturating_sub(looked.total);
        if own.saturating_sub(looked.own) > left / 8 {
            (looked.total, looked.own) = (contents::measure(&self.budget.layout), own);
        }
        let now = looked.total + own.saturating_sub(looked.own);
        now > budget || (now + grown > budget && own.saturating_sub(self.begun) > with_slack(self.expected))
    }

    /// The error of what was stopped for that.
    pub fn check(&self, stopped: bool) -> Result<()> {
        if stopped {
            bail!(
                "it does not fit into the store's budget of {}; raise DURANGO_CACHE_BUDGET, or see `cargo \
                 xtask cache gc`",
                show(self.budget.bytes())
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_full_before_it_is_too_large() {
        let dir = tempfile::tempdir().expect("a directory");
        let layout = Layout::new("/r", dir.path());
        let budget =
            Budget::new(&layout, &Policy { budget: 10 << 20, ..Policy::default() }, Timestamp::UNIX_EPOCH);
        let write = |name: &str, megabytes: usize| {
            std::fs::write(dir.path().join(name), vec![1; megabytes << 20]).expect("written");
        };
        let (unknown, expected) = (budget.meter(0, dir.path()), budget.meter(8 << 20, dir.path()));
        assert!(!unknown.is_full() && !expected.is_full());
        write("a", 4);
        assert!(!unknown.is_full() && !expected.is_full(), "twice as much has room");
        write("b", 4);
        assert!(unknown.is_full(), "twice as much has no room");
        assert!(!expected.is_full(), "room was made for this");
        write("c", 4);
        assert!(expected.is_full());
        assert!(expected.check(true).is_err() && expected.check(false).is_ok());
        let error = budget.room_for(20 << 20, &[]).expect_err("too much").to_string();
        assert!(error.contains("it needs about 22.5 MB; the store's budget is 10.5 MB"), "{error}");
    }
}
