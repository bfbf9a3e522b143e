//! Edits the daemon's configuration: turns on features and sets the build cache's limit in the
//! user's text, without changing any other byte.

use anyhow::{Result, bail};
use serde_json::Value;

use super::json_text::{insert_first, value_of, without_member};
use crate::defaults::SIZE;

/// Keeps images in containerd. Without it the `docker` driver cannot export a cache to a directory.
pub(crate) const CONTAINERD_STORE: &str = "containerd-snapshotter";
/// BuildKit for clients that ask the daemon whether to use it.
pub(crate) const BUILDKIT: &str = "buildkit";

/// The path of the daemon's configuration.
pub(crate) const PATH: &str = "/etc/docker/daemon.json";

/// Parses the configuration. An empty file is an empty object, as for the daemon.
pub(crate) fn parse(text: &str) -> Result<Value> {
    let text = text.trim_start_matches('\u{feff}');
    let value = if text.trim().is_empty() { Ok(serde_json::json!({})) } else { serde_json::from_str(text) };
    match value {
        Ok(value @ Value::Object(_)) if value.get("features").is_none_or(Value::is_object) => Ok(value),
        Ok(_) => bail!("it is not an object, or its `features` is not an object"),
        Err(error) => bail!("it is not JSON: {error}"),
    }
}

/// Returns the setting of a feature.
pub(crate) fn feature(config: &Value, name: &str) -> Option<bool> {
    config.get("features")?.get(name)?.as_bool()
}

/// The settings to make.
#[derive(Debug, Clone, Copy)]
pub struct Settings<'a> {
    /// Features to turn on.
    pub features: &'a [&'a str],
    /// Whether to set the limit of [`limit`] if the user has set none.
    pub limit: bool,
}

/// Returns the limit of the build cache: the same as for a builder of `builder up`, with layers
/// removed before cache mounts. These rules replace the engine's, which remove cache mounts after
/// 48 idle hours. `keepStorage` is the only name that all versions support.
pub(crate) fn limit() -> Value {
    let keep = format!("{SIZE}GB");
    serde_json::json!({"enabled": true, "policy": [
        {"keepStorage": keep, "filter": ["type=regular"]},
        {"keepStorage": keep, "all": true},
    ]})
}

/// Returns whether the configuration has a limit of the build cache.
pub(crate) fn has_limit(config: &Value) -> bool {
    config.get("builder").is_some_and(|builder| builder.get("gc").is_some() || !builder.is_object())
}

/// Returns the text with these settings, or `None` if it already has them.
pub fn with(text: &str, settings: Settings<'_>) -> Result<Option<String>> {
    let mut wanted = parse(text)?;
    let mut new = if text.trim().is_empty() { "{}\n".to_owned() } else { text.to_owned() };
    let before = wanted.clone();
    for name in settings.features.iter().filter(|name| feature(&before, name) != Some(true)) {
        wanted["features"][*name] = Value::Bool(true);
        new = with_feature(&new, name);
    }
    if settings.limit && !has_limit(&wanted) {
        wanted["builder"]["gc"] = limit();
        new = with_limit(&new);
    }
    Ok((wanted != before).then(|| checked(new, &wanted)))
}

/// Returns the text without the settings that `original` did not have. A feature that was off is
/// off again, and a limit that was changed since is kept.
pub(crate) fn without(text: &str, original: &str, settings: Settings<'_>) -> Result<String> {
    let (mut wanted, old) = (parse(text)?, parse(original)?);
    let mut new = text.to_owned();
    for name in settings.features {
        match feature(&old, name) {
            Some(true) => {}
            Some(false) => {
                wanted["features"][*name] = Value::Bool(false);
                new = new.replacen(&format!("\"{name}\": true"), &format!("\"{name}\": false"), 1);
            }
            None => new = without_inner(&new, &mut wanted, "features", name),
        }
    }
    if has_our_limit(&wanted) && !has_limit(&old) {
        new = without_inner(&new, &mut wanted, "builder", "gc");
    }
    for outer in ["features", "builder"] {
        let is_empty = wanted.get(outer).and_then(Value::as_object).is_some_and(|map| map.is_empty());
        if is_empty && old.get(outer).is_none() {
            wanted.as_object_mut().map(|map| map.remove(outer));
            new = new.find('{').map_or(new.clone(), |brace| without_member(&new, brace, outer));
        }
    }
    Ok(checked(new, &wanted))
}

/// Returns whether the limit is the one of [`limit`].
pub(crate) fn has_our_limit(config: &Value) -> bool {
    config.get("builder").and_then(|builder| builder.get("gc")) == Some(&limit())
}

