//! The selection of the mounts that are restored before a build.

use std::path::Path;

use super::*;
use crate::forecast::{StepForecast, StepPrediction};
use crate::plan::caches::Caches;
use crate::plan::mounts::fixtures;
use crate::plan::registry_state::{RegistryState, Tag, Tags};
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
        key: instruction.into(),
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
    let needed = needed(&plan, &forecast);
    let wanted = |plan: &MountPlan, remote: &BTreeMap<usize, RemoteMount>| wanted(plan, &needed, remote);
    assert_eq!(wanted(&plan, &BTreeMap::new()), [1, 2].into(), "the store lacks the last one");
    let copy = |steps: &[&str]| {
        let steps = steps.iter().map(|step| (*step).to_owned()).collect();
        RemoteMount { reference: "r".into(), entry: MountEntry { steps, ..entry() } }
    };
    assert_eq!(wanted(&plan, &[(3, copy(&[]))].into()), [1, 2, 3].into(), "a registry has the last one");
    plan.registries.push(with_layers_of("app"));
    assert_eq!(wanted(&plan, &BTreeMap::new()), [].into(), "the registry may have any step");
    let remote = [(1, copy(&["RUN b"])), (2, copy(&["RUN b"])), (3, copy(&["RUN other"]))];
    assert_eq!(wanted(&plan, &remote.into()), [2, 3].into(), "it has the layers of the first");
    assert_eq!(wanted(&plan, &[(1, copy(&[]))].into()), [].into(), "an older version pushed the mount");
}

fn with_layers_of(target: &str) -> RegistryState {
    let caches = Caches::parse(&["registry=127.0.0.1:5000/team/cache".to_owned()], None);
    let registry = caches.expect("a cache").registries.remove(0);
    let newest = Some(Tag { reference: "r".into(), digest: "d".into() });
    RegistryState { registry, said: Ok([(target.to_owned(), Tags { exact: None, newest })].into()) }
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
