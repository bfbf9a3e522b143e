//! The store in words: its contents, what it takes, what goes from it.

use std::fmt::Write;

use crate::cache::size::show;
use crate::plan::gc::GcPlan;

/// One line of what went.
pub fn gone(plan: &GcPlan) -> String {
    let names: Vec<&str> = plan.removals.iter().map(|removal| removal.name.as_str()).collect();
    let few = if names.len() > 3 {
        format!("{} and {} more", names[..3].join(", "), names.len() - 3)
    } else {
        names.join(", ")
    };
    format!("the store: {few} gone, {} free", show(plan.before.saturating_sub(plan.after)))
}

/// The list of what goes, one line each, with a line of what that comes to.
pub fn list(plan: &GcPlan, done: bool) -> String {
    let mut text = String::new();
    for removal in &plan.removals {
        let kind = serde_json::to_value(removal.kind).unwrap_or_default();
        let kind = kind.as_str().unwrap_or_default().to_owned();
        let _ = writeln!(
            text,
            "{:>9}  {kind:<10}  {}: {}\n{:>21}  {}",
            show(removal.bytes),
            removal.name,
            removal.reason,
            "",
            removal.path.display()
        );
    }
    let verb = if done { "went" } else { "would go" };
    let _ = match plan.removals.len() {
        0 => writeln!(text, "nothing {verb}: the store takes {}", show(plan.after)),
        count => {
            writeln!(text, "{count} {verb}; the store takes {} after {}", show(plan.after), show(plan.before))
        }
    };
    text
}
