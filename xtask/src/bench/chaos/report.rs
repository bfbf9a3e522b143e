//! The report of a build that a fault happened to, or of the next one.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::running::Ran;

/// The JSON of a build that succeeded.
pub(super) struct Report(Value);

impl Report {
    /// Reads the report of a build, which must have succeeded.
    pub(super) fn of(ran: &Ran) -> Result<Self> {
        ensure!(ran.code == Some(0), "the build ended with exit code {:?}\n{}", ran.code, ran.tail());
        let report = serde_json::from_slice(&ran.stdout);
        Ok(Self(report.with_context(|| format!("the build printed no JSON\n{}", ran.tail()))?))
    }

    pub(super) fn warnings(&self) -> Vec<&str> {
        self.0["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// Fails if there is a warning.
    pub(super) fn quiet(self) -> Result<Self> {
        ensure!(self.warnings().is_empty(), "a build warns: {}", self.warnings().join("\n"));
        Ok(self)
    }

    /// Returns the whole report as text.
    pub(super) fn text(&self) -> String {
        self.0.to_string()
    }

    /// Returns whether the layers were saved.
    pub(super) fn is_saved(&self) -> bool {
        self.0["cache"]["saved"].is_string()
    }

    /// The steps of a target that ran.
    pub(super) fn ran(&self, target: &str) -> Vec<&str> {
        let steps = self.0["steps"].as_array().into_iter().flatten();
        let ran = steps.filter(|step| step["target"] == target && step["cached"] == false);
        ran.filter_map(|step| step["instruction"].as_str()).collect()
    }

    /// Returns the time of the build in seconds, without its saves.
    pub(super) fn seconds(&self) -> f64 {
        self.0["seconds"].as_f64().unwrap_or_default()
    }

    /// Seconds that a part of the build took, by its name in `cache`.
    pub(super) fn cache_seconds(&self, name: &str) -> f64 {
        self.0["cache"][name].as_f64().unwrap_or_default()
    }
}
