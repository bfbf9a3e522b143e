//! What is wrong on this machine and which command mends it: facts ([`facts`]) -> one check a line
//! ([`checks`]). Nothing is changed, and one cause is told once: what cannot be looked at because
//! of it is left out.

pub(crate) mod checks;
pub(crate) mod facts;
pub(crate) mod habits;

use serde::Serialize;

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum CheckState {
    /// As it should be.
    Ok,
    /// Builds work, though not as well as they could.
    Warn,
    /// Builds do not work.
    Fail,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// How it went.
    pub state: CheckState,
    /// What was found.
    pub detail: String,
    /// The command that mends it, where it needs mending.
    pub remedy: Option<String>,
}

impl Check {
    /// A check that went well.
    pub(crate) fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, state: CheckState::Ok, detail: detail.into(), remedy: None }
    }

    /// Something to be mended some day.
    pub(crate) fn warn(name: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, state: CheckState::Warn, detail: detail.into(), remedy: Some(remedy.into()) }
    }

    /// Something that keeps builds from working.
    pub(crate) fn fail(name: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, state: CheckState::Fail, detail: detail.into(), remedy: Some(remedy.into()) }
    }
}

/// The worst of them.
pub(crate) fn worst(checks: &[Check]) -> CheckState {
    checks.iter().map(|check| check.state).max().unwrap_or(CheckState::Ok)
}

/// One line a check, its remedy below.
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
