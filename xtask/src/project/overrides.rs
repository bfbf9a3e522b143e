//! `--set TARGET.KEY=VALUE`, as in bake. bake checks only the keys of targets that it builds, and
//! suggests no similar key, so this module checks first.

use anyhow::Result;

use crate::error::usage;
use crate::project::ignore::Glob;
use crate::redact::Redactor;
use crate::text::suggestion;

/// Keys of bake's `--set`, as its reference lists them.
const KEYS: &[&str] = &[
    "annotations",
    "args",
    "attest",
    "cache-from",
    "cache-to",
    "call",
    "context",
    "contexts",
    "dockerfile",
    "entitlements",
    "labels",
    "load",
    "network",
    "no-cache",
    "no-cache-filter",
    "output",
    "platform",
    "policy",
    "pull",
    "push",
    "secrets",
    "shm-size",
    "ssh",
    "tags",
    "target",
    "ulimits",
];

/// Keys that have a name each, and keys that are lists, among those that a bake file can have
/// instead of `--set`.
pub(crate) const NAMED: &[&str] = &["args", "contexts", "labels"];
pub(crate) const LISTS: &[&str] = &["cache-from", "cache-to", "output"];

/// One parsed `--set`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting<'a> {
    /// The pattern of its targets.
    pub pattern: &'a str,
    pub key: &'a str,
    /// The name of an argument, a context or a label; else empty.
    pub name: &'a str,
    pub value: &'a str,
}

/// Parses a `--set`.
pub(crate) fn setting(set: &str) -> Option<Setting<'_>> {
    let (field, value) = set.split_once('=')?;
    let mut parts = field.trim_end_matches('+').splitn(3, '.');
    let (pattern, key) = (parts.next()?, parts.next()?);
    Some(Setting { pattern, key, name: parts.next().unwrap_or_default(), value })
}

/// Returns whether a pattern of `--set` matches a target. The caller handles an exact name, which
/// matches alone.
pub(crate) fn is_match(pattern: &str, target: &str) -> bool {
    pattern == target || Glob::new(pattern).is_some_and(|glob| glob.matches(target))
}

/// Returns whether a `--set` has this key for this target.
pub(crate) fn is_for(set: &str, key: &str, target: &str) -> bool {
    setting(set).is_some_and(|setting| setting.key == key && is_match(setting.pattern, target))
}

/// Returns whether the value of a `--set` must not be in a command: an argument, or a value that
/// may contain a secret. `ps` shows commands to every user of the machine.
pub(crate) fn is_by_variable(set: &str) -> bool {
    setting(set).is_some_and(|setting| {
        let key = setting.key;
        let is_known = NAMED.contains(&key) || LISTS.contains(&key) || key == "context";
        key == "args" || is_known && Redactor::default().text(set) != set
    })
}

/// Checks the form and the key of one `--set`.
pub(crate) fn check(set: &str) -> Result<()> {
    let form = || {
        usage(format!(
            "`--set {set}` is not of the form TARGET.KEY=VALUE\nfor example: --set app.args.DEBUG=1"
        ))
    };
    let (field, _) = set.split_once('=').ok_or_else(form)?;
    let mut parts = field.splitn(3, '.');
    let (Some(target), Some(key)) = (parts.next(), parts.next()) else { return Err(form()) };
    if target.is_empty() || key.is_empty() {
        return Err(form());
    }
    let plain = key.trim_end_matches('+');
    if !KEYS.contains(&plain) {
        let near = suggestion(plain, KEYS.iter().copied());
        return Err(usage(format!(
            "unknown key `{plain}` in `--set {set}`{near}\nbake supports: {}",
            KEYS.join(", ")
        )));
    }
    if ["args", "contexts", "labels"].contains(&plain) && parts.next().is_none_or(str::is_empty) {
        return Err(usage(format!(
            "`--set {set}` lacks a name\nfor example: --set {target}.{plain}.NAME=VALUE"
        )));
    }
    Ok(())
}

/// Parses `--build-arg K=V` for every target. `--build-arg K` takes the value from the environment,
/// as docker does.
pub(crate) fn build_arg(arg: &str, env: impl Fn(&str) -> Option<String>) -> Result<String> {
    match arg.split_once('=') {
        Some((name, _)) if !name.is_empty() => Ok(format!("*.args.{arg}")),
        None if !arg.is_empty() => match env(arg) {
            Some(value) => Ok(format!("*.args.{arg}={value}")),
            None => {
                Err(usage(format!("`--build-arg {arg}` has no value, and the environment has no `{arg}`")))
            }
        },
        _ => Err(usage(format!("`--build-arg {arg}` is not of the form NAME=VALUE"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_checked_before_bake_drops_them() {
        assert!(check("app.args.X=1").is_ok());
        assert!(check("*.platform=linux/arm64").is_ok());
        assert!(check("app.cache-from+=type=local,src=x").is_ok());
        for (bad, word) in [
            ("app", "form"),
            ("app=1", "form"),
            (".args.X=1", "form"),
            ("app.arg.X=1", "did you mean `args`"),
            ("app.args=1", "lacks a name"),
        ] {
            let error = check(bad).expect_err(bad).to_string();
            assert!(error.contains(word), "{bad}: {error}");
        }
    }

    #[test]
    fn a_build_argument_may_take_its_value_from_the_environment() {
        let env = |name: &str| (name == "SET").then(|| "v".to_owned());
        assert_eq!(build_arg("A=b=c", env).expect("a value"), "*.args.A=b=c");
        assert_eq!(build_arg("SET", env).expect("in the environment"), "*.args.SET=v");
        assert!(build_arg("UNSET", env).is_err());
        assert!(build_arg("=x", env).is_err());
    }
}
