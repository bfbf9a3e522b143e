//! The daemon's configuration: switching features on in the text as the user wrote it, so that every other byte stays.

use anyhow::{Result, bail};
use serde_json::Value;

/// Keeps images in containerd: without it the `docker` driver cannot export a cache to a directory.
pub const CONTAINERD_STORE: &str = "containerd-snapshotter";
/// BuildKit for clients that ask the daemon whether to use it.
pub const BUILDKIT: &str = "buildkit";

/// Where the daemon looks for its configuration.
pub const PATH: &str = "/etc/docker/daemon.json";

/// The configuration as a value; an empty file is an empty one, as for the daemon.
pub fn parse(text: &str) -> Result<Value> {
    let text = text.trim_start_matches('\u{feff}');
    let value = if text.trim().is_empty() { Ok(serde_json::json!({})) } else { serde_json::from_str(text) };
    match value {
        Ok(value @ Value::Object(_)) if value.get("features").is_none_or(Value::is_object) => Ok(value),
        Ok(_) => bail!("it is not an object, or its `features` is none"),
        Err(error) => bail!("it is not JSON: {error}"),
    }
}

/// What the configuration says about a feature.
pub fn feature(config: &Value, name: &str) -> Option<bool> {
    config.get("features")?.get(name)?.as_bool()
}

/// The text with these features on; `None` where they are on already.
pub fn with_features(text: &str, names: &[&str]) -> Result<Option<String>> {
    let mut wanted = parse(text)?;
    let off: Vec<&str> = names.iter().copied().filter(|name| feature(&wanted, name) != Some(true)).collect();
    if off.is_empty() {
        return Ok(None);
    }
    let mut new = if text.trim().is_empty() { "{}\n".to_owned() } else { text.to_owned() };
    for name in off {
        wanted["features"][name] = Value::Bool(true);
        new = with_feature(&new, name);
    }
    // The scanner below is small; where it should ever disagree with the parser, formatting is what we give up.
    if parse(&new).ok().as_ref() != Some(&wanted) {
        new = serde_json::to_string_pretty(&wanted)? + "\n";
    }
    Ok(Some(new))
}

/// The text without the features that `original` did not have; one that it had is put back to what it was.
pub fn without_features(text: &str, original: &str, names: &[&str]) -> Result<String> {
    let (mut wanted, old) = (parse(text)?, parse(original)?);
    let mut new = text.to_owned();
    for name in names {
        match feature(&old, name) {
            Some(true) => {}
            Some(false) => {
                wanted["features"][*name] = Value::Bool(false);
                new = new.replacen(&format!("\"{name}\": true"), &format!("\"{name}\": false"), 1);
            }
            None => {
                wanted.get_mut("features").and_then(Value::as_object_mut).map(|map| map.remove(*name));
                let features = new.find('{').and_then(|outer| value_of(&new, outer, "features"));
                new = features.map_or(new.clone(), |inner| without_member(&new, inner, name));
            }
        }
    }
    let is_empty = wanted.get("features").and_then(Value::as_object).is_some_and(|map| map.is_empty());
    if is_empty && old.get("features").is_none() {
        wanted.as_object_mut().map(|map| map.remove("features"));
        new = new.find('{').map_or(new.clone(), |outer| without_member(&new, outer, "features"));
    }
    if parse(&new).ok().as_ref() != Some(&wanted) {
        new = serde_json::to_string_pretty(&wanted)? + "\n";
    }
    Ok(new)
}

/// Takes out a member with the space before it and the comma that parted it from the next or the one before.
fn without_member(text: &str, brace: usize, name: &str) -> String {
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

fn with_feature(text: &str, name: &str) -> String {
    let Some(outer) = text.find('{') else { return text.to_owned() };
    let Some(inner) = value_of(text, outer, "features") else {
        return insert_first(text, outer, &format!("\n  \"features\": {{\n    \"{name}\": true\n  }}"), "\n");
    };
    match value_of(text, inner, name) {
        Some(at) => {
            let end = text[at..].find([',', '}', ' ', '\t', '\r', '\n']).map_or(text.len(), |len| at + len);
            format!("{}true{}", &text[..at], &text[end..])
        }
        None => insert_first(text, inner, &format!("\n    \"{name}\": true"), "\n  "),
    }
}

/// Puts a member first into the object whose brace is at `brace`; `close` goes before the brace of an empty one.
fn insert_first(text: &str, brace: usize, member: &str, close: &str) -> String {
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
fn value_of(text: &str, brace: usize, name: &str) -> Option<usize> {
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

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: &[&str] = &[BUILDKIT, CONTAINERD_STORE];

    #[test]
    fn every_other_byte_stays() {
        let cases = [
            ("", "{\n  \"features\": {\n    \"buildkit\": true\n  }\n}\n"),
            (
                "{\"a\":\"{\\\"features\\\"\"}",
                "{\n  \"features\": {\n    \"buildkit\": true\n  },\"a\":\"{\\\"features\\\"\"}",
            ),
            ("{ \"features\" : {} }", "{ \"features\" : {\n    \"buildkit\": true\n  } }"),
            ("{\"features\":{\"x\":false}}", "{\"features\":{\n    \"buildkit\": true,\"x\":false}}"),
            (
                "{\r\n\t\"features\": {\"buildkit\": false\r\n}}\r\n",
                "{\r\n\t\"features\": {\"buildkit\": true\r\n}}\r\n",
            ),
            (
                "{\"x\":{\"features\":{}},\"features\":{}}",
                "{\"x\":{\"features\":{}},\"features\":{\n    \"buildkit\": true\n  }}",
            ),
        ];
        for (before, after) in cases {
            assert_eq!(with_features(before, &[BUILDKIT]).unwrap().as_deref(), Some(after), "{before}");
            assert_eq!(with_features(after, &[BUILDKIT]).unwrap(), None, "{after}");
        }
    }

    #[test]
    fn other_settings_are_never_lost() {
        let text = "{\n  \"data-root\": \"/x\",\n  \"features\": {\"cdi\": true},\n  \"mtu\": 1400\n}\n";
        let new = parse(&with_features(text, BOTH).unwrap().unwrap()).unwrap();
        assert_eq!(
            (&new["data-root"], &new["mtu"], feature(&new, "cdi")),
            (&"/x".into(), &1400.into(), Some(true))
        );
        assert!(BOTH.iter().all(|name| feature(&new, name) == Some(true)));
    }

    #[test]
    fn only_what_was_added_is_taken_out_of_a_file_that_changed_since() {
        for original in [
            "{\"mtu\": 1400}\n",
            "{\"features\": {\"cdi\": true}}",
            "{\n  \"features\": {\"buildkit\": false}\n}",
        ] {
            let ours = with_features(original, BOTH).expect("valid").expect("changed");
            let edited = ours.replacen('{', "{\"debug\": true, ", 1);
            let expected = original.replacen('{', "{\"debug\": true, ", 1);
            let undone = without_features(&edited, original, BOTH).expect("valid");
            assert_eq!(parse(&undone).expect("valid"), parse(&expected).expect("valid"), "{undone}");
        }
        let none = with_features("", BOTH).expect("valid").expect("changed");
        assert_eq!(
            parse(&without_features(&none, "", BOTH).expect("valid")).expect("valid"),
            serde_json::json!({})
        );
    }

    #[test]
    fn what_the_daemon_would_refuse_is_an_error() {
        for text in ["{", "[]", "{\"features\": []}", "{} x", "features: {}"] {
            assert!(with_features(text, BOTH).is_err(), "{text}");
        }
    }
}
