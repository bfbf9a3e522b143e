//! Edits to JSON as text, so that every byte that is not meant stays. They read no more than they
//! must: whoever edits checks the result with a parser.

use serde_json::Value;

/// Takes out a member with the space before it and the comma that parted it from the next or the
/// one before.
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

/// Puts a member first into the object whose brace is at `brace`; `close` goes before the brace of
/// an empty one.
pub(crate) fn insert_first(text: &str, brace: usize, member: &str, close: &str) -> String {
    let (head, rest) = text.split_at(brace + 1);
    let is_empty = rest.trim_start().starts_with('}');
    if is_empty {
        format!("{head}{member}{close}{}", rest.trim_start())
    } else {
        format!("{head}{member},{rest}")
    }
}

/// Where a member and its value begin, in the object whose brace is at `brace`.
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

/// Where the value of a member begins.
pub(crate) fn value_of(text: &str, brace: usize, name: &str) -> Option<usize> {
    member(text, brace, name).map(|(_, value)| value)
}

/// One past the closing quote of the string that begins at `start`.
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
