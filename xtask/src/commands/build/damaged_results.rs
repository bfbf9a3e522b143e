//! Finds damaged saved results that make a build fail. BuildKit reads a blob only when a later step
//! needs its content, so the damage shows in the middle of a build.

use std::path::Path;

use crate::plan::build::Plan;
use crate::progress::bake_outcome::BakeOutcome;
use crate::store::damage::{self, Damaged};

/// Returns the damaged results among those that a failed build read. A full check takes seconds, so
/// it is skipped if the command of a step failed.
pub(super) fn find(plan: &Plan, ended: &BakeOutcome) -> Vec<Damaged> {
    if !ended.may_be_damage() {
        return Vec::new();
    }
    let shown = plan.targets.iter().flat_map(|target| &target.read);
    damage::results(shown.map(|dir| dir.as_path()).collect::<std::collections::BTreeSet<&Path>>())
}
