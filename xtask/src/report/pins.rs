//! The pins as text.

use std::fmt::Write;

use crate::plan::pins::Update;
use crate::project::pins::Pin;
use crate::step::Action;

/// Returns one pin per line, in the order of their file.
pub(crate) fn list(pins: &[Pin]) -> String {
    let mut text = String::new();
    for pin in pins {
        let held = pin.hold.as_ref().map_or(String::new(), |reason| format!("  held: {reason}"));
        let _ = writeln!(text, "{:<22} {}{held}", pin.name, pin.value);
    }
    text
}

/// Returns the changes of an update.
pub(crate) fn update(update: &Update, dry_run: bool) -> String {
    let mut text = String::new();
    for change in &update.changes {
        let _ = writeln!(text, "{:<22} {} -> {}", change.name, change.from, change.to);
    }
    for held in &update.held {
        let _ = writeln!(text, "{:<22} {} stays, held: {}", held.name, held.version, held.reason);
    }
    if update.changes.is_empty() {
        text.push_str("no newer version is available\n");
    }
    for step in &update.steps {
        if let Action::Write { path, .. } = &step.action {
            let _ = writeln!(text, "{} {}", if dry_run { "would write" } else { "wrote" }, path.display());
        }
    }
    text
}
