//! The last filter of all output: no secret, no control of a terminal or of a CI's log parser. Code
//! that prints lines of builds filters them itself, with colors, and bypasses it.

use std::borrow::Cow;
use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::terminal;
use crate::redact::Redactor;

/// The redactor of this process.
static REDACTOR: OnceLock<Redactor> = OnceLock::new();

/// Redacts all output from now on.
pub(crate) fn protect(redactor: &Redactor) {
    let _ = REDACTOR.set(redactor.clone());
}

/// Returns a text as it is printed.
pub(crate) fn shown(text: &str) -> String {
    shown_by(REDACTOR.get(), text)
}

fn shown_by(redactor: Option<&Redactor>, text: &str) -> String {
    let redact =
        |text: &str| redactor.map_or_else(|| text.to_owned(), |redactor| redactor.text(text).into_owned());
    if !text.starts_with('{') {
        // Removed characters may have stood in a secret.
        return redact(&terminal::lines(text));
    }
    let redacted = redact(text);
    if redacted == text {
        return terminal::json(text);
    }
    // A document is redacted value by value.
    let document = redactor.and_then(|redactor| redactor.json_text(text));
    terminal::json(&document.unwrap_or(redacted))
}

/// Redacts one item of BuildKit's progress stream. The output of steps is in Base64 there.
pub(crate) fn item(redactor: &Redactor, raw: &str) -> String {
    let Ok(mut value) = serde_json::from_str::<Value>(raw) else {
        return redactor.text(&terminal::lines(raw.trim_end())).into_owned();
    };
    for (list, fields) in [("logs", &["data"][..]), ("warnings", &["short", "detail"])] {
        let entries = value.get_mut(list).and_then(Value::as_array_mut);
        for entry in entries.into_iter().flatten().filter_map(Value::as_object_mut) {
            let texts = entry.iter_mut().filter(|(name, _)| fields.contains(&name.as_str()));
            texts.for_each(|(_, text)| clear(text, redactor));
        }
    }
    redactor.json(&mut value);
    terminal::json(&value.to_string())
}

/// Redacts Base64 content.
fn clear(value: &mut Value, redactor: &Redactor) {
    match value {
        Value::String(data) => {
            let bytes = STANDARD.decode(&*data).unwrap_or_default();
            if let Cow::Owned(text) = redactor.text(&String::from_utf8_lossy(&bytes)) {
                *data = STANDARD.encode(text);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| clear(item, redactor)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_documents_are_printed_without_secrets_and_sequences() {
        let redactor = Redactor::default();
        redactor.learn("hunter22");
        let shown = |text: &str| shown_by(Some(&redactor), text);
        assert_eq!(shown("a \x1b[2Jhunter22\n::error::b\n"), "a ***\n: :error::b\n");
        assert_eq!(shown("{\"secret\":true,\"a\":\"##[x]\"}\n"), "{\"secret\":true,\"a\":\"#\\u0023[x]\"}\n");
        let document: Value =
            serde_json::from_str(&shown("{\"secret\":true,\"a\":\"hunter22\"}\n")).expect("JSON");
        assert_eq!(document, serde_json::json!({"secret": true, "a": "***"}));
        assert_eq!(shown_by(None, "hunter22\x07"), "hunter22");
        assert_eq!(shown("hunt\x1b[0mer22\x07\n"), "***\n", "characters of the terminal are in between");
        assert_eq!(shown("{x hunter22\n"), "{x ***\n", "it looks like a document");
        assert_eq!(item(&redactor, "{\n{hunt\0er22\n"), "{\n{***");
    }

    #[test]
    fn an_item_of_the_stream_has_no_secret_in_base64() {
        let redactor = Redactor::default();
        redactor.learn("hunter22");
        let data = STANDARD.encode("the word is hunter22\n");
        let raw = serde_json::json!({"logs": [{"vertex": "v", "data": data}],
            "warnings": [{"short": STANDARD.encode("TOKEN=x"), "detail": [STANDARD.encode("hunter22")]}],
            "vertexes": [{"name": "RUN hunter22 \u{9b}2J"}]});
        let item: Value = serde_json::from_str(&item(&redactor, &raw.to_string())).expect("JSON");
        let read = |value: &Value| {
            String::from_utf8(STANDARD.decode(value.as_str().expect("text")).expect("Base64")).expect("text")
        };
        assert_eq!(read(&item["logs"][0]["data"]), "the word is ***\n");
        assert_eq!(read(&item["warnings"][0]["short"]), "TOKEN=***");
        assert_eq!(read(&item["warnings"][0]["detail"][0]), "***");
        assert_eq!(item["vertexes"][0]["name"], "RUN *** \u{9b}2J");
    }
}
