//! Saved results whose damage makes a build fail. BuildKit reads a blob only when a later step
//! needs its content, so that damage shows in the middle of a build.

use std::path::Path;

use crate::plan::build::Plan;
use crate::progress::bake_outcome::BakeOutcome;
use crate::store::damage::{self, Damaged};

/// Returns the damaged ones of the results that a failed build was shown. Reading them all takes
/// seconds, so a command of a step that failed by itself is not a reason to look.
pub(super) fn find(plan: &Plan, ended: &BakeOutcome) -> Vec<Damaged> {
    if !ended.may_be_damage() {
        return Vec::new();
    }
    let shown = plan.targets.iter().flat_map(|target| &target.read);
    damage::results(shown.map(|dir| dir.as_path()).collect::<std::collections::BTreeSet<&Path>>())
}
