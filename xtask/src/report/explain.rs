//! The reasons of steps as text, each with the steps that followed.

use std::fmt::Write;

use crate::forecast::explain::{Explained, ExplainedStep};
use crate::outcome::CauseKind;
use crate::text::{one_line, seconds, step_count, without_mount_flags};

/// Returns the text for a terminal.
pub(crate) fn text(explained: &Explained) -> String {
    let mut text = String::new();
    let against =
        explained.against.as_ref().map_or_else(|| "no earlier build".to_owned(), |id| format!("build {id}"));
    let _ = writeln!(
        text,
        "build {}: {} ran, {} cached; compared with {against}",
        explained.build,
        step_count(explained.steps.len()),
        explained.cached
    );
    for (at, step) in explained.steps.iter().enumerate().filter(|(_, step)| step.follows.is_none()) {
        let _ = writeln!(text, "{}", line(step));
        let _ = writeln!(text, "          {}", cause(step));
        let following: Vec<&ExplainedStep> =
            explained.steps.iter().filter(|step| step.follows == Some(at)).collect();
        for step in &following {
            let _ = writeln!(text, "  {}", line(step));
        }
        if !following.is_empty() {
            let all: f64 = following.iter().map(|step| step.seconds).sum();
            let _ = writeln!(
                text,
                "          {} followed from it: {}",
                step_count(following.len()),
                seconds(all)
            );
        }
    }
    if explained.unknown > 0 {
        let _ = writeln!(text, "the reason of {} is unknown", step_count(explained.unknown));
    }
    text
}

fn line(step: &ExplainedStep) -> String {
    format!(
        "{:>8}  {}: {}",
        seconds(step.seconds),
        step.stage,
        one_line(&without_mount_flags(&step.instruction), 90)
    )
}

fn cause(step: &ExplainedStep) -> String {
    let kind = match step.cause.kind {
        CauseKind::File => "file: ",
        CauseKind::Arg => "argument: ",
        CauseKind::Base => "base image: ",
        CauseKind::Package => "package: ",
        CauseKind::Instruction => "Dockerfile: ",
        CauseKind::Mount => "options of the step: ",
        CauseKind::Parent => "follows ",
        CauseKind::Unknown => return "unknown reason".into(),
        CauseKind::Dropped | CauseKind::New | CauseKind::Fresh => "",
    };
    format!("{kind}{}", step.cause.detail)
}
