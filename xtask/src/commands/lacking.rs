//! Which cache mounts a running build needs and its builder lacks. The builder is asked when a step with mounts starts and at no
//! other time: a build in which none runs pays nothing.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::registries;
use crate::cache::mount_image::RemoteMount;
use crate::cli::Session;
use crate::engine::usage::{self, Record};
use crate::exec::trace::{State, Trace};
use crate::plan::build::Plan;
use crate::plan::mount_plan::MountPlan;
use crate::plan::mounts::PlannedMount;

/// A mount that the builder lacks, and the registry that has it where the store has not.
pub(super) struct Lacking {
    /// The mount.
    pub mount: PlannedMount,
    /// Where it is to be fetched from.
    pub remote: Option<RemoteMount>,
}

/// Watches all calls of one build. Each mount is looked at once.
pub(super) struct Lookout<'a> {
    session: &'a Session,
    plan: &'a Plan,
    asked: RefCell<BTreeSet<usize>>,
    /// When the first call began: what it began to fill is lacking for all later ones.
    begun: Cell<Option<Timestamp>>,
    /// How many steps of the call had started when it was looked at last.
    started: Cell<usize>,
}

impl<'a> Lookout<'a> {
    /// Of a build that is about to begin.
    pub(super) fn new(session: &'a Session, plan: &'a Plan) -> Self {
        let (asked, begun, started) = (RefCell::default(), Cell::new(None), Cell::new(0));
        Self { session, plan, asked, begun, started }
    }

    /// What steps lack that run now; one that is over already was not worth it.
    pub(super) fn lacking(&self, trace: &Trace) -> Vec<Lacking> {
        self.begun.set(self.begun.get().or_else(|| trace.begun()));
        let started = trace.steps().filter(|(state, _)| state.started.is_some()).count();
        if self.started.replace(started) == started {
            return Vec::new();
        }
        self.look(trace, &|state| state.completed.is_none())
    }

    /// What those lack that had begun as well when the call ended, and begin again.
    pub(super) fn cut_off(&self, trace: &Trace) -> Vec<Lacking> {
        self.started.set(0);
        self.look(trace, &|state| state.completed.is_none() || !state.error.is_empty())
    }

    /// Mounts of steps and of the stages built upon theirs that the builder made for this very build.
    fn look(&self, trace: &Trace, runs: &dyn Fn(&State) -> bool) -> Vec<Lacking> {
        let plan = &self.plan.mounts;
        let mut asked = self.asked.borrow_mut();
        let mut wanted = BTreeSet::new();
        for (state, label) in trace.steps() {
            if state.started.is_some() && !state.cached && label.is_run() && runs(state) {
                let own = plan.of_step(&state.targets, label);
                if own.iter().any(|at| !asked.contains(at)) {
                    wanted.extend(own.into_iter().chain(plan.upon(&state.targets, label)));
                }
            }
        }
        let may_be_had = |at: &usize| plan.mounts[*at].held.is_some() || !plan.registries.is_empty();
        let new: Vec<usize> = wanted.into_iter().filter(|at| asked.insert(*at) && may_be_had(at)).collect();
        if new.is_empty() || plan.carrier.is_none() {
            return Vec::new();
        }
        match usage::read(&self.session.sh, &self.plan.builder) {
            Ok(records) => self.sources(&lacks(plan, &records, self.begun.get(), &new)),
            // A builder that does not say what it holds keeps what it has.
            Err(_) => Vec::new(),
        }
    }

    /// Where each of them can be had: the store, else the first registry that has it. Those that cannot be had are left out.
    fn sources(&self, wanted: &[usize]) -> Vec<Lacking> {
        let plan = &self.plan.mounts;
        let slug = |at: usize| plan.mounts[at].identity.slug();
        let remote: Vec<(String, String)> = wanted
            .iter()
            .filter(|at| plan.mounts[**at].held.is_none())
            .map(|at| (slug(*at), self.plan.platform.clone()))
            .collect();
        let mut found = BTreeMap::new();
        if !remote.is_empty() {
            found = registries::mounts(self.session, &self.plan.builder, &plan.registries, &remote);
        }
        let source = |at: &usize| {
            let mount = plan.mounts[*at].clone();
            let remote = found.remove(&slug(*at));
            (mount.held.is_some() || remote.is_some()).then_some(Lacking { mount, remote })
        };
        wanted.iter().filter_map(source).collect()
    }
}

/// Those of which the builder has no record that is older than the build. Where it does not name its mounts, none is lacking: what is
/// there must not be overwritten by what is older.
fn lacks(plan: &MountPlan, records: &[Record], begun: Option<Timestamp>, wanted: &[usize]) -> Vec<usize> {
    let mounts: Vec<&Record> = records.iter().filter(|record| record.kind == "exec.cachemount").collect();
    if mounts.iter().any(|record| record.mount_id().is_none()) {
        return Vec::new();
    }
    let is_held = |at: usize| {
        let id = plan.mounts[at].builder_id();
        let older =
            |record: &Record| record.created.is_none_or(|created| begun.is_none_or(|begun| created < begun));
        mounts.iter().any(|record| record.mount_id() == Some(&id) && older(record))
    };
    wanted.iter().copied().filter(|at| !is_held(*at)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::mount::{MountIdentity, Sharing};

    fn record(id: &str, second: i64) -> Record {
        Record {
            id: "r".into(),
            created: Timestamp::from_second(second).ok(),
            kind: "exec.cachemount".into(),
            bytes: 1,
            mutable: true,
            reclaimable: true,
            description: format!("cached mount /c from exec sh -c true with id \"/{id}\""),
        }
    }

    #[test]
    fn a_mount_is_lacking_where_no_record_is_older_than_the_build() {
        let mut plan = MountPlan::default();
        for id in ["a", "b"] {
            plan.mounts.push(PlannedMount {
                dir: "/s".into(),
                identity: MountIdentity { id: id.into(), ..MountIdentity::default() },
                sharing: Sharing::Shared,
                target: "/c".into(),
                held: None,
                uses: Vec::new(),
            });
        }
        let begun = Timestamp::from_second(100).ok();
        let ask = |records: &[Record]| lacks(&plan, records, begun, &[0, 1]);
        assert_eq!(ask(&[]), [0, 1]);
        assert_eq!(ask(&[record("a", 99)]), [1], "the builder has it");
        assert_eq!(ask(&[record("a", 101), record("b", 99)]), [0], "this build has just made it");
        assert_eq!(ask(&[record("a", 99), record("a", 101)]), [1]);
        let nameless = Record { description: "cached mount /c from exec sh".into(), ..record("a", 99) };
        assert_eq!(
            ask(&[nameless]),
            [0; 0],
            "where it does not name them, what is there must not be overwritten"
        );
    }
}
