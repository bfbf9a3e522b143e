//! What nobody may see: values of secrets, and what looks like one. There is one [`Redactor`] in a
//! run. It is asked where data is made, so that everything that shows or keeps the data shares it:
//! the terminal, logs, records, reports, plans and JSON. Known values are redacted wherever they
//! stand, and what looks like a secret where nobody knew it.

mod values;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

pub(crate) use redaction::is_secret;
use redaction::{Finder, REDACTED};
use serde_json::Value;

/// Knows what is to be redacted. Copies share what they know.
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

    /// Learns the values of variables whose names say that they are secrets, and the passwords of
    /// URLs in others. A file that is named is no secret.
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
        for value in found {
            values::base64_of(&value).into_iter().for_each(|writing| known.learn_base64(writing));
            values::writings(&value).into_iter().for_each(|writing| known.learn(writing));
            known.learn(value);
        }
    }

    fn known(&self) -> Arc<Finder> {
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// A text without what must not be seen.
    pub(crate) fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.known().redact(text)
    }

    /// A line of a stream of lines. `in_key` says whether a private key has begun and not ended.
    pub(crate) fn line<'a>(&self, line: &'a str, in_key: &mut bool) -> Cow<'a, str> {
        self.known().redact_line(line, in_key)
    }

    /// A document without it.
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
                        // What was redacted before says more.
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

    /// The text of a document without it; nothing where it is no document.
    pub(crate) fn json_text(&self, text: &str) -> Option<String> {
        let mut value = serde_json::from_str(text).ok()?;
        self.json(&mut value);
        Some(value.to_string() + if text.ends_with('\n') { "\n" } else { "" })
    }

    /// What a value is as JSON, without it.
    pub(crate) fn document(&self, value: &impl serde::Serialize) -> serde_json::Result<Value> {
        let mut document = serde_json::to_value(value)?;
        self.json(&mut document);
        Ok(document)
    }
}

/// Whether a field of a document is a variable or an argument whose value is a secret.
fn is_variable(name: &str) -> bool {
    let argument = name.strip_prefix("arg ").or(name.strip_prefix("env "));
    let is_variable =
        |name: &str| name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    argument.map_or_else(|| is_variable(name) && is_secret(name), is_secret)
}

/// `TARGET.args.NAME=VALUE` is one argument to its end, whatever its value has in it.
fn whole_argument(text: &str) -> Option<String> {
    let (field, _) = text.split_once('=')?;
    let (target, name) = field.split_once(".args.")?;
    (is_secret(name) && !target.contains(char::is_whitespace)).then(|| format!("{field}={REDACTED}"))
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
