//! Keeping the store within its budget: room is made before something is saved, what is being written is watched, and what the
//! policy does not keep goes afterwards.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, bail};
use jiff::Timestamp;

use super::gc;
use crate::layout::Layout;
use crate::plan::gc::{self as planning, GcPlan, Request};
use crate::store::contents::{self, Contents};
use crate::store::lock::Lock;
use crate::store::policy::Policy;
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

    /// Makes room for so many bytes: `protect` stays if that is possible at all. An error where there is no room to be had; nothing
    /// valid is gone then. Hold no lock of the store when calling this: it takes the exclusive one where something has to go.
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
        let gentle = planning::plan(&contents, &request(protect), self.now);
        let protect = if gentle.short == 0 { protect } else { &[] };
        if self.execute(&request(protect))?.short > 0 {
            return Err(self.too_small(bytes, used));
        }
        Ok(())
    }

    /// Removes what the policy does not keep; gives what went. Nothing goes while another build reads the store: that one
    /// does the same at its end.
    pub fn enforce(&self) -> Result<GcPlan> {
        let request = Request { policy: self.policy.clone(), ..Request::default() };
        let list = || planning::plan(&Contents::read(&self.layout), &request, self.now);
        let plan = list();
        if plan.removals.is_empty() {
            return Ok(plan);
        }
        let Some(_lock) = Lock::exclusive_now(&self.layout)? else {
            return Ok(GcPlan { removals: Vec::new(), ..plan });
        };
        let plan = list();
        gc::run(&self.layout, &plan, self.now)?;
        Ok(plan)
    }

    /// Something to ask while the store is being written by something that is expected to take so many bytes.
    pub fn meter(&self, expected: u64) -> Meter<'_> {
        let begun = contents::measure(&self.layout);
        Meter { budget: self, begun, expected, last: AtomicU64::new(begun) }
    }

    /// What the store may take, in bytes.
    pub fn bytes(&self) -> u64 {
        self.policy.budget
    }

    /// The list is made under the lock that it is executed under.
    fn execute(&self, request: &Request) -> Result<GcPlan> {
        let _lock = Lock::exclusive(&self.layout)?;
        let plan = planning::plan(&Contents::read(&self.layout), request, self.now);
        gc::run(&self.layout, &plan, self.now)?;
        Ok(plan)
    }

    fn too_small(&self, bytes: u64, used: u64) -> anyhow::Error {
        let (bytes, used, budget) = (show(bytes), show(used), show(self.policy.budget));
        anyhow::anyhow!(
            "it takes about {bytes}, and the store may take {budget}, of which {used} are in use; \
             raise DURANGO_CACHE_BUDGET, or see `cargo xtask cache gc`"
        )
    }
}

/// What is expected is never met to the byte, and has folders and lists around it.
fn with_slack(bytes: u64) -> u64 {
    bytes + bytes / 16 + (256 << 10)
}

/// Says when the store is about to be too large.
pub struct Meter<'a> {
    budget: &'a Budget,
    begun: u64,
    expected: u64,
    last: AtomicU64,
}

impl Meter<'_> {
    /// Whether the store is too large, or will be the next time this is asked, going on as since the last time. Room was made for
    /// what was expected, so that much may come in one go.
    pub fn is_full(&self) -> bool {
        let now = contents::measure(&self.budget.layout);
        let grown = now.saturating_sub(self.last.swap(now, Ordering::Relaxed));
        let budget = self.budget.policy.budget;
        now > budget || (now + grown > budget && now.saturating_sub(self.begun) > with_slack(self.expected))
    }

    /// The error of what was stopped for that.
    pub fn check(&self, stopped: bool) -> Result<()> {
        if stopped {
            bail!(
                "it does not fit into the {} that the store may take; raise DURANGO_CACHE_BUDGET, or see `cargo xtask cache gc`",
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
        let dir = tempfile::tempdir().expect("a folder");
        let layout = Layout::new("/r", dir.path());
        let budget =
            Budget::new(&layout, &Policy { budget: 10 << 20, ..Policy::default() }, Timestamp::UNIX_EPOCH);
        let write = |name: &str, megabytes: usize| {
            std::fs::write(dir.path().join(name), vec![1; megabytes << 20]).expect("written");
        };
        let (unknown, expected) = (budget.meter(0), budget.meter(8 << 20));
        assert!(!unknown.is_full() && !expected.is_full());
        write("a", 4);
        assert!(!unknown.is_full() && !expected.is_full(), "once more as much has room");
        write("b", 4);
        assert!(unknown.is_full(), "once more as much has none");
        assert!(!expected.is_full(), "room was made for this");
        write("c", 4);
        assert!(expected.is_full());
        assert!(expected.check(true).is_err() && expected.check(false).is_ok());
        let error = budget.room_for(20 << 20, &[]).expect_err("too much").to_string();
        assert!(error.contains("it takes about 22.5 MB, and the store may take 10.5 MB"), "{error}");
    }
}
