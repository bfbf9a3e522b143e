//! Tests forecasts and reasons: thirty edits of a project with three Dockerfiles. Before each build
//! it makes a forecast of the steps, their time and their reasons; then it builds and compares.

mod project;
mod table;

use anyhow::Result;
use serde_json::Value;

use super::cases::Case;
use super::row::{Unit, median};
use super::{Bench, Row};
use crate::process::stdio::errln;
use project::Project;
use table::{EDITS, Edit};

/// The result of one edit.
struct Outcome {
    /// The number of steps with a forecast, and of the right ones.
    predicted: usize,
    right: usize,
    /// The number of steps that may run.
    open: usize,
    /// The number of all steps.
    steps: usize,
    /// Whether `plan` and the build's report name the reason, if one is expected.
    cause: Option<(bool, bool)>,
    /// The time of the longest step that ran against its forecast.
    missed: f64,
    expected: Option<f64>,
    seconds: f64,
    /// Descriptions of the errors.
    notes: Vec<String>,
}

impl Bench<'_> {
    /// Runs all edits, one line each, then returns four figures.
    pub(super) fn edits(&self, case: &Case) -> Result<Vec<Row>> {
        let base = self.copy.base_image(&self.here)?;
        let project = Project::new(&base)?;
        errln!("{}: the first build, then {} edits", case.name, EDITS.len());
        project.build(&Edit::NONE)?;
        let outcomes = EDITS.iter().map(|edit| {
            project.edit(edit)?;
            let outcome = compare(edit, &project.plan(edit)?, &project.build(edit)?);
            errln!("{}", outcome.line(edit));
            Ok(outcome)
        });
        let outcomes = outcomes.collect::<Result<Vec<Outcome>>>()?;
        Ok(rows(case, &outcomes))
    }
}

fn rows(case: &Case, outcomes: &[Outcome]) -> Vec<Row> {
    #[expect(clippy::cast_precision_loss, reason = "a few hundred steps")]
    let sum = |count: &dyn Fn(&Outcome) -> usize| outcomes.iter().map(count).sum::<usize>() as f64;
    let row = |name: &str, against: &str, part: f64, whole: f64, limit: f64| {
        Row::ratio(&format!("{}: {name}", case.name), against, part, whole, limit)
    };
    let predicted = sum(&|one| one.predicted);
    let causes = |side: fn((bool, bool)) -> bool| {
        let asked: Vec<bool> = outcomes.iter().filter_map(|one| one.cause).map(side).collect();
        #[expect(clippy::cast_precision_loss, reason = "thirty edits")]
        (asked.iter().filter(|named| !**named).count() as f64, asked.len() as f64)
    };
    let (unforeseen, of) = causes(|(plan, _)| plan);
    let (unnamed, of_builds) = causes(|(_, build)| build);
    let errors =
        outcomes.iter().filter_map(|one| Some((one.expected? - one.seconds).abs() / one.seconds)).collect();
    let missed = outcomes.iter().map(|one| one.missed).fold(0.0, f64::max);
    vec![
        row("wrong steps", "steps with a forecast", predicted - sum(&|one| one.right), predicted, 0.03)
            .unit(Unit::Count),
        row("steps that may run", "all steps", sum(&|one| one.open), sum(&|one| one.steps), 0.15)
            .unit(Unit::Count),
        row("missed", "10 s", missed, 10.0, 1.0),
        row("error of the time", "the time taken", median(errors), 1.0, 0.2).unit(Unit::Percent),
        row("reasons not forecast", "edits", unforeseen, of, 0.05).unit(Unit::Count),
        row("reasons not named", "edits", unnamed, of_builds, 0.05).unit(Unit::Count),
    ]
}

/// Compares the forecast with the build.
fn compare(edit: &Edit, plan: &Value, report: &Value) -> Outcome {
    let list = |document: &Value| document["steps"].as_array().cloned().unwrap_or_default();
    let (forecast, ran) = (list(plan), list(report));
    let seconds = report["seconds"].as_f64().unwrap_or_default();
    let mut outcome = Outcome {
        predicted: 0,
        right: 0,
        open: 0,
        steps: forecast.len(),
        cause: None,
        missed: 0.0,
        expected: plan["expected"]["seconds"].as_f64(),
        seconds,
        notes: Vec::new(),
    };
    let mut rest = ran.clone();
    for step in &forecast {
        let Some(at) = rest.iter().position(|other| is_same(step, other)) else {
            outcome.notes.push(format!("no step {}", name(step)));
            outcome.predicted += 1;
            continue;
        };
        let came = rest.remove(at);
        let did_run = came["cached"] == false;
        let state = step["forecast"]["state"].as_str().unwrap_or_default();
        if state == "if-changed" {
            outcome.open += 1;
            continue;
        }
        outcome.predicted += 1;
        if (state == "runs") == did_run {
            outcome.right += 1;
        } else {
            outcome.notes.push(format!("{} was forecast as {state}", name(step)));
            if did_run {
                outcome.missed = outcome.missed.max(came["seconds"].as_f64().unwrap_or_default());
            }
        }
    }
    if let Some((kind, word)) = edit.cause {
        let names = |steps: &[Value]| {
            let mut causes = steps.iter().map(|step| &step["cause"]).filter(|cause| cause.is_object());
            causes.any(|cause| {
                cause["kind"] == kind && cause["detail"].as_str().is_some_and(|text| text.contains(word))
            })
        };
        let named = (names(&forecast), names(&ran));
        if named != (true, true) {
            outcome
                .notes
                .push(format!("the cause {kind} `{word}` was forecast: {}, named: {}", named.0, named.1));
        }
        outcome.cause = Some(named);
    }
    outcome
}

fn name(step: &Value) -> String {
    let text = |field: &str| step[field].as_str().unwrap_or_default().chars().take(50).collect::<String>();
    format!("{} {}: {}", text("target"), text("stage"), text("instruction"))
}

/// Compares a step of a plan with one of a report, in which BuildKit has replaced the variables
/// that it knows.
fn is_same(plan: &Value, report: &Value) -> bool {
    let begins = |step: &Value| {
        let text = step["instruction"].as_str().unwrap_or_default();
        let text = text.strip_prefix("ONBUILD ").unwrap_or(text);
        text.split(['$', '('])
            .next()
            .unwrap_or_default()
            .chars()
            .filter(|c| !c.is_whitespace())
            .collect::<String>()
    };
    plan["target"] == report["target"] && plan["stage"] == report["stage"] && {
        let (one, other) = (begins(plan), begins(report));
        one.starts_with(&other) || other.starts_with(&one)
    }
}

impl Outcome {
    fn line(&self, edit: &Edit) -> String {
        let time = self.expected.map_or_else(|| "?".to_owned(), |time| format!("{time:.1}"));
        let notes: String = self.notes.iter().map(|note| format!("\n      {note}")).collect();
        let cause = edit.cause.map_or_else(String::new, |(kind, _)| format!(", {kind}"));
        format!(
            "  {:<46} {}/{} right, {} open, {time} s forecast, {:.1} s measured{cause}{notes}",
            edit.name, self.right, self.predicted, self.open, self.seconds
        )
    }
}
