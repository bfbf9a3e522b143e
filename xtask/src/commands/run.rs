//! A plan's one call of bake, made again where that mends it: cache mounts are put back when a step is about to run that lacks
//! them, and what a registry or the engine lost is done without.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use jiff::Timestamp;

use super::{keep, registries};
use crate::cache::mount_image::RemoteMount;
use crate::cli::Session;
use crate::engine::usage::{self, Record};
use crate::exec::bake::{self, Call, Ended};
use crate::exec::budget::Budget;
use crate::exec::lock::Lock;
use crate::exec::mounts::{self, Moved, Site};
use crate::exec::registry::{self, Transport};
use crate::exec::steps;
use crate::exec::trace::{State, Trace};
use crate::plan::build::Plan;
use crate::plan::mount_plan::MountPlan;
use crate::plan::mounts::{PlannedMount, Way};
use crate::plan::step::Command;
use crate::report::watch;

/// Said where a build is made again without registries.
const UNDELIVERED: &str =
    "a registry does not deliver layers that its cache promised; building without registries";

/// A build that came to its end, and the cache mounts that were put back for it.
pub(super) struct Built {
    /// How it ended, all its calls together.
    pub ended: Ended,
    /// What was put back.
    pub put_back: Moved,
}

/// Prepares and makes the call, with its output in `log`; the store is read-locked while BuildKit may read it.
pub(super) fn bake(session: &Session, plan: &Plan, log: &Path) -> Result<Built> {
    std::fs::create_dir_all(&plan.scratch)?;
    steps::run(&plan.prepare, session.globals.verbose)?;
    let run =
        Run { session, plan, log, names: plan.targets.iter().map(|target| target.name.clone()).collect() };
    let (mut ended, put_back) = run.with_mounts()?;
    if let Some(command) = plan.without_registries.as_ref().filter(|_| ended.lacked_a_layer()) {
        eprintln!("warning: {UNDELIVERED}");
        ended = run.call(command, &|_| false)?;
        ended.trace.warnings.push(UNDELIVERED.into());
    }
    if ended.lost_a_snapshot() {
        eprintln!("warning: the engine removed a layer while it was unpacked; unpacking again");
        ended = run.call(&plan.bake, &|_| false)?;
    }
    Ok(Built { ended, put_back })
}

/// Where cache mounts are moved to and from.
pub(super) fn site<'a>(session: &'a Session, plan: &'a Plan, log: &'a Path, budget: &'a Budget) -> Site<'a> {
    Site {
        layout: &session.layout,
        log,
        now: session.host.now,
        platform: &plan.platform,
        budget,
        expected: 0,
    }
}

struct Run<'a> {
    session: &'a Session,
    plan: &'a Plan,
    log: &'a Path,
    names: Vec<String>,
}

impl Run<'_> {
    fn call(&self, command: &Command, stop: &dyn Fn(&Trace) -> bool) -> Result<Ended> {
        if self.session.globals.verbose {
            eprintln!("$ {}", command.to_shell());
        }
        let call = Call { command, targets: &self.names, log: self.log, stop };
        let _reading = Lock::shared(&self.session.layout)?;
        bake::run(&call, &mut *watch::watcher(self.session))
    }

    /// Stops the build the moment a step begins whose mounts the builder lacks and the store has, puts them back and goes on. What ran
    /// before is cached by then, and counted as what it was.
    fn with_mounts(&self) -> Result<(Ended, Moved)> {
        let started = Instant::now();
        let asked = RefCell::new(BTreeSet::new());
        // What the first call began to fill is lacking for all later ones.
        let begun = Cell::new(None);
        let mut put_back = Moved::default();
        let mut before: Option<Trace> = None;
        loop {
            let lacking = RefCell::new(Vec::new());
            let stop = |trace: &Trace| {
                begun.set(begun.get().or_else(|| trace.begun()));
                let runs = |state: &State| state.completed.is_none();
                let found = self.lacking(trace, &runs, begun.get(), &mut asked.borrow_mut());
                let is_any = !found.is_empty();
                lacking.borrow_mut().extend(found);
                is_any
            };
            let mut ended = self.call(&self.plan.bake, &stop)?;
            if let Some(before) = &before {
                ended.trace.recall(before);
            }
            let mut lacking: Vec<Lacking> = lacking.into_inner();
            let Some(carrier) = self.plan.mounts.carrier.as_ref().filter(|_| ended.stopped) else {
                ended.seconds = started.elapsed().as_secs_f64();
                return Ok((ended, put_back));
            };
            // What else had begun by the time the call ended begins again, too.
            let cut = |state: &State| state.completed.is_none() || !state.error.is_empty();
            lacking.extend(self.lacking(&ended.trace, &cut, begun.get(), &mut asked.borrow_mut()));
            let budget = keep::budget(self.session, self.plan);
            let site = site(self.session, self.plan, self.log, &budget);
            let mounts = self.fetch(lacking, &mut put_back)?;
            self.say(&mounts);
            let moved = mounts::run(&site, carrier, Way::In, &mounts, &mut watch::Quiet)?;
            moved.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
            put_back.add(moved);
            before = Some(ended.trace);
        }
    }

    fn say(&self, mounts: &[PlannedMount]) {
        let ids: Vec<&str> = mounts.iter().map(|mount| mount.identity.id.as_str()).collect();
        if !self.session.globals.json {
            eprintln!("putting back what this builder lacks: {}", ids.join(", "));
        }
    }

    /// Mounts of the plan that a step that runs now uses (one that is over already was not worth it), or one built upon it, and that the builder made for this very build. Each is
    /// looked at once; the builder is asked only where a step runs at all.
    fn lacking(
        &self,
        trace: &Trace,
        runs: &dyn Fn(&State) -> bool,
        begun: Option<Timestamp>,
        asked: &mut BTreeSet<usize>,
    ) -> Vec<Lacking> {
        let plan = &self.plan.mounts;
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
            Ok(records) => self.sources(&lacks(plan, &records, begun, &new)),
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

    /// Brings into the store what a registry has; gives all that is there then.
    fn fetch(&self, lacking: Vec<Lacking>, put_back: &mut Moved) -> Result<Vec<PlannedMount>> {
        let (env, started) = (BTreeMap::new(), Instant::now());
        let transport = transport(self.session, self.plan, self.log, &env);
        let mut mounts = Vec::new();
        for Lacking { mut mount, remote } in lacking {
            if let Some(remote) = remote {
                let (fetched, warnings) = registry::fetch_mounts(&transport, &[remote], &mut watch::Quiet)?;
                warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
                put_back.warnings.extend(warnings);
                mount.held = fetched.into_iter().next().map(|saved| saved.entry);
            }
            mounts.extend(mount.held.is_some().then_some(mount));
        }
        put_back.seconds += started.elapsed().as_secs_f64();
        Ok(mounts)
    }
}

/// A mount that the builder lacks, and the registry that has it where the store has not.
struct Lacking {
    mount: PlannedMount,
    remote: Option<RemoteMount>,
}

/// How mounts go to registries and come from there.
pub(super) fn transport<'a>(
    session: &'a Session,
    plan: &'a Plan,
    log: &'a Path,
    env: &'a BTreeMap<String, String>,
) -> Transport<'a> {
    Transport { layout: &session.layout, builder: &plan.builder, scratch: &plan.scratch, log, env }
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
