//! The last filter of all output: no secret, no control of a terminal or of a CI's log parser. Code
//! that prints lines of builds filters them itself, with colors, and bypasses it.

use std::sync::OnceLock;

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

#[cfg(test)]
mod tests {
    use serde_json::Value;

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
    }
}
