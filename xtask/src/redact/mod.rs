//! Redacts values of secrets, and text that looks like a secret. There is one [`Redactor`] per run.
//! It is applied when data is created, so that all output and files share it: the terminal, logs,
//! records, reports, plans and JSON. Known values are redacted everywhere, and unknown ones if they
//! look like a secret.

mod values;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

pub(crate) use redaction::is_secret;
use redaction::{Finder, REDACTED};
use serde_json::Value;

/// The known secrets. Copies share them.
#[derive(Debug, Clone, Default)]
pub struct Redactor {
    known: Arc<RwLock<Arc<Finder>>>,
}

impl Redactor {
    /// Learns a secret value.
    pub(crate) fn learn(&self, value: &str) {
        self.learn_all(values::whole(value).map(str::to_owned));
    }

    /// Learns the content of a secret: itself and its parts.
    pub(crate) fn learn_content(&self, content: &str) {
        self.learn_all(values::parts(content));
    }

    /// Learns the passwords of the URLs in a text.
    pub(crate) fn learn_users(&self, text: &str) {
        self.learn_all(values::users(text));
    }

    /// Learns the values of variables whose names indicate a secret, and the passwords of URLs in
    /// others. A path of a file is not a secret.
    pub(crate) fn learn_variables(&self, variables: &BTreeMap<String, String>) {
        for (name, value) in variables {
            let is_file = value.starts_with('/') && std::path::Path::new(value).exists();
            if is_secret(name) && !is_file {
                self.learn_content(value);
            } else if value.contains("://") {
                self.learn_users(value);
            }
        }
    }

    fn learn_all(&self, found: impl IntoIterator<Item = String>) {
        let mut found = found.into_iter().peekable();
        if found.peek().is_none() {
            return;
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let known = Arc::make_mut(&mut known);
        for value in found.flat_map(|value| values::readings(&value).into_iter().chain([value])) {
            values::base64_of(&value).into_iter().for_each(|writing| known.learn_base64(writing));
            values::writings(&value).into_iter().for_each(|writing| known.learn(writing));
            known.learn(value);
        }
    }

    fn known(&self) -> Arc<Finder> {
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Redacts a text.
    pub(crate) fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.known().redact(text)
    }

    /// Redacts a line of a stream. `in_key` is whether a private key has begun and not ended.
    pub(crate) fn line<'a>(&self, line: &'a str, in_key: &mut bool) -> Cow<'a, str> {
        self.known().redact_line(line, in_key)
    }

    /// Redacts a document.
    pub(crate) fn json(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                if let Some(redacted) = whole_argument(text) {
                    *text = redacted;
                } else if let Cow::Owned(redacted) = self.text(text) {
                    *text = redacted;
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.json(item)),
            Value::Object(fields) => {
                let redacted = |name: &String| match self.text(name) {
                    Cow::Owned(redacted) => Some((name.clone(), redacted)),
                    Cow::Borrowed(_) => None,
                };
                let names: Vec<(String, String)> = fields.keys().filter_map(redacted).collect();
                for (name, redacted) in names {
                    if let Some(field) = fields.remove(&name) {
                        fields.insert(redacted, field);
                    }
                }
                for (name, field) in fields {
                    match field {
                        // An earlier redaction is more specific.
                        Value::String(text)
                            if is_variable(name) && !text.is_empty() && !text.starts_with("(hidden ") =>
                        {
                            REDACTED.clone_into(text);
                        }
                        field => self.json(field),
                    }
                }
            }
            _ => {}
        }
    }

    /// Redacts the text of a document; `None` if it is not a document.
    pub(crate) fn json_text(&self, text: &str) -> Option<String> {
        let mut value = serde_json::from_str(text).ok()?;
        self.json(&mut value);
        Some(value.to_string() + if text.ends_with('\n') { "\n" } else { "" })
    }

    /// Returns a value as redacted JSON.
    pub(crate) fn document(&self, value: &impl serde::Serialize) -> serde_json::Result<Value> {
        let mut document = serde_json::to_value(value)?;
        self.json(&mut document);
        Ok(document)
    }
}

/// Returns whether a field of a document is a variable or an argument with a secret value.
fn is_variable(name: &str) -> bool {
    let argument = name.strip_prefix("arg ").or(name.strip_prefix("env "));
    let is_variable =
        |name: &str| name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    argument.map_or_else(|| is_variable(name) && is_secret(name), is_secret)
}

/// `TARGET.args.NAME=VALUE` is one argument to its end, whatever its value is.
fn whole_argument(text: &str) -> Option<String> {
    let (field, _) = text.split_once('=')?;
    let (target, name) = field.split_once(".args.")?;
    (is_secret(name) && !target.contains(char::is_whitespace)).then(|| format!("{field}={REDACTED}"))
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
