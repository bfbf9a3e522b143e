//! The variables, the directory and the settings at one place of a stage.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use super::shell::{Expanded, Lexer, Value, expand};
use super::target_inputs::ImageConfig;

/// The PATH of a stage whose image has none.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Variables and directory at one place of a stage.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope {
    /// The variables of the image so far.
    env: BTreeMap<String, Value>,
    /// Their names, in the order of the image.
    env_order: Vec<String>,
    /// The current values: of an ENV and an ARG the later one, as in BuildKit (measured).
    pub(super) variables: BTreeMap<String, Value>,
    /// Their names, in the order of their last change.
    order: Vec<String>,
    /// Bytes of the values.
    bytes: usize,
    /// Whether an unknown image may set variables.
    foreign: bool,
    /// The current directory; unknown after a foreign image until an absolute WORKDIR.
    pub(super) workdir: Option<String>,
    /// The values of USER and SHELL.
    pub(super) settings: BTreeMap<&'static str, String>,
}

/// The most bytes of all variables of a step. A value that exceeds it is unknown: each step has a
/// copy.
const LONGEST_VALUES: usize = 128 << 10;

impl Scope {
    /// Creates one with these variables alone.
    pub(super) fn with(variables: BTreeMap<String, Value>) -> Self {
        Self { variables, ..Self::default() }
    }

    /// Returns the initial scope of a stage based on an image whose configuration is unknown.
    pub(super) fn on_unknown_image() -> Self {
        Self { foreign: true, ..Self::default() }
    }

    /// Returns the state of a variable.
    pub(super) fn value(&self, name: &str) -> Value {
        let otherwise = if self.foreign { Value::Unknown } else { Value::Unset };
        self.variables.get(name).cloned().unwrap_or(otherwise)
    }

    /// Returns the variables of a RUN as (kind, name, value), without those of a foreign image. An
    /// unknown value is `?`.
    pub(super) fn given(&self) -> impl Iterator<Item = (&'static str, &str, String)> {
        let text = |value: &Value| match value {
            Value::Set(text) => text.clone(),
            Value::Unset | Value::Unknown => "?".to_owned(),
        };
        let variables = self.variables.iter().map(move |(name, value)| {
            let kind = if self.env.get(name) == Some(value) { "env" } else { "arg" };
            (kind, name.as_str(), text(value))
        });
        let settings = self.settings.iter().map(|(kind, value)| (*kind, "", value.clone()));
        let workdir = self.workdir.iter().map(|path| ("workdir", "", path.clone()));
        variables.chain(settings).chain(workdir)
    }

    /// Returns the names of the variables, in the order in which a RUN gets them.
    pub(super) fn order(&self) -> String {
        self.order.join(" ")
    }

    /// Returns the value of USER.
    pub(super) fn user(&self) -> Option<&str> {
        self.settings.get("user").map(String::as_str).filter(|user| !user.is_empty())
    }

    /// Returns the initial scope of a stage based on this one: all current values, including ARGs,
    /// with the image's variables set again.
    pub(super) fn inherited(self) -> Self {
        let mut scope = self;
        for name in scope.env_order.clone() {
            if let Some(value) = scope.env.get(&name).cloned() {
                scope.set_variable(name, value);
            }
        }
        scope
    }

    /// Returns the initial scope of a stage based on an image.
    pub(super) fn on(image: &ImageConfig) -> Self {
        let mut scope = Self { foreign: image.is_partial, ..Self::default() };
        let root = Self { workdir: Some(String::new()), ..Self::default() };
        for (name, value) in &image.env {
            scope.set_env(name.clone(), value.clone().map_or(Value::Unknown, Value::Set));
        }
        if !scope.foreign && !scope.env.contains_key("PATH") {
            scope.set_env("PATH".to_owned(), Value::Set(PATH.to_owned()));
        }
        scope.workdir = image.workdir.as_ref().and_then(|path| root.directory(path));
        for (kind, value) in [("user", &image.user), ("shell", &image.shell)] {
            if !value.is_empty() {
                scope.settings.insert(kind, value.clone());
            }
        }
        scope
    }

