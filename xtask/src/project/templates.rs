//! Escapes in the output of bake: newer versions of buildx write `$${` if a value has `${`, so that
//! the output is a valid bake file.

use anyhow::{Context, Result};
use serde_json::Value;
use xshell::{Shell, cmd};

use super::declaration_query::QUERY_TIMEOUT;
use crate::process::query::{query, unreadable};

/// Returns whether an answer of `bake --print` may have escapes.
pub(super) fn may_be_escaped(answer: &str) -> bool {
    answer.contains("$${") || answer.contains("%%{")
}

/// Returns whether this buildx escapes its output: prints a file with a known value.
pub(super) fn are_escaped(sh: &Shell) -> Result<bool> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("docker-bake.json");
    std::fs::write(&file, r#"{"target": {"probe": {"args": {"TEXT": "$${"}}}}"#)?;
    let answer = query(
        cmd!(sh, "docker buildx bake --progress plain -f {file} --print probe").quiet(),
        QUERY_TIMEOUT,
    )?;
    let printed: Value = serde_json::from_str(&answer.stdout).unwrap_or_default();
    match printed["target"]["probe"]["args"]["TEXT"].as_str() {
        Some("${") => Ok(false),
        Some("$${") => Ok(true),
        _ => None.with_context(|| unreadable("docker buildx bake --print", &answer.stdout)),
    }
}

/// Removes the escapes from every text of a document.
pub(super) fn unescape(document: &mut Value) {
    match document {
        Value::String(text) => *text = text.replace("$${", "${").replace("%%{", "%{"),
        Value::Array(items) => items.iter_mut().for_each(unescape),
        Value::Object(fields) => fields.values_mut().for_each(unescape),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_as_it_was_before_bake_escaped_it() {
        let text =
            r#"{"a": ["FROM $${X} AS y", "%%{z}", "$$${dollar}", "$x $$y"], "b": {"c": "100 % {"}, "d": 1}"#;
        assert!(may_be_escaped(text) && !may_be_escaped(r#"{"a": "${x} %{y}"}"#));
        let mut document: Value = serde_json::from_str(text).expect("JSON");
        unescape(&mut document);
        let expected =
            r#"{"a": ["FROM ${X} AS y", "%{z}", "$${dollar}", "$x $$y"], "b": {"c": "100 % {"}, "d": 1}"#;
        assert_eq!(document, serde_json::from_str::<Value>(expected).expect("JSON"));
    }
}
