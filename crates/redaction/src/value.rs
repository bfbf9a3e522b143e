//! Values: their length, with and without quotes, and whether one can be a secret.

/// Returns the length of the value that a text begins with, with its quotes. Returns `None` if it
/// is no secret.
pub(super) fn value(text: &str) -> Option<usize> {
    let bare = text.trim_start_matches('\\');
    let quote = bare.chars().next().filter(|c| *c == '"' || *c == '\'');
    let length = match quote {
        Some(quote) => {
            let open = text.len() - bare.len() + 1;
            let inside = quoted(&text[open..], quote, open > 1);
            if is_reference(&text[open..open + inside]) {
                return None;
            }
            let rest = text[open + inside..].trim_start_matches('\\');
            text.len() - rest.len() + usize::from(rest.starts_with(quote))
        }
        None => {
            let stops = |c: char| c.is_whitespace() || "\"'&;)`".contains(c);
            let length = text.find(stops).unwrap_or(text.len());
            if is_reference(&text[..length]) {
                return None;
            }
            length
        }
    };
    (length > 0).then_some(length)
}

/// Returns the length of the inside of a quoted text. If the opening quote has a backslash before
/// it, as in JSON within a string, so has the closing one. Otherwise a quote after a backslash is
/// part of the text.
pub(super) fn quoted(text: &str, quote: char, is_nested: bool) -> usize {
    if is_nested {
        let end = text.find(quote).unwrap_or(text.len());
        return text[..end].trim_end_matches('\\').len();
    }
    let mut is_escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            '\n' => return at,
            c if c == quote && !is_escaped => return at,
            c => is_escaped = c == '\\' && !is_escaped,
        }
    }
    text.len()
}

/// Values that are switches.
const SWITCHES: &[&str] = &["0", "1", "true", "false", "yes", "no", "on", "off", "none", "null", "NULL"];

/// Returns whether a value is no secret by itself: a reference to a variable (`$NAME`, `${NAME}`,
/// `$(cmd)`), a switch, or the place of a secret in a container.
pub(super) fn is_reference(value: &str) -> bool {
    if SWITCHES.contains(&value) || value.starts_with("/run/secrets/") || value.starts_with("/dev/") {
        return true;
    }
    let Some(rest) = value.strip_prefix('$') else { return value.starts_with("***") };
    let is_name =
        |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    match rest.strip_prefix('{') {
        Some(rest) => rest.strip_suffix('}').is_some_and(is_name),
        None => rest.starts_with('(') || is_name(rest) || rest.starts_with('{'),
    }
}

/// Returns whether a word is no word of a language: long, with digits and letters.
pub(super) fn is_random(word: &str) -> bool {
    let has = |is: fn(&char) -> bool| word.chars().any(|c| is(&c));
    word.len() >= 8 && has(char::is_ascii_digit) && has(char::is_ascii_alphabetic) && !word.contains("://")
}