    /// Returns the configuration of an image that ends here, without its ONBUILDs.
    pub(super) fn image(&self) -> ImageConfig {
        let value = |name: &String| match self.env.get(name) {
            Some(Value::Set(value)) => Some(value.clone()),
            _ => None,
        };
        let setting = |kind: &str| self.settings.get(kind).cloned().unwrap_or_default();
        ImageConfig {
            env: self.env_order.iter().map(|name| (name.clone(), value(name))).collect(),
            is_partial: self.foreign,
            workdir: self.workdir.clone(),
            user: setting("user"),
            shell: setting("shell"),
            triggers: Vec::new(),
        }
    }

    pub(super) fn set_env(&mut self, name: String, value: Value) {
        if !self.env_order.contains(&name) {
            self.env_order.push(name.clone());
        }
        self.env.insert(name.clone(), value.clone());
        self.set_variable(name, value);
    }

    pub(super) fn set_variable(&mut self, name: String, value: Value) {
        self.order.retain(|known| *known != name);
        self.order.push(name.clone());
        let bytes = |value: Option<&Value>| match value {
            Some(Value::Set(text)) => text.len(),
            _ => 0,
        };
        // Variables that BuildKit sets by itself do not count.
        let others = self.bytes.saturating_sub(bytes(self.variables.get(&name)));
        let fits = others + bytes(Some(&value)) <= LONGEST_VALUES;
        let value = if fits { value } else { Value::Unknown };
        self.bytes = others + bytes(Some(&value));
        self.variables.insert(name, value);
    }

    pub(super) fn expand(&self, text: &str, escape: char) -> Expanded {
        expand(text, escape, &|name| self.value(name))
    }

    /// Expands a text. One that BuildKit refuses stays unchanged.
    pub(super) fn expand_by(&self, lexer: Lexer, text: &str) -> Expanded {
        let expanded = lexer.process(text, &|name| self.value(name));
        expanded.unwrap_or_else(|| Expanded { text: text.to_owned(), ..Expanded::default() })
    }

    pub(super) fn resolved(&self, text: &str, escape: char) -> Value {
        let found = self.expand(text, escape);
        if found.unknown.is_empty() { Value::Set(found.text) } else { Value::Unknown }
    }

    /// Returns the directory of a RUN after a WORKDIR, or the target of a mount. Like BuildKit,
    /// keeps an absolute path as it is written. Returns `None` if the current directory is unknown.
    pub(super) fn directory(&self, path: &str) -> Option<String> {
        if path.starts_with('/') { Some(path.to_owned()) } else { self.absolute(path) }
    }

    /// Resolves a path against the current directory. Returns `None` if that is unknown.
    pub(super) fn absolute(&self, path: &str) -> Option<String> {
        if path.starts_with('/') {
            return Some(clean(path));
        }
        Some(clean(&format!("{}/{path}", self.workdir.as_deref()?)))
    }
}

/// Normalizes a path as Go's `path.Clean` does: removes `.`, `..` and doubled slashes.
pub(in crate::project) fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let is_absolute = path.starts_with('/');
    for part in Path::new(path).components() {
        match part {
            Component::Normal(name) => parts.extend(name.to_str()),
            Component::ParentDir if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            Component::ParentDir if !is_absolute => parts.push(".."),
            _ => {}
        }
    }
    let joined = parts.join("/");
    match (is_absolute, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".into(),
        (false, false) => joined,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_as_go_cleans_them() {
        for (path, expected) in [
            ("/a//b/", "/a/b"),
            ("/a/./b/..", "/a"),
            ("/..", "/"),
            ("a/", "a"),
            ("./a", "a"),
            ("../a", "../a"),
            ("", "."),
        ] {
            assert_eq!(clean(path), expected, "{path}");
        }
    }
}
