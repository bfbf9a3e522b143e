//! Keeps the store within its budget: frees space before a save, watches a running save, and
//! applies the policy afterwards.

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
    /// Creates the budget of a store from a policy.
    pub fn new(layout: &Layout, policy: &Policy, now: Timestamp) -> Self {
        Self { layout: layout.clone(), policy: policy.clone(), now }
    }

    /// Frees space for this many bytes, and keeps `protect` if possible. Fails if the space cannot
    /// be freed, without removing a valid entry. Entries that builds hold are kept.
    pub fn room_for(&self, bytes: u64, protect: &[PathBuf]) -> Result<()> {
        self.free(&Contents::read(&self.layout), with_slack(bytes), protect)
    }

    /// Frees space for directories that are about to be moved into the store, as [`Self::room_for`]
    /// does. Files that they share with the store need none.
    pub(crate) fn room_to_admit(&self, dirs: &[PathBuf]) -> Result<()> {
        let contents = Contents::read(&self.layout);
        let (bytes, shared) = contents.compare(dirs);
        self.free(&contents, bytes, &shared)
    }

    fn free(&self, contents: &Contents, bytes: u64, protect: &[PathBuf]) -> Result<()> {
        let request = |protect: &[PathBuf]| Request {
            policy: self.policy.clone(),
            room: bytes,
            protect: protect.to_vec(),
        };
        let used = contents.bytes();
        if used + bytes <= self.policy.budget {
            return Ok(());
        }
        if bytes > self.policy.budget {
            return Err(self.too_small(bytes, used));
        }
        let mut plan = planning::plan(contents, &request(protect), self.now);
        if plan.short > 0 {
            plan = planning::plan(contents, &request(&[]), self.now);
        }
        if plan.short == 0 {
            gc::run(&self.layout, &mut plan, self.now)?;
        }
        if plan.short > 0 || plan.after + bytes > self.policy.budget {
            return Err(self.too_small(bytes, used));
        }
        Ok(())
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

    /// Returns a meter for a directory of the store that is being written and is expected to need
    /// this many more bytes.
    pub fn meter(&self, expected: u64, dir: &Path) -> Meter<'_> {
        let begun = contents::measure_budgeted(&self.layout);
        let own = contents::measure_dir(dir);
        let looked = Looked { total: begun, own, last: own };
        Meter { budget: self, dir: dir.to_path_buf(), begun: own, expected, looked: Mutex::new(looked) }
    }

    /// Returns the maximum size of the store in bytes.
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

/// Adds a margin to an expected size for inaccuracy, directories and lists.
fn with_slack(bytes: u64) -> u64 {
    bytes + bytes / 16 + (256 << 10)
}

/// Reports when the store is about to exceed its budget. Measures the directory that is being
/// written. Measures the whole store, which takes longer, only after the directory has grown by an
/// eighth of the remaining space, because other builds may write as well.
pub struct Meter<'a> {
    budget: &'a Budget,
    dir: PathBuf,
    /// The initial size of the directory in bytes.
    begun: u64,
    expected: u64,
    looked: Mutex<Looked>,
}

/// The last measured sizes in bytes.
#[derive(Debug, Clone, Copy)]
struct Looked {
    /// The size of the store at its last measurement.
    total: u64,
    /// The size of the directory at that time.
    own: u64,
    /// The last size of the directory.
    last: u64,
}

impl Meter<'_> {
    /// Returns whether the store is too large, or will be at the next call if it keeps growing at
    /// this rate. Space was freed for the expected size, so that may be written at once.
    pub fn is_full(&self) -> bool {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let (own, budget) = (contents::measure_dir(&self.dir), self.budget.policy.budget);
        let grown = own.saturating_sub(looked.last);
        looked.last = own;
        let left = budget.saturating_sub(looked.total);
        if own.saturating_sub(looked.own) > left / 8 {
            (looked.total, looked.own) = (contents::measure_budgeted(&self.budget.layout), own);
        }
        let now = looked.total + own.saturating_sub(looked.own);
        now > budget || (now + grown > budget && own.saturating_sub(self.begun) > with_slack(self.expected))
    }

    /// Returns an error if the call was stopped for this reason.
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
    use crate::exec::scratch::Scratch;

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

    #[test]
    fn a_bundle_in_transit_counts_only_after_its_process_is_gone() {
        let dir = tempfile::tempdir().expect("a directory");
        let layout = Layout::new("/r", dir.path());
        let now = Timestamp::now();
        let budget = Budget::new(&layout, &Policy { budget: 4 << 20, ..Policy::default() }, now);
        let is_full = || {
            let meter = budget.meter(0, &layout.all_layers());
            let is_full = meter.is_full();
            assert_eq!(budget.room_for(1 << 20, &[]).is_err(), is_full);
            is_full
        };
        for purpose in [contents::IMPORT, contents::EXPORT, ""] {
            let scratch = Scratch::new(&layout, now, purpose).expect("made");
            std::fs::write(scratch.dir().join("base.tar"), vec![1; 5 << 20]).expect("written");
            assert_eq!(is_full(), purpose.is_empty(), "{purpose}");
            assert!(contents::measure(&layout) > 5 << 20);
        }
        // A killed import holds nothing, and names a process that is gone.
        let left = layout.tmp().join("20260101-000000-1-import");
        std::fs::create_dir_all(&left).expect("made");
        std::fs::write(left.join("base.tar"), vec![1; 5 << 20]).expect("written");
        let hour = std::time::Duration::from_secs(7200);
        let old = std::time::SystemTime::now() - hour;
        std::fs::File::open(&left).expect("opened").set_modified(old).expect("set");
        assert!(contents::measure_budgeted(&layout) > 5 << 20);
        budget.room_for(1 << 20, &[]).expect("what was left is removed");
        assert!(!left.exists());
    }

    #[test]
    fn a_save_measures_the_whole_store_only_as_it_grows() {
        let dir = tempfile::tempdir().expect("a directory");
        let layout = Layout::new("/r", dir.path());
        let budget =
            Budget::new(&layout, &Policy { budget: 10 << 20, ..Policy::default() }, Timestamp::UNIX_EPOCH);
        let own = dir.path().join("own");
        std::fs::create_dir(&own).expect("made");
        let meter = budget.meter(5 << 20, &own);
        std::fs::write(dir.path().join("other"), vec![1; 12 << 20]).expect("written");
        assert!(!meter.is_full(), "another build's writes are not measured each time");
        std::fs::write(own.join("a"), vec![1; 1 << 20]).expect("written");
        assert!(!meter.is_full(), "less than an eighth of the space");
        std::fs::write(own.join("b"), vec![1; 1 << 20]).expect("written");
        assert!(meter.is_full(), "then they are");
    }
}
