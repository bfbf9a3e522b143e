//! Edits of JSON as text, which keep every other byte. They parse as little as possible, so the
//! caller checks the result with a parser.

use serde_json::Value;

/// Removes a member with the space before it and its comma.
pub(crate) fn without_member(text: &str, brace: usize, name: &str) -> String {
    let Some((start, value)) = member(text, brace, name) else { return text.to_owned() };
    let mut values = serde_json::Deserializer::from_str(&text[value..]).into_iter::<Value>();
    if !matches!(values.next(), Some(Ok(_))) {
        return text.to_owned();
    }
    let after = &text[value + values.byte_offset()..];
    let before = text[..start].trim_end();
    match after.trim_start().strip_prefix(',') {
        Some(rest) => format!("{before}{rest}"),
        None => format!("{}{after}", before.strip_suffix(',').unwrap_or(before)),
    }
}

/// Inserts a member at the start of the object whose brace is at `brace`. `close` goes before the
/// closing brace of an empty object.
pub(crate) fn insert_first(text: &str, brace: usize, member: &str, close: &str) -> String {
    let (head, rest) = text.split_at(brace + 1);
    let is_empty = rest.trim_start().starts_with('}');
    if is_empty {
        format!("{head}{member}{close}{}", rest.trim_start())
    } else {
        format!("{head}{member},{rest}")
    }
}

/// Returns the start of a member and of its value, in the object whose brace is at `brace`.
fn member(text: &str, brace: usize, name: &str) -> Option<(usize, usize)> {
    let bytes = text.as_bytes();
    let (mut depth, mut at) = (0_usize, brace);
    while at < bytes.len() {
        match bytes[at] {
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 1 => return None,
            b'}' | b']' => depth -= 1,
            b'"' => {
                let end = string_end(bytes, at)?;
                let after = text[end..].trim_start();
                if depth == 1 && &text[at + 1..end - 1] == name && after.starts_with(':') {
                    return Some((at, text.len() - after[1..].trim_start().len()));
                }
                at = end - 1;
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// Returns the start of a member's value.
pub(crate) fn value_of(text: &str, brace: usize, name: &str) -> Option<usize> {
    member(text, brace, name).map(|(_, value)| value)
}

/// Returns the position after the closing quote of the string that begins at `start`.
fn string_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return Some(at + 1),
            _ => at += 1,
        }
    }
    None
}
