//! A plan as text: the targets, the caches to read, then every step as a shell line.

use std::fmt::Write;

use serde::Serialize;

use crate::forecast::Forecast;
use crate::plan::build::Plan;

/// The plan and its forecast, as `--json` prints them.
#[derive(Serialize)]
pub(crate) struct Document<'a> {
    #[serde(flatten)]
    pub plan: &'a Plan,
    /// The forecast, if known.
    #[serde(flatten)]
    pub forecast: Option<&'a Forecast>,
}

/// Returns the output of `plan` and `--dry-run`.
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
