//! A forecast as text: one line for a build, and step by step for `plan`.

use std::fmt::Write;

use crate::forecast::{ExpectedTime, Forecast, PredictedState, StepForecast};
use crate::outcome::{Cause, CauseKind};
use crate::text::{one_line, seconds, without_mount_flags};

/// Returns the first line of a build: the steps that will run, the expected time, and the first
/// reason.
pub(crate) fn head(forecast: &Forecast) -> Vec<String> {
    let of = |state: PredictedState| forecast.steps.iter().filter(move |step| step.forecast.state == state);
    let (runs, may) = (of(PredictedState::Runs).count(), of(PredictedState::IfChanged).count());
    let time =
        forecast.expected.as_ref().map_or_else(String::new, |expected| format!(", {}", time(expected)));
    if runs + may == 0 {
        return vec![format!("forecast: all {} steps cached{time}", forecast.steps.len())];
    }
    let may = if may > 0 { format!(", {may} may run") } else { String::new() };
    let head = format!("forecast: {runs} of {} steps will run{may}{time}", forecast.steps.len());
    std::iter::once(head).chain(first(forecast).map(because)).collect()
}

/// Returns the first step with a reason of its own.
fn first(forecast: &Forecast) -> Option<&StepForecast> {
    let of_itself =
        |step: &&StepForecast| step.cause.as_ref().is_some_and(|cause| cause.kind != CauseKind::Parent);
    forecast.steps.iter().find(of_itself)
}

fn because(step: &StepForecast) -> String {
    let cause = step.cause.as_ref().map(words).unwrap_or_default();
    format!(
        "  first {}: {}: {}",
        step.stage,
        one_line(&without_mount_flags(&step.instruction), 40),
        one_line(&cause, 80)
    )
}

/// Returns the reason, with its kind if the detail doesn't imply it.
fn words(cause: &Cause) -> String {
    let kind = match cause.kind {
        CauseKind::Parent => "follows ",
        CauseKind::Package => "package: ",
        _ => "",
    };
    format!("{kind}{}", cause.detail)
}

/// Returns a time, with its spread if it is relevant.
pub(crate) fn time(expected: &ExpectedTime) -> String {
    let about = format!("about {}", seconds(expected.seconds));
    if expected.high - expected.low < 0.2 * expected.seconds.max(1.0) {
        return about;
    }
    format!("{about} ({} to {})", seconds(expected.low), seconds(expected.high))
}

/// Returns every step that will or may run, with its time and its reason.
pub(crate) fn text(forecast: &Forecast) -> String {
    let mut text = head(forecast).join("\n") + "\n";
    for step in forecast.steps.iter().filter(|step| step.forecast.state != PredictedState::Cached) {
        let state = if step.forecast.state == PredictedState::Runs { "runs" } else { "if changed" };
        let time = step.forecast.seconds.map_or_else(|| "?".to_owned(), seconds);
        let name = one_line(&without_mount_flags(&step.instruction), 70);
        let _ = writeln!(text, "  {state:<10} {time:>8}  {}: {name}", step.stage);
        if let Some(cause) = &step.cause {
            let _ = writeln!(text, "                       {}", one_line(&words(cause), 100));
        }
    }
    text
}
