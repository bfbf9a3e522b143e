//! Dockerfiles and names of files that are not UTF-8. A byte that is not part of a character
//! becomes a private-use character. So texts that differ only in such bytes stay different, and can
//! be written back unchanged.

/// The private-use character for byte 0.
const FIRST: u32 = 0x0010_FF00;

/// Decodes the bytes of a Dockerfile or of a file's name.
pub(crate) fn decode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            // A character that stands for a byte here, and is in the file, is written as its bytes.
            match byte(c) {
                Some(_) => text.extend(c.encode_utf8(&mut [0; 4]).bytes().filter_map(private)),
                None => text.push(c),
            }
        }
        text.extend(chunk.invalid().iter().copied().filter_map(private));
    }
    text
}

/// Returns the bytes of a decoded text.
pub(crate) fn encode(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    for c in text.chars() {
        match byte(c) {
            Some(byte) => bytes.push(byte),
            None => bytes.extend(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    bytes
}

/// Returns a decoded text for display, which is also BuildKit's name of the step: with a
/// replacement character for each such byte.
pub(super) fn shown(text: &str) -> String {
    text.chars().map(|c| if byte(c).is_some() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// Returns a decoded text for display, with `\xE9` for each such byte, so that different texts stay
/// different.
pub(crate) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match byte(c) {
            Some(byte) => escaped += &format!("\\x{byte:02X}"),
            None => escaped.push(c),
        }
    }
    escaped
}

fn private(byte: u8) -> Option<char> {
    char::from_u32(FIRST + u32::from(byte))
}

fn byte(c: char) -> Option<u8> {
    u8::try_from(u32::from(c).checked_sub(FIRST)?).ok().filter(|byte| *byte >= 0x80)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_survive_and_differ() {
        let bytes = b"RUN echo \xe9 \xc3\xa9 \xff\n";
        let text = decode(bytes);
        assert_eq!(encode(&text), bytes);
        let own = "RUN echo \u{10ffe9} \u{10ff7f}\n".as_bytes();
        assert_eq!(encode(&decode(own)), own, "a private character of the file's own");
        assert_ne!(text, decode(b"RUN echo \xe8 \xc3\xa9 \xff\n"));
        assert_eq!(escaped(&decode(b"caf\xe9 \xc3\xa9")), "caf\\xE9 \u{e9}");
        assert_eq!(shown(&text), "RUN echo \u{fffd} \u{e9} \u{fffd}\n");
    }
}
