//! Compares a forecast with BuildKit, step by step.

use serde_json::Value;

/// The result of the steps of one target.
#[derive(Debug, Default, Clone)]
pub(super) struct Outcome {
    pub(super) steps: usize,
    /// The number of steps that were forecast to be cached or to run, and of the right ones.
    pub(super) decided: usize,
    pub(super) right: usize,
    /// The reasons of the steps that may run, and whether each ran.
    pub(super) open: Vec<(String, bool)>,
    /// Steps that were forecast as cached and ran.
    pub(super) missed: Vec<String>,
    /// Steps that were forecast as run and were cached.
    pub(super) early: Vec<String>,
    /// Steps that only one of the two documents names.
    pub(super) unnamed: Vec<String>,
    /// The first step that ran, and its reason in the forecast and in the report.
    pub(super) reasons: Option<(String, String, String)>,
}

impl Outcome {
    /// Returns whether there is an error that no forecast may have.
    pub(super) fn is_wrong(&self) -> bool {
        !self.missed.is_empty() || !self.unnamed.is_empty()
    }
}

/// Compares the steps of a target in two documents.
pub(super) fn compare(target: &str, plan: &Value, report: &Value) -> Outcome {
    let (planned, mut reported) = (steps(plan, target), steps(report, target));
    let mut outcome = Outcome { steps: planned.len(), ..Outcome::default() };
    let mut first = None;
    for step in planned {
        let Some(at) = reported.iter().position(|other| name(other) == name(step)) else {
            outcome.unnamed.push(format!("only in the plan: {}", name(step)));
            continue;
        };
        let came = reported.remove(at);
        let did_run = came["cached"] == false;
        let is_own = |step: &Value| step["cause"]["kind"] != "parent" && step["cause"].is_object();
        if did_run && first.is_none() && (is_own(step) || is_own(came)) {
            first = Some((name(step), reason(origin(step, plan)), reason(origin(came, report))));
        }
        match step["forecast"]["state"].as_str().unwrap_or_default() {
            "if-changed" => outcome.open.push((reason(origin(step, plan)), did_run)),
            state => {
                outcome.decided += 1;
                match (state == "runs", did_run) {
                    (false, true) => outcome.missed.push(name(step)),
                    (true, false) => outcome.early.push(format!("{} ({})", name(step), reason(step))),
                    _ => outcome.right += 1,
                }
            }
        }
    }
    outcome.unnamed.extend(reported.into_iter().map(|step| format!("only in the build: {}", name(step))));
    outcome.reasons = first;
    outcome
}

/// The kind and the detail of a step's reason.
fn reason(step: &Value) -> String {
    let kind = step["cause"]["kind"].as_str().unwrap_or("none");
    format!("{kind} {}", step["cause"]["detail"].as_str().unwrap_or_default())
}

/// The step whose own reason is behind that of a step: `parent` names what it follows.
fn origin<'a>(step: &'a Value, document: &'a Value) -> &'a Value {
    let all = document["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut found = step;
    // A chain has no more links than there are steps.
    for _ in all {
        let detail = found["cause"]["detail"].as_str().unwrap_or_default();
        let is_it = |other: &&Value| other["target"] == step["target"] && name(other) == detail;
        match all.iter().find(is_it) {
            Some(parent) if found["cause"]["kind"] == "parent" => found = parent,
            _ => break,
        }
    }
    found
}

fn steps<'a>(document: &'a Value, target: &str) -> Vec<&'a Value> {
    let all = document["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter().filter(|step| step["target"] == target).collect()
}

fn name(step: &Value) -> String {
    let text = |field: &str| step[field].as_str().unwrap_or_default().to_owned();
    format!("{}: {}", text("stage"), text("instruction"))
}
