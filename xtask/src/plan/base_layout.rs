//! The steps that provide the base image for a builder.

use std::path::Path;

use super::build_facts::BuildFacts;
use crate::base_image::Base;
use crate::step::{Action, Command, Step};

/// Returns the steps that provide the base image for the builder. If nothing is based on it, cache
/// mounts may still need its tools.
pub(super) fn prepare(facts: &BuildFacts, needs_tools: bool) -> Vec<Step> {
    let mut steps = Vec::new();
    if let Some(base) = facts.base.as_ref().or(facts.tools.as_ref().filter(|_| needs_tools)) {
        steps.extend(base.steps.iter().cloned());
        let is_there = base.kept.as_ref().is_some_and(|kept| kept.is_there);
        if base.local && !facts.engine.capabilities().sees_local_images && !is_there {
            steps.extend(lay_out(base, &facts.scratch));
        }
    }
    steps
}

/// Exports the base image for a builder that doesn't see it, and keeps the layout for later builds.
fn lay_out(base: &Base, scratch: &Path) -> Vec<Step> {
    let (dir, tar) = (scratch.join("base"), scratch.join("base.tar"));
    let words = |path: &Path| path.display().to_string();
    let mut steps = vec![
        Step::run("copying the base image to the builder", Command::new(["mkdir", "-p", &words(&dir)])),
        Step::run("", Command::new(["docker", "save", "-o", &words(&tar), &base.image])),
        Step::run("", Command::new(["tar", "-xf", &words(&tar), "-C", &words(&dir)])),
    ];
    if let Some(kept) = &base.kept {
        steps.extend(kept.superseded.iter().map(|dir| Step::remove("", dir)));
        let action = Action::Place { from: dir, to: kept.dir.clone() };
        steps.push(Step { why: String::new(), action });
    }
    steps
}
