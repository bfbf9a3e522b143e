//! The texts to redact for a secret's content: the content itself, its parts, and other encodings.

use std::fmt::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use redaction::SHORTEST;

/// The length from which a word among others is redacted by itself.
const RUN: usize = 8;
/// The maximum number of parts of a secret.
const MOST_PARTS: usize = 4000;
/// Values that are not secret.
const TRIVIAL: &[&str] = &[
    "default",
    "production",
    "development",
    "staging",
    "testing",
    "disabled",
    "enabled",
    "localhost",
    "127.0.0.1",
    "required",
    "latest",
    "example",
];

/// Returns a value as a whole.
pub(super) fn whole(value: &str) -> Option<&str> {
    let value = value.trim();
    let is_secret = value.len() >= SHORTEST && !TRIVIAL.contains(&value.to_ascii_lowercase().as_str());
    is_secret.then_some(value)
}

/// Returns every part of a content that may be shown alone.
pub(super) fn parts(content: &str) -> Vec<String> {
    let mut found = Vec::new();
    if content.trim().lines().count() == 1 {
        found.extend(whole(content).map(str::to_owned));
    }
    if let Ok(json) = serde_json::from_str::<serde_json::Value>(content) {
        scalars(&json, &mut found);
    }
    let mut is_password = false;
    for line in content.lines().map(str::trim) {
        if line.starts_with('#') || line.starts_with(';') || line.starts_with("-----") {
            continue;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        if let [word] = words[..] {
            let value =
                word.split_once('=').filter(|(name, _)| is_name(name)).map_or(word, |(_, value)| value);
            found.extend(whole(unquoted(value)).map(str::to_owned));
        } else {
            found.extend(Some(line).filter(|line| line.len() >= RUN).map(str::to_owned));
            found.extend(value_of(line).and_then(whole).map(str::to_owned));
            found.extend(
                words.iter().map(|word| unquoted(word)).filter(|word| is_run(word)).map(str::to_owned),
            );
        }
        // `.netrc`
        for word in words {
            if is_password {
                found.extend(whole(word).map(str::to_owned));
            }
            is_password = ["password", "account"].contains(&word);
        }
    }
    found.extend(users(content));
    found.truncate(MOST_PARTS);
    found
}

/// Returns passwords of URLs.
pub(super) fn users(content: &str) -> Vec<String> {
    let password = |user: &str| user.split_once(':').map_or(user, |(_, password)| password).to_owned();
    redaction::users(content).map(password).filter(|password| whole(password).is_some()).collect()
}

/// Returns a value in Base64, at each of its three offsets in a text.
pub(super) fn base64_of(value: &str) -> Vec<String> {
    let mut found: Vec<String> = (0..3).filter_map(|offset| base64(value, offset)).collect();
    let url_safe: Vec<String> = found.iter().map(|text| text.replace('+', "-").replace('/', "_")).collect();
    found.extend(url_safe);
    found
}

/// Returns a value in other encodings: of a URL, of JSON, of a shell.
pub(super) fn writings(value: &str) -> Vec<String> {
    let is_open = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
    let percent = |upper: bool| {
        value.bytes().fold(String::new(), |mut text, byte| {
            let _ = match byte {
                byte if is_open(byte) => write!(text, "{}", char::from(byte)),
                byte if upper => write!(text, "%{byte:02X}"),
                byte => write!(text, "%{byte:02x}"),
            };
            text
        })
    };
    let json = serde_json::Value::from(value).to_string();
    let json = json[1..json.len() - 1].to_owned();
    let mut found = vec![percent(true), percent(false), json, value.replace('\'', "'\\''")];
    found.retain(|text| text != value && text.len() >= SHORTEST);
    found
}

/// Returns the plain text of a value that may be written in another encoding: of a URL, of JSON and
/// YAML, or between single quotes of YAML or a shell.
pub(super) fn readings(value: &str) -> Vec<String> {
    let json = || serde_json::from_str::<String>(&format!("\"{value}\"")).ok();
    let mut found = vec![value.replace("''", "'"), value.replace("'\\''", "'"), value.replace("\\\"", "\"")];
    found.extend(value.contains('\\').then(json).flatten());
    found.extend(value.contains('%').then(|| percent_decoded(value)).flatten());
    found.retain(|text| text != value && whole(text).is_some());
    found
}

/// Returns the text of a part of a URL; `None` if it is not UTF-8.
fn percent_decoded(value: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::new(), value.as_bytes());
    while let [first, more @ ..] = rest {
        let digits = (*first == b'%').then(|| value.get(value.len() - more.len()..)?.get(..2)).flatten();
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &more[2..] } else { more };
    }
    String::from_utf8(bytes).ok()
}

