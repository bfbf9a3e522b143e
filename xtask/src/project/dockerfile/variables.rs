//! The ARGs and ENVs that apply at an instruction.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use super::expand::{arguments, pairs};
use super::shell::{Expanded, Lexer, Value, expand};
use super::stages::Base;
use super::target_inputs::{ImageConfig, Inputs};
use super::{Dockerfile, Instruction};

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
    variables: BTreeMap<String, Value>,
    /// Their names, in the order of their last change.
    order: Vec<String>,
    /// Bytes of the values.
    bytes: usize,
    /// Whether an unknown image may set variables.
    foreign: bool,
    /// The current directory; unknown after a foreign image until an absolute WORKDIR.
    workdir: Option<String>,
    /// The values of USER and SHELL.
    settings: BTreeMap<&'static str, String>,
}

/// The most bytes of all variables of a step. A value that exceeds it is unknown: each step has a
/// copy.
const LONGEST_VALUES: usize = 128 << 10;

impl Scope {
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
    fn inherited(self) -> Self {
        let mut scope = self;
        for name in scope.env_order.clone() {
            if let Some(value) = scope.env.get(&name).cloned() {
                scope.set_variable(name, value);
            }
        }
        scope
    }

    /// Returns the initial scope of a stage based on an image.
    fn on(image: &ImageConfig) -> Self {
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
    fn image(&self) -> ImageConfig {
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

    fn set_env(&mut self, name: String, value: Value) {
        if !self.env_order.contains(&name) {
            self.env_order.push(name.clone());
        }
        self.env.insert(name.clone(), value.clone());
        self.set_variable(name, value);
    }

    fn set_variable(&mut self, name: String, value: Value) {
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

    fn resolved(&self, text: &str, escape: char) -> Value {
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

impl Dockerfile {
    /// Expands the expression of a FROM.
    pub(super) fn global(&self, inputs: &Inputs, text: &str) -> String {
        let globals = self.globals(inputs);
        expand(text, self.escape, &|name| globals.get(name).cloned().unwrap_or(Value::Unset)).text
    }

    /// Returns the ARGs before the first FROM, and the values that BuildKit sets by itself.
    fn globals(&self, inputs: &Inputs) -> BTreeMap<String, Value> {
        let mut scope = Scope { variables: inputs.predefined(), ..Scope::default() };
        let last = self.stages.last().filter(|stage| stage.is_named).map(|stage| stage.name.clone());
        let stage = inputs.stage.clone().or(last).unwrap_or_else(|| "default".to_owned());
        scope.variables.insert("TARGETSTAGE".to_owned(), Value::Set(stage));
        for instruction in self.arguments.iter().filter(|one| one.keyword == "ARG") {
            self.argument(instruction, inputs, &BTreeMap::new(), &mut scope);
        }
        scope.variables
    }

    /// Adds an ARG: the target's value, else its default, else that of the ARG before the first
    /// FROM.
    fn argument(
        &self,
        instruction: &Instruction,
        inputs: &Inputs,
        globals: &BTreeMap<String, Value>,
        scope: &mut Scope,
    ) {
        for (name, default) in arguments(&instruction.rest, self.escape) {
            let given = inputs.args.get(&name).cloned().map(Value::Set);
            let default = default.map(|text| scope.resolved(&text, self.escape));
            if let Some(value) = given.or(default).or_else(|| globals.get(&name).cloned()) {
                scope.set_variable(name, value);
            }
        }
    }

    /// Returns the configuration that an image of a stage passes to stages based on it.
    pub(crate) fn image(&self, stage: usize, inputs: &Inputs) -> ImageConfig {
        let own = self.stages[stage].instructions.iter();
        let triggers = own.filter_map(|one| one.inner.as_deref()).cloned().collect();
        ImageConfig { triggers, ..self.walk(stage, inputs, &mut |_, _| {}).image() }
    }

    /// Visits the instructions that run in a stage, each with the scope before it.
    pub(super) fn walk(
        &self,
        stage: usize,
        inputs: &Inputs,
        visit: &mut dyn FnMut(&Instruction, &Scope),
    ) -> Scope {
        // The stages that this one stands on, the lowest first.
        let mut stages = vec![stage];
        let mut base = self.base(stage, inputs);
        while let Base::Stage(below) = base {
            stages.insert(0, below);
            base = self.base(below, inputs);
        }
        let mut scope = match base {
            Base::Foreign(name) => match inputs.images.get(&name) {
                Some(image) => Scope::on(image),
                None => Scope { foreign: true, ..Scope::default() },
            },
            Base::Scratch | Base::Stage(_) => {
                Scope::on(&ImageConfig { workdir: Some(String::new()), ..ImageConfig::default() })
            }
        };
        let globals = self.globals(inputs);
        for below in stages.iter().copied().filter(|below| *below != stage) {
            self.walk_one(below, inputs, &globals, &mut scope, &mut |_, _| {});
            scope = scope.inherited();
        }
        self.walk_one(stage, inputs, &globals, &mut scope, visit);
        scope
    }

    /// Goes through the instructions of one stage.
    fn walk_one(
        &self,
        stage: usize,
        inputs: &Inputs,
        globals: &BTreeMap<String, Value>,
        scope: &mut Scope,
        visit: &mut dyn FnMut(&Instruction, &Scope),
    ) {
        for instruction in self.effective(stage, inputs) {
            visit(instruction, scope);
            match instruction.keyword.as_str() {
                "ARG" => self.argument(instruction, inputs, globals, scope),
                "ENV" => {
                    let before = scope.clone();
                    for (name, value) in pairs(&instruction.rest, self.escape) {
                        let value = before.resolved(value.as_deref().unwrap_or_default(), self.escape);
                        scope.set_env(before.expand(&name, self.escape).text, value);
                    }
                }
                "USER" | "SHELL" => {
                    let kind = if instruction.keyword == "USER" { "user" } else { "shell" };
                    scope.settings.insert(kind, scope.expand(&instruction.rest, self.escape).text);
                }
                "WORKDIR" => {
                    let path = scope.expand(&instruction.rest, self.escape);
                    scope.workdir = path.unknown.is_empty().then(|| scope.directory(&path.text)).flatten();
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
#[path = "variables_tests.rs"]
mod tests;
