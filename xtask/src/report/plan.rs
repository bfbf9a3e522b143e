//! A plan for people: what is built, what BuildKit is shown, then every step as the line that a
//! shell would run.

use std::fmt::Write;

use serde::Serialize;

use crate::forecast::Forecast;
use crate::plan::build::Plan;

/// The plan and its forecast, as `--json` prints them.
#[derive(Serialize)]
pub(crate) struct Document<'a> {
    /// The plan.
    #[serde(flatten)]
    pub plan: &'a Plan,
    /// What is foreseen; nothing where that could not be found out.
    #[serde(flatten)]
    pub forecast: Option<&'a Forecast>,
}

/// The plan as `plan` and `--dry-run` show it.
pub(crate) fn text(plan: &Plan) -> String {
    let mut text = String::new();
    for target in &plan.targets {
        let image = target.image.as_deref().unwrap_or("no tag");
        let asked = if target.requested { "" } else { ", which another target is based on" };
        let key = target.key.as_ref().map_or("none".to_owned(), ToString::to_string);
        let _ = writeln!(text, "{} ({image}{asked}): key {key}", target.name);
        for dir in &target.read {
            let _ = writeln!(text, "  reads {}", dir.display());
        }
        for read in &target.remote {
            let _ = writeln!(text, "  reads {}", read.reference);
        }
    }
    for warning in &plan.warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    for line in plan.to_shell() {
        let _ = writeln!(text, "{line}");
    }
    text
}