/// The scanner of the text is small. If it ever disagrees with the parser, the formatting is lost.
fn checked(text: String, wanted: &Value) -> String {
    if parse(&text).ok().as_ref() == Some(wanted) { text } else { format!("{wanted:#}\n") }
}

/// Removes a member of an inner object from both the text and the value.
fn without_inner(text: &str, wanted: &mut Value, outer: &str, name: &str) -> String {
    wanted.get_mut(outer).and_then(Value::as_object_mut).map(|map| map.remove(name));
    let inner = text.find('{').and_then(|brace| value_of(text, brace, outer));
    inner.map_or_else(|| text.to_owned(), |inner| without_member(text, inner, name))
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

fn with_limit(text: &str) -> String {
    let Some(outer) = text.find('{') else { return text.to_owned() };
    let gc = format!("\n    \"gc\": {}", limit());
    match value_of(text, outer, "builder") {
        Some(inner) => insert_first(text, inner, &gc, "\n  "),
        None => insert_first(text, outer, &format!("\n  \"builder\": {{{gc}\n  }}"), "\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: &[&str] = &[BUILDKIT, CONTAINERD_STORE];
    const ALL: Settings<'_> = Settings { features: BOTH, limit: true };
    const LIMIT: Settings<'_> = Settings { features: &[], limit: true };

    fn on<'a>(features: &'a [&'a str]) -> Settings<'a> {
        Settings { features, limit: false }
    }

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
            assert_eq!(with(before, on(&[BUILDKIT])).unwrap().as_deref(), Some(after), "{before}");
            assert_eq!(with(after, on(&[BUILDKIT])).unwrap(), None, "{after}");
        }
    }

    #[test]
    fn other_settings_are_never_lost() {
        let text = "{\n  \"data-root\": \"/x\",\n  \"features\": {\"cdi\": true},\n  \"mtu\": 1400\n}\n";
        let new = parse(&with(text, on(BOTH)).unwrap().unwrap()).unwrap();
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
            let ours = with(original, ALL).expect("valid").expect("changed");
            let edited = ours.replacen('{', "{\"debug\": true, ", 1);
            let expected = original.replacen('{', "{\"debug\": true, ", 1);
            let undone = without(&edited, original, ALL).expect("valid");
            assert_eq!(parse(&undone).expect("valid"), parse(&expected).expect("valid"), "{undone}");
        }
        let none = with("", ALL).expect("valid").expect("changed");
        assert_eq!(parse(&without(&none, "", ALL).expect("valid")).expect("valid"), serde_json::json!({}));
    }

    #[test]
    fn a_limit_is_set_where_there_is_none_and_taken_out_where_it_is_ours() {
        let gc = format!("\n    \"gc\": {}", limit());
        let cases = [
            ("", format!("{{\n  \"builder\": {{{gc}\n  }}\n}}\n")),
            ("{\"mtu\":1400}", format!("{{\n  \"builder\": {{{gc}\n  }},\"mtu\":1400}}")),
            ("{\"builder\": {}}", format!("{{\"builder\": {{{gc}\n  }}}}")),
            (
                "{\"builder\": {\"entitlements\": {}}}",
                format!("{{\"builder\": {{{gc},\"entitlements\": {{}}}}}}"),
            ),
        ];
        for (before, after) in cases {
            assert_eq!(with(before, LIMIT).unwrap().as_deref(), Some(after.as_str()), "{before}");
            assert_eq!(with(&after, LIMIT).unwrap(), None, "{after}");
            let undone = without(&after, before, LIMIT).unwrap();
            assert_eq!(parse(&undone).unwrap(), parse(before).unwrap(), "{undone}");
            // Later changes of the user are kept.
            let edited = after.replace("40GB", "90GB");
            assert_eq!(without(&edited, before, LIMIT).unwrap(), edited);
        }
        for own in
            ["{\"builder\":{\"gc\":{}}}", "{\"builder\":{\"gc\":{\"enabled\":false}}}", "{\"builder\":null}"]
        {
            assert_eq!(with(own, LIMIT).unwrap(), None, "{own}");
            assert_eq!(without(own, own, LIMIT).unwrap(), own);
        }
    }

    #[test]
    fn what_the_daemon_would_refuse_is_an_error() {
        for text in ["{", "[]", "{\"features\": []}", "{} x", "features: {}"] {
            assert!(with(text, on(BOTH)).is_err(), "{text}");
        }
    }
}
