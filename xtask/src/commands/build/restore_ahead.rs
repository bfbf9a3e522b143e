//! Restores cache mounts before the build starts, so that every step starts with its mount: those
//! of the steps that, by the forecast, will or may run. The watch of the running build
//! ([`super::missing_mounts`]) handles what a forecast cannot know.

use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::engine::disk_usage::{self, Record, Which};
use crate::forecast::{Forecast, PredictedState};
use crate::layout::Layout;
use crate::live::SharedForecast;
use crate::plan::build::Plan;
use crate::plan::mounts::plan::MountPlan;
use crate::process::signals;
use crate::process::stdio::errln;
use crate::session::Session;

/// The timeout for the forecast. One that reads gigabytes of contexts for the first time takes
/// longer, and is not worth the wait.
const FORECAST_TIMEOUT: Duration = Duration::from_secs(5);

/// The timeout for another build that restores mounts.
const LONGEST_TURN: Duration = Duration::from_secs(120);

/// The mounts to restore, as indexes in the plan.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ahead {
    /// Mounts that the builder certainly lacks and that are never empty, because they begin as a
    /// copy.
    pub(super) seeded: Vec<usize>,
    /// Mounts that it seems to lack. They are restored if they turn out to be empty.
    pub(super) empty: Vec<usize>,
}

/// Finds the mounts to restore, and prevents other builds from restoring the same ones. Asks the
/// builder only if a step with a mount of the store will run.
pub(super) fn find(
    session: &Session,
    plan: &Plan,
    forecast_slot: &SharedForecast,
) -> Result<Option<(Ahead, Option<File>)>> {
    let mounts = &plan.mounts;
    let can_restore = mounts.carrier.is_some() && mounts.mounts.iter().any(|mount| mount.held.is_some());
    if !can_restore {
        return Ok(None);
    }
    let begun = Instant::now();
    while forecast_slot.provisional.get().is_none() && begun.elapsed() < FORECAST_TIMEOUT {
        signals::check()?;
        std::thread::sleep(Duration::from_millis(2));
    }
    let Some(forecast) = forecast_slot.provisional.get() else { return Ok(None) };
    let wanted = wanted(mounts, forecast);
    if wanted.is_empty() {
        return Ok(None);
    }
    let turn = turn(&session.layout)?;
    // While a builder measures a mount, a step that begins gets another one. So its mounts are
    // queried only while no other build uses any.
    let ask = |which| disk_usage::read(&session.sh, &plan.builder, which);
    let Ok(used) = ask(Which::InUse) else { return Ok(None) };
    let is_busy = used.iter().any(|record| record.kind == "exec.cachemount");
    let Ok(held) = (if is_busy { Ok(None) } else { ask(Which::Mounts).map(Some) }) else { return Ok(None) };
    Ok(Some((choose(mounts, &wanted, &used, held.as_deref()), turn)))
}

