//! Diagnoses this machine and suggests fixes: facts ([`facts`]) -> one check per line ([`checks`]).
//! Nothing is changed. One cause is reported once: checks that depend on it are skipped.

pub(crate) mod checks;
pub(crate) mod facts;
pub(crate) mod habits;

use serde::Serialize;

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum CheckState {
    Ok,
    /// Builds work, but not as well as possible.
    Warn,
    /// Builds don't work.
    Fail,
}

/// A check of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Check {
    pub name: &'static str,
    pub state: CheckState,
    /// The finding.
    pub detail: String,
    /// The command that fixes it, if needed.
    pub remedy: Option<String>,
}

impl Check {
    /// Creates a check without a problem.
    pub(crate) fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, state: CheckState::Ok, detail: detail.into(), remedy: None }
    }

    /// Creates a warning.
    pub(crate) fn warn(name: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, state: CheckState::Warn, detail: detail.into(), remedy: Some(remedy.into()) }
    }

    /// Creates a failure.
    pub(crate) fn fail(name: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, state: CheckState::Fail, detail: detail.into(), remedy: Some(remedy.into()) }
    }
}

/// Returns the worst result.
pub(crate) fn worst(checks: &[Check]) -> CheckState {
    checks.iter().map(|check| check.state).max().unwrap_or(CheckState::Ok)
}

/// Returns one line per check, with its fix below.
pub(crate) fn text(checks: &[Check]) -> String {
    let mut text = String::new();
    for check in checks {
        let state = match check.state {
            CheckState::Ok => "ok",
            CheckState::Warn => "warn",
            CheckState::Fail => "FAIL",
        };
        text.push_str(&format!("{state:<5} {:<17} {}\n", check.name, check.detail));
        let remedy = check.remedy.iter().flat_map(|remedy| remedy.lines());
        remedy.for_each(|line| text.push_str(&format!("      -> {line}\n")));
    }
    text
}
