//! Redaction. The first line of an input is a secret, what follows is a text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use redaction::SHORTEST;
use serde_json::Value;

use crate::redact::Redactor;

pub(super) fn run(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let (secret, text) = text.split_once('\n').unwrap_or(("hunter22hunter", &text));
    let is_plain = secret.chars().all(|c| c.is_ascii_alphanumeric());
    let redactor = Redactor::default();
    redactor.learn(secret);
    redactor.learn_content(text);
    let redactor = Redactor::default();
    redactor.learn(secret);
    let (shown, mut in_key) = (redactor.text(text).into_owned(), false);
    for line in text.lines() {
        let line = redactor.line(line, &mut in_key);
        assert!(!is_plain || secret.len() < 2 * SHORTEST || !line.contains(secret), "{line:?}");
    }
    if let Ok(mut document) = serde_json::from_str::<Value>(text) {
        redactor.json(&mut document);
        assert!(
            !is_plain || secret.len() < 2 * SHORTEST || !texts(&document).any(|text| text.contains(secret))
        );
    }
    // Short words and those that say nothing, such as `production`, are no secrets.
    if !is_plain || secret.len() < 2 * SHORTEST || !secret.contains(|c: char| c.is_ascii_digit()) {
        return;
    }
    assert!(!shown.contains(secret), "{shown:?}");
    for before in ["", "a", "ab"] {
        let encoded = STANDARD.encode(format!("{before}{secret} and more"));
        let shown = redactor.text(&encoded).into_owned();
        assert!(!shown.contains(&encoded[4..encoded.len() - 8]), "{shown:?}");
    }
    let around = format!("{text}{secret}{text}");
    assert!(!redactor.text(&around).contains(secret), "{around:?}");
}

/// Every text of a document.
fn texts(value: &Value) -> Box<dyn Iterator<Item = &str> + '_> {
    match value {
        Value::String(text) => Box::new(std::iter::once(text.as_str())),
        Value::Array(items) => Box::new(items.iter().flat_map(texts)),
        Value::Object(fields) => Box::new(fields.values().flat_map(texts)),
        _ => Box::new(std::iter::empty()),
    }
}