/// Waits for another build of this machine that restores mounts, which may be the same ones. The
/// turn ends when the returned value is dropped.
fn turn(layout: &Layout) -> Result<Option<File>> {
    let Ok(dir) = File::open(layout.all_mounts()) else { return Ok(None) };
    let begun = Instant::now();
    let mut is_said = false;
    loop {
        match dir.try_lock() {
            Ok(()) => return Ok(Some(dir)),
            Err(TryLockError::WouldBlock) if begun.elapsed() < LONGEST_TURN => {}
            // On a file system without locks, builds don't wait for each other.
            Err(_) => return Ok(None),
        }
        if !is_said && begun.elapsed() > Duration::from_secs(1) {
            is_said = true;
            errln!("waiting for another build that is restoring cache mounts");
        }
        signals::check()?;
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Returns mounts of the store that steps will or may need. The forecast doesn't know which steps
/// of a target run if a registry has its layers.
fn wanted(plan: &MountPlan, forecast: &Forecast) -> BTreeSet<usize> {
    let runs = |target: &str, stage: &str, instruction: &str| {
        forecast.steps.iter().any(|step| {
            step.forecast.state != PredictedState::Cached
                && (step.target.as_str(), step.stage.as_str(), step.instruction.as_str())
                    == (target, stage, instruction)
        })
    };
    let is_known = |target: &str| plan.registries.iter().all(|held| held.reads(target).is_empty());
    let is_wanted = |at: &usize| {
        let mount = &plan.mounts[*at];
        let mut uses = mount.uses.iter();
        mount.held.is_some()
            && uses.any(|user| is_known(&user.target) && runs(&user.target, &user.stage, &user.instruction))
    };
    (0..plan.mounts.len()).filter(is_wanted).collect()
}

/// Selects mounts by the builder's records: those in use, and all of its mounts if they could be
/// queried.
fn choose(plan: &MountPlan, wanted: &BTreeSet<usize>, used: &[Record], held: Option<&[Record]>) -> Ahead {
    let mut ahead = Ahead::default();
    let is_nameless = |record: &Record| record.kind == "exec.cachemount" && record.mount_id().is_none();
    if used.iter().chain(held.unwrap_or_default()).any(is_nameless) {
        return ahead;
    }
    for at in wanted.iter().copied() {
        let mount = &plan.mounts[at];
        let id = mount.builder_id();
        let is_used = used.iter().any(|record| record.mount_id() == Some(&id));
        let is_seeded = mount.identity.from.is_some();
        let found = held.map(|held| held.iter().filter(|record| mount.may_be(record)).count());
        match found {
            _ if is_used => {}
            Some(0) if is_seeded => ahead.seeded.push(at),
            _ if is_seeded => {}
            // With other options it is another mount, which a record doesn't show.
            Some(found) if found >= plan.alike(at) => {}
            _ => ahead.empty.push(at),
        }
    }
    ahead
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::forecast::{StepForecast, StepPrediction};
    use crate::plan::mounts::{PlannedMount, fixtures};
    use crate::project::dockerfile::mounts::Use;
    use crate::project::mount::MountIdentity;
    use crate::store::mount::MountEntry;

    fn entry() -> MountEntry {
        let blob = serde_json::json!({"digest": "a".repeat(64), "size": 1});
        let entry = serde_json::json!({
            "format": 1, "identity": MountIdentity::default(), "sharing": "shared", "target": "/c",
            "platform": "linux/amd64", "saved": "2026-01-01T00:00:00Z", "files": 1, "bytes": 1,
            "manifest": blob, "packs": [blob],
        });
        serde_json::from_value(entry).expect("an entry")
    }

    fn mount(identity: MountIdentity, instruction: &str) -> PlannedMount {
        let user = Use { target: "app".into(), stage: "stage-0".into(), instruction: instruction.into() };
        PlannedMount {
            identity,
            target: "/c".into(),
            held: Some(entry()),
            uses: vec![user],
            ..fixtures::mount(Path::new("/s"))
        }
    }

    fn plan(identities: Vec<MountIdentity>) -> MountPlan {
        let mut plan = MountPlan::default();
        plan.mounts = identities.into_iter().map(|identity| mount(identity, "RUN make")).collect();
        plan
    }

    fn id(id: &str) -> MountIdentity {
        MountIdentity { id: id.into(), ..MountIdentity::default() }
    }

    fn record(id: &str, has_parent: bool) -> Record {
        Record {
            id: "r".into(),
            created: None,
            kind: "exec.cachemount".into(),
            bytes: 1,
            mutable: true,
            reclaimable: true,
            has_parent,
            description: format!("cached mount /c from exec make with id \"/{id}\""),
        }
    }

    #[test]
    fn steps_that_will_or_may_run_want_their_mounts() {
        let step = |instruction: &str, state| StepForecast {
            target: "app".into(),
            stage: "stage-0".into(),
            instruction: instruction.into(),
            line: 0,
            forecast: StepPrediction { state, seconds: None },
            cause: None,
        };
        let mut plan = plan(vec![id("a"), id("b"), id("c"), id("d")]);
        for (at, instruction) in ["RUN a", "RUN b", "RUN c", "RUN d"].into_iter().enumerate() {
            plan.mounts[at].uses[0].instruction = instruction.into();
        }
        plan.mounts[3].held = None;
        let steps = vec![
            step("RUN a", PredictedState::Cached),
            step("RUN b", PredictedState::Runs),
            step("RUN c", PredictedState::IfChanged),
            step("RUN d", PredictedState::Runs),
        ];
        let forecast = Forecast { steps, ..Forecast::default() };
        assert_eq!(wanted(&plan, &forecast), [1, 2].into(), "the store lacks the last one");
    }

    #[test]
    fn what_the_builder_has_is_not_restored() {
        let plan = plan(vec![id("a"), id("b")]);
        let all = BTreeSet::from([0, 1]);
        let empty = |used: &[Record], held: Option<&[Record]>| choose(&plan, &all, used, held).empty;
        assert_eq!(empty(&[], Some(&[])), [0, 1]);
        assert_eq!(empty(&[], Some(&[record("a", false)])), [1]);
        assert_eq!(empty(&[record("b", false)], None), [0], "another build is using it");
        let nameless = Record { description: "cached mount /c".into(), ..record("a", false) };
        assert!(empty(&[], Some(&[nameless])).is_empty(), "where it does not name them");
    }

    #[test]
    fn mounts_with_other_options_are_other_mounts() {
        let owned = |uid| MountIdentity { uid: Some(uid), ..id("a") };
        let plan = plan(vec![id("a"), owned(1), owned(2)]);
        let empty = |held: &[Record]| choose(&plan, &BTreeSet::from([0, 1, 2]), &[], Some(held)).empty;
        let (plain, other) = (|| record("a", false), || record("a", true));
        assert_eq!(empty(&[plain()]), [1, 2]);
        assert_eq!(empty(&[other()]), [0, 1, 2], "one of the two is there: the restore finds out which");
        assert_eq!(empty(&[other(), other()]), [0]);
        assert!(empty(&[plain(), other(), other()]).is_empty());
    }

    #[test]
    fn a_mount_that_begins_as_a_copy_is_restored_where_it_is_certainly_missing() {
        let plan = plan(vec![MountIdentity { from: Some("app/seed".into()), ..id("a") }]);
        let all = BTreeSet::from([0]);
        let ahead = choose(&plan, &all, &[], Some(&[]));
        assert_eq!((ahead.seeded, ahead.empty), (vec![0], vec![]));
        assert_eq!(choose(&plan, &all, &[], Some(&[record("a", true)])), Ahead::default());
        assert_eq!(choose(&plan, &all, &[], None), Ahead::default());
    }
}
