//! JSON documents; each has `"schema": 1`.

use serde_json::json;

use crate::error;
use crate::text::terminal;

/// The version of all documents.
pub(crate) const SCHEMA: u32 = 1;

/// Returns the output of `--json` if a command fails before it has a report.
pub(crate) fn error(error: &anyhow::Error) -> String {
    let error = json!({"message": format!("{error:#}"), "exit_code": error::exit_code(error)});
    terminal::json(&json!({"schema": SCHEMA, "error": error}).to_string())
}

/// Returns a document in one line, as `--json` prints it.
pub(crate) fn line(document: &impl serde::Serialize) -> anyhow::Result<String> {
    Ok(terminal::json(&serde_json::to_string(document)?))
}
