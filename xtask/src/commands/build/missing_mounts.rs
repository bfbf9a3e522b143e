//! Finds the cache mounts that a running build needs and its builder lacks. The builder is asked
//! when a step with mounts starts, only about records in use, and about all of its mounts after the
//! call has ended for that. So a build without such a step costs nothing, and no query makes a step
//! lose its mount (`disk_usage::Which`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::registries;
use crate::engine::disk_usage::{self, Record, Which};
use crate::plan::build::Plan;
use crate::plan::mounts::PlannedMount;
use crate::plan::mounts::plan::MountPlan;
use crate::progress::step_name::StepName;
use crate::progress::trace::Trace;
use crate::progress::vertex::VertexState;
use crate::session::Session;
use crate::store::mount_image::RemoteMount;

/// A mount that the builder lacks, and the registry that has it if the store doesn't.
pub(in crate::commands) struct MissingMount {
    pub mount: PlannedMount,
    /// The registry's copy.
    pub remote: Option<RemoteMount>,
}

/// Watches all calls of one build. Checks each mount once, or again if its step was over before the
/// builder answered.
pub(in crate::commands) struct MountMonitor<'a> {
    plan: &'a Plan,
    seen: Mutex<Seen>,
}

/// The state so far.
#[derive(Default)]
struct Seen {
    /// Checked mounts.
    asked: BTreeSet<usize>,
    /// Mounts that steps created while the builder was not asked about others.
    made: BTreeSet<usize>,
    /// The start of the first call. Mounts that it created are missing for all later ones.
    begun: Option<Timestamp>,
    /// The number of started steps at the last check.
    started: usize,
}