/// Returns the Base64 characters that only depend on the value, at this offset modulo three.
fn base64(value: &str, offset: usize) -> Option<String> {
    let bytes: Vec<u8> = std::iter::repeat_n(0, offset).chain(value.bytes()).collect();
    let (begin, end) = ((offset * 8).div_ceil(6), bytes.len() * 8 / 6);
    let text = STANDARD.encode(&bytes);
    text.get(begin..end).filter(|text| text.len() >= RUN).map(str::to_owned)
}

/// Collects texts and long numbers of a document. Base64 of a text, such as `auth` of Docker's
/// configuration, is also decoded.
fn scalars(json: &serde_json::Value, found: &mut Vec<String>) {
    match json {
        serde_json::Value::String(text) => {
            found.extend(whole(text).map(str::to_owned));
            let clear = STANDARD.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let clear = clear.filter(|clear| text.len() >= RUN && !clear.contains(char::is_control));
            if let Some(clear) = clear {
                let password = clear.split_once(':').map(|(_, password)| password.to_owned());
                found.extend(password.filter(|password| whole(password).is_some()));
                found.extend(whole(&clear).map(str::to_owned));
            }
        }
        serde_json::Value::Number(number) => found.extend(whole(&number.to_string()).map(str::to_owned)),
        serde_json::Value::Array(items) => items.iter().for_each(|item| scalars(item, found)),
        serde_json::Value::Object(fields) => fields.values().for_each(|field| scalars(field, found)),
        _ => {}
    }
}

/// Returns the value in a line of YAML, of an INI file or of a list item.
fn value_of(line: &str) -> Option<&str> {
    let line = line.strip_prefix("- ").unwrap_or(line).trim_end_matches(',');
    let value = line.split_once(": ").or_else(|| line.split_once('='))?.1.trim();
    Some(unquoted(value))
}

fn unquoted(word: &str) -> &str {
    word.trim_end_matches([',', ';']).trim_matches(['"', '\'', '{', '}', '[', ']'])
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.:/".contains(c))
}

/// Returns whether a word is not a word of a language.
fn is_run(word: &str) -> bool {
    let is_word = word.chars().all(|c| c.is_lowercase() || ":.,".contains(c));
    word.len() >= RUN && !(is_word && word.len() < 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_content_is_known() {
        let table = [
            (
                r#"{"auths":{"r.example":{"auth":"dXNlcjpodW50ZXIyMg=="}}}"#,
                vec!["dXNlcjpodW50ZXIyMg==", "hunter22"],
            ),
            ("db:\n  password: two words\n  list:\n    - item-secret\n", vec!["two words", "item-secret"]),
            ("machine x login me\npassword hunter22\n", vec!["hunter22"]),
            ("machine x\n  login me password\n  hunter23\n", vec!["hunter23"]),
            ("# the configuration\nTOKEN='ab cd ef'\nX=plain1\n", vec!["ab cd ef", "plain1"]),
            ("//registry.example/:_authToken=abcdef12\nalways-auth=true\n", vec!["abcdef12"]),
            ("https://hooks.example/T/B/secret", vec!["https://hooks.example/T/B/secret"]),
            ("URL=https://u:pass-word@proxy\n", vec!["pass-word"]),
        ];
        for (content, expected) in table {
            let found = parts(content);
            for word in expected {
                assert!(found.iter().any(|part| part == word), "{word} of {content}: {found:?}");
            }
        }
        assert!(!parts("# the configuration\nx y").iter().any(|part| part.contains("configuration")));
        assert!(parts("short").is_empty() && parts("production").is_empty());
    }

    #[test]
    fn a_value_is_known_by_what_it_stands_for() {
        let table = [
            ("p%40ss%2fw%C3%B6rd%", "p@ss/wörd%"),
            ("it''s-a-secret", "it's-a-secret"),
            ("it'\\''s-a-secret", "it's-a-secret"),
            (r#"a\"b\u0063def"#, r#"a"bcdef"#),
            (r#"quote\"d $x\$"#, r#"quote"d $x\$"#),
        ];
        for (value, expected) in table {
            assert!(
                readings(value).iter().any(|reading| reading == expected),
                "{value}: {:?}",
                readings(value)
            );
        }
        for value in ["plain-secret", "50%", "%FF%FFxyzabc", "%é€%%%", "%4"] {
            assert_eq!(readings(value), [""; 0], "{value}");
        }
    }

    #[test]
    fn a_value_is_known_in_other_writings() {
        let value = "p@ss/word+1\"";
        let all = [base64_of(value), writings(value)].concat();
        for before in ["", "a", "ab", "abc"] {
            let text = STANDARD.encode(format!("{before}{value}!"));
            assert!(all.iter().any(|word| text.contains(word)), "{text}: {all:?}");
        }
        for text in ["p%40ss%2Fword%2B1%22", "p%40ss%2fword%2b1%22", "p@ss/word+1\\\""] {
            assert!(all.iter().any(|word| word == text), "{text}: {all:?}");
        }
    }
}
