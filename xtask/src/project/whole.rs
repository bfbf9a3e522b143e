//! Whether all is known that bake printed a declaration from, and what it printed as a whole.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// A whole answer of bake's, without its values.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct Whole {
    pub(crate) digest: String,
    /// The fields of each target that are not empty, as bake names them.
    pub(crate) fields: BTreeMap<String, BTreeSet<String>>,
    /// Whether it was made of the declaration's files and the environment alone. A Compose file may
    /// name others.
    pub(crate) has_all_files: bool,
}

impl Whole {
    pub(super) fn of(document: &Value) -> Self {
        let is_empty = |value: &Value| match value {
            Value::Null => true,
            Value::Array(list) => list.is_empty(),
            Value::Object(fields) => fields.is_empty(),
            _ => false,
        };
        let fields = |target: &Value| {
            let fields = target.as_object().into_iter().flatten();
            fields.filter(|(_, value)| !is_empty(value)).map(|(name, _)| name.clone()).collect()
        };
        let targets = document["target"].as_object().into_iter().flatten();
        Self {
            digest: format!("{:x}", Sha256::digest(document.to_string())),
            fields: targets.map(|(name, target)| (name.clone(), fields(target))).collect(),
            has_all_files: false,
        }
    }
}

/// Returns whether a Compose file may name others that it is made of. YAML may quote a key, set
/// blanks between it and its colon, begin its line with a question mark, or escape its letters.
pub(super) fn draws_on_others(text: &str) -> bool {
    let is_key = |word: &str| {
        text.match_indices(word).any(|(at, _)| {
            let (before, after) = (&text[..at], text[at + word.len()..].trim_start_matches(['"', '\'']));
            let is_asked = before.trim_end_matches([' ', '\t', '"', '\'']).ends_with('?');
            is_asked || after.trim_start().starts_with(':')
        })
    };
    let is_escaped = ["\\x", "\\u", "\\U", "\\\n", "\\\r"].iter().any(|escape| text.contains(escape));
    is_escaped || ["include", "extends", "env_file"].into_iter().any(is_key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_may_name_others_is_known_in_whatever_form() {
        for text in [
            "include:\n- x.yaml",
            "s:\n  extends : {file: x}",
            "{s: {\"extends\": {file: x}}}",
            "s:\n  'env_file':\n  - x",
            "s:\n  ? extends\n  : {file: x}",
            "s:\n  \"\\x65xtends\": {file: x}",
        ] {
            assert!(draws_on_others(text), "{text}");
        }
        for text in
            ["s:\n  image: x # it extends nothing", "s:\n  build: ./include\n", "args: {A: \"C:\\\\d\"}"]
        {
            assert!(!draws_on_others(text), "{text}");
        }
    }

    #[test]
    fn fields_that_are_there_are_named() {
        let json = serde_json::json!({"target": {"app": {"context": ".", "ssh": [], "no-cache": true, "args": null}}});
        let whole = Whole::of(&json);
        let fields: Vec<&str> = whole.fields["app"].iter().map(String::as_str).collect();
        assert_eq!(fields, ["context", "no-cache"]);
        assert_ne!(whole.digest, Whole::of(&serde_json::json!({})).digest);
    }
}
