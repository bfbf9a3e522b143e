//! The report at the end of a build.

use std::fmt::Write;

use super::timeline::Timeline;
use crate::outcome::BuildReport;
use crate::text::size::show;
use crate::text::{one_line, seconds, terminal, without_mount_flags};

/// Returns the text for a terminal.
pub(crate) fn build(report: &BuildReport) -> String {
    let mut text = String::new();
    let timeline = Timeline::of(&report.steps);
    let result = report.result.word();
    let _ = writeln!(text, "{result} in {}: {}", seconds(report.seconds), steps(&timeline));
    if let Some(earlier) = &report.same_as {
        let _ = writeln!(text, "  nothing has changed since the build {earlier}; --check asks BuildKit");
    }
    let mut slow: Vec<_> =
        timeline.rows.iter().map(|row| row.step).filter(|step| !step.cached && step.seconds >= 1.0).collect();
    slow.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    for step in slow.iter().take(8) {
        let _ = writeln!(
            text,
            "  {:>8}  {}: {}",
            seconds(step.seconds),
            terminal::plain(&step.stage),
            one_line(&terminal::plain(&without_mount_flags(&step.instruction)), 80)
        );
    }
    for target in &report.targets {
        let digest = target.digest.as_deref().map_or("", |digest| &digest[..digest.len().min(19)]);
        let image = target.image.as_deref().unwrap_or(&target.name);
        let _ = writeln!(text, "  {}", terminal::plain(&format!("{image} {digest}")));
    }
    // Warnings of the plan and of saves were printed when they occurred.
    for warning in report.warnings.iter().filter(|warning| warning.starts_with("WARNING: ")) {
        let _ = writeln!(text, "  {}", terminal::plain(warning));
    }
    let restored: u64 =
        report.cache.mounts.iter().filter(|mount| mount.restored).map(|mount| mount.bytes).sum();
    if restored > 0 {
        let _ = writeln!(
            text,
            "  cache mounts restored in {}: {}",
            seconds(report.cache.restore_seconds),
            show(restored)
        );
    }
    let saved: u64 = report.cache.mounts.iter().map(|mount| mount.saved_bytes).sum();
    if saved > 0 {
        let _ = writeln!(
            text,
            "  cache mounts saved in {}: {}",
            seconds(report.cache.mount_save_seconds),
            show(saved)
        );
    }
    if report.cache.save_seconds > 0.0 {
        let _ = writeln!(text, "  layers saved in {}", seconds(report.cache.save_seconds));
    }
    if report.cache.push_seconds > 0.0 {
        let _ = writeln!(text, "  layers pushed in {}", seconds(report.cache.push_seconds));
    }
    text
}

/// Returns `3 of 31 steps ran`.
pub(crate) fn steps(timeline: &Timeline<'_>) -> String {
    format!("{} of {} steps ran", timeline.ran(), timeline.rows.len())
}