impl<'a> MountMonitor<'a> {
    /// Creates the monitor of a build whose first call has begun, or is about to.
    pub(in crate::commands) fn new(plan: &'a Plan, begun: Option<Timestamp>) -> Self {
        Self { plan, seen: Mutex::new(Seen { begun, ..Seen::default() }) }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Marks these mounts as present.
    pub(in crate::commands) fn settle(&self, mounts: impl IntoIterator<Item = usize>) {
        self.seen().asked.extend(mounts);
    }

    /// Returns unchecked mounts of running steps. It is called for each event, and makes no query.
    pub(in crate::commands) fn look(&self, trace: &Trace) -> BTreeSet<usize> {
        let mut seen = self.seen();
        seen.begun = seen.begun.or_else(|| trace.begun());
        let started = trace.steps().filter(|(state, _)| state.started.is_some()).count();
        if std::mem::replace(&mut seen.started, started) == started {
            return BTreeSet::new();
        }
        let runs = running(trace).filter(|(state, _)| state.completed.is_none());
        let own = runs.flat_map(|(state, label)| self.plan.mounts.of_step(&state.targets, label));
        own.filter(|at| seen.asked.insert(*at)).collect()
    }

    /// Returns whether the steps that use these mounts lack available ones. A step that is already
    /// over doesn't count.
    pub(in crate::commands) fn is_lacking(&self, session: &Session, new: &BTreeSet<usize>) -> bool {
        let mut made = Vec::new();
        for (at, ages) in self.ask(session, Which::InUse, new) {
            if ages.is_empty() {
                // The step has ended. The next one with this mount asks again.
                self.seen().asked.remove(&at);
            } else if !ages.contains(&true) {
                made.push(at);
            }
        }
        let can_be_had = !self.sources(session, &made).is_empty();
        self.seen().made.extend(made);
        can_be_had
    }

    /// Returns the mounts that the builder lacks after the call has ended for that: those of these
    /// steps, of other started ones, and of the stages based on them.
    pub(in crate::commands) fn lacking(&self, session: &Session, trace: &Trace) -> Vec<MissingMount> {
        let plan = &self.plan.mounts;
        let wanted = {
            let mut seen = self.seen();
            seen.started = 0;
            let mut wanted = std::mem::take(&mut seen.made);
            let cut_off =
                running(trace).filter(|(state, _)| state.completed.is_none() || !state.error.is_empty());
            for (state, label) in cut_off {
                let own = plan.of_step(&state.targets, label).into_iter();
                let all = own.chain(plan.dependents(&state.targets, label));
                wanted.extend(all.filter(|at| seen.asked.insert(*at)));
            }
            wanted
        };
        let ages = self.ask(session, Which::Mounts, &wanted).into_iter();
        let lacking: Vec<usize> = ages.filter(|(_, ages)| !ages.contains(&true)).map(|(at, _)| at).collect();
        self.sources(session, &lacking)
    }

    /// Asks about available mounts and returns the result of [`ages`].
    fn ask(&self, session: &Session, which: Which, wanted: &BTreeSet<usize>) -> Vec<(usize, Vec<bool>)> {
        let plan = &self.plan.mounts;
        let may_be_had = |at: &usize| plan.mounts[*at].held.is_some() || !plan.registries.is_empty();
        let wanted: Vec<usize> = wanted.iter().copied().filter(may_be_had).collect();
        if wanted.is_empty() || plan.template.is_none() {
            return Vec::new();
        }
        match disk_usage::read(&session.sh, &self.plan.builder, which) {
            Ok(records) => ages(plan, &records, self.seen().begun, &wanted),
            // If the builder's records are unknown, nothing is restored.
            Err(_) => Vec::new(),
        }
    }

    /// Returns the source of each mount: the store, else the first registry that has it. Skips
    /// unavailable ones.
    fn sources(&self, session: &Session, wanted: &[usize]) -> Vec<MissingMount> {
        let plan = &self.plan.mounts;
        let slug = |at: usize| plan.mounts[at].identity.slug();
        let remote: Vec<(String, String)> = wanted
            .iter()
            .filter(|at| plan.mounts[**at].held.is_none() && plan.mounts[**at].is_shared)
            .map(|at| (slug(*at), self.plan.platform.clone()))
            .collect();
        let mut found = BTreeMap::new();
        if !remote.is_empty() {
            found = registries::mounts(session, &self.plan.builder, &plan.registries, &remote);
        }
        let source = |at: &usize| {
            let mount = plan.mounts[*at].clone();
            let remote = found.remove(&slug(*at));
            (mount.held.is_some() || remote.is_some()).then_some(MissingMount { mount, remote })
        };
        wanted.iter().filter_map(source).collect()
    }
}

/// Returns started RUN steps that were not cached.
fn running(trace: &Trace) -> impl Iterator<Item = (&VertexState, &StepName)> {
    trace.steps().filter(|(state, label)| state.started.is_some() && !state.cached && label.is_run())
}

/// Returns for each mount whether its records are older than the build. The builder lacks a mount
/// without an older record. Returns nothing if the builder doesn't name its mounts, because newer
/// content must not be overwritten.
fn ages(
    plan: &MountPlan,
    records: &[Record],
    begun: Option<Timestamp>,
    wanted: &[usize],
) -> Vec<(usize, Vec<bool>)> {
    let mounts: Vec<&Record> = records.iter().filter(|record| record.kind == "exec.cachemount").collect();
    if mounts.iter().any(|record| record.mount_id().is_none()) {
        return Vec::new();
    }
    let is_older =
        |record: &&Record| record.created.is_none_or(|created| begun.is_none_or(|begun| created < begun));
    let ages_of = |at: &usize| {
        let mount = &plan.mounts[*at];
        (*at, mounts.iter().filter(|record| mount.may_be(record)).map(is_older).collect())
    };
    wanted.iter().map(ages_of).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::plan::mounts::fixtures::mount;
    use crate::project::mount::MountIdentity;

    fn record(id: &str, second: i64) -> Record {
        Record {
            id: "r".into(),
            created: Timestamp::from_second(second).ok(),
            kind: "exec.cachemount".into(),
            bytes: 1,
            mutable: true,
            reclaimable: true,
            has_parent: false,
            description: format!("cached mount /c from exec sh -c true with id \"/{id}\""),
        }
    }

    #[test]
    fn a_mount_is_lacking_where_no_record_is_older_than_the_build() {
        let mut plan = MountPlan::default();
        for id in ["a", "b"] {
            let identity = MountIdentity { id: id.into(), ..MountIdentity::default() };
            plan.mounts.push(PlannedMount { identity, target: "/c".into(), ..mount(Path::new("/s")) });
        }
        let begun = Timestamp::from_second(100).ok();
        let ask = |records: &[Record]| ages(&plan, records, begun, &[0, 1]);
        assert_eq!(ask(&[]), [(0, vec![]), (1, vec![])]);
        assert_eq!(ask(&[record("a", 99)]), [(0, vec![true]), (1, vec![])], "the builder has it");
        let both = [record("a", 101), record("b", 99)];
        assert_eq!(ask(&both), [(0, vec![false]), (1, vec![true])], "this build has just made the first");
        assert_eq!(ask(&[record("a", 99), record("a", 101)])[0], (0, vec![true, false]));
        let nameless = Record { description: "cached mount /c from exec sh".into(), ..record("a", 99) };
        assert_eq!(
            ask(&[nameless]),
            [],
            "where it does not name them, what is there must not be overwritten"
        );
    }
}
