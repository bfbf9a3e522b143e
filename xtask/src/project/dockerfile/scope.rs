//! Which ARGs and ENVs hold where an instruction stands.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};

use super::stages::Base;
use super::words::{Expanded, Value, arguments, expand, pairs};
use super::{Dockerfile, Instruction};

/// What a target adds to its Dockerfile.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    /// Build arguments.
    pub args: BTreeMap<String, String>,
    /// Names of its contexts: they stand in for stages and images of that name.
    pub contexts: BTreeSet<String>,
    /// The stage it builds; the last where none is named.
    pub stage: Option<String>,
    /// What it is built for, as `linux/arm64`; empty where that is not known.
    pub platform: String,
    /// What it is built on.
    pub build_platform: String,
}

impl Inputs {
    /// Values that BuildKit sets by itself, for those who declare the name.
    fn predefined(&self) -> BTreeMap<String, Value> {
        let mut found = BTreeMap::new();
        for (prefix, platform) in [("TARGET", &self.platform), ("BUILD", &self.build_platform)] {
            let mut parts = platform.splitn(3, '/');
            let values =
                [Some(platform.as_str()), parts.next(), parts.next(), Some(parts.next().unwrap_or(""))];
            for (name, value) in ["PLATFORM", "OS", "ARCH", "VARIANT"].iter().zip(values) {
                let value = value.filter(|_| !platform.is_empty());
                let value = value.map_or(Value::Unknown, |value| Value::Set(value.to_owned()));
                found.insert(format!("{prefix}{name}"), value);
            }
        }
        found
    }
}

/// Variables and folder at one place of a stage.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope {
    /// What a stage upon this one inherits.
    env: BTreeMap<String, Value>,
    /// What holds here: of an ENV and an ARG the later one, as BuildKit has it (measured).
    variables: BTreeMap<String, Value>,
    /// Whether an image that is not ours may set variables.
    foreign: bool,
    /// The current folder; unknown below a foreign image until an absolute WORKDIR.
    workdir: Option<String>,
    /// Names of ENVs and of ARGs, each in the order in which they were set last.
    names: (Vec<String>, Vec<String>),
    /// What USER and SHELL say.
    settings: BTreeMap<&'static str, String>,
}

impl Scope {
    /// A variable's state.
    pub(super) fn value(&self, name: &str) -> Value {
        let otherwise = if self.foreign { Value::Unknown } else { Value::Unset };
        self.variables.get(name).cloned().unwrap_or(otherwise)
    }

    /// What a RUN is given here beside what a foreign image sets, as (kind, name, value); an unknown value is `?`.
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

    /// Names of the variables as a RUN is given them: ENVs, then ARGs.
    pub(super) fn order(&self) -> String {
        let (env, args) = &self.names;
        let env = env.iter().filter(|name| !args.contains(name));
        env.chain(args).map(String::as_str).collect::<Vec<_>>().join(" ")
    }

    pub(super) fn expand(&self, text: &str, escape: char) -> Expanded {
        expand(text, escape, &|name| self.value(name))
    }

    fn resolved(&self, text: &str, escape: char) -> Value {
        let found = self.expand(text, escape);
        if found.unknown.is_empty() { Value::Set(found.text) } else { Value::Unknown }
    }

    /// A path against the current folder; `None` where that is not known.
    pub(super) fn absolute(&self, path: &str) -> Option<String> {
        if path.starts_with('/') {
            return Some(clean(path));
        }
        Some(clean(&format!("{}/{path}", self.workdir.as_deref()?)))
    }
}

/// What is set again comes last.
fn last(names: &mut Vec<String>, name: &str) {
    names.retain(|known| known != name);
    names.push(name.to_owned());
}

/// As Go's `path.Clean`: `.` and `..` and doubled slashes taken away.
pub(super) fn clean(path: &str) -> String {
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
    /// Expands a FROM's expression.
    pub(super) fn global(&self, inputs: &Inputs, text: &str) -> String {
        let globals = self.globals(inputs);
        expand(text, self.escape, &|name| globals.get(name).cloned().unwrap_or(Value::Unset)).text
    }

    /// ARGs before the first FROM, and what BuildKit sets by itself.
    fn globals(&self, inputs: &Inputs) -> BTreeMap<String, Value> {
        let mut scope = Scope { variables: inputs.predefined(), ..Scope::default() };
        for instruction in self.arguments.iter().filter(|one| one.keyword == "ARG") {
            self.argument(instruction, inputs, &BTreeMap::new(), &mut scope);
        }
        scope.variables
    }

    /// Takes an ARG in: the target's value, else the default, else that of the ARG before the first FROM.
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
                last(&mut scope.names.1, &name);
                scope.variables.insert(name, value);
            }
        }
    }

    /// Goes through what is run in a stage; `visit` gets each instruction with what holds before it.
    pub(super) fn walk(
        &self,
        stage: usize,
        inputs: &Inputs,
        visit: &mut dyn FnMut(&Instruction, &Scope),
    ) -> Scope {
        let mut scope = match self.base(stage, inputs) {
            Base::Scratch => Scope { workdir: Some("/".into()), ..Scope::default() },
            Base::Foreign(_) => Scope { foreign: true, ..Scope::default() },
            Base::Stage(base) => {
                let below = self.walk(base, inputs, &mut |_, _| {});
                Scope { variables: below.env.clone(), names: (below.names.0.clone(), Vec::new()), ..below }
            }
        };
        let globals = self.globals(inputs);
        for instruction in self.effective(stage, inputs) {
            visit(instruction, &scope);
            match instruction.keyword.as_str() {
                "ARG" => self.argument(instruction, inputs, &globals, &mut scope),
                "ENV" => {
                    let before = scope.clone();
                    for (name, value) in pairs(&instruction.rest, self.escape) {
                        let value = before.resolved(value.as_deref().unwrap_or_default(), self.escape);
                        last(&mut scope.names.0, &name);
                        scope.env.insert(name.clone(), value.clone());
                        scope.variables.insert(name, value);
                    }
                }
                "USER" | "SHELL" => {
                    let kind = if instruction.keyword == "USER" { "user" } else { "shell" };
                    scope.settings.insert(kind, scope.expand(&instruction.rest, self.escape).text);
                }
                "WORKDIR" => {
                    let path = scope.expand(&instruction.rest, self.escape);
                    scope.workdir = path.unknown.is_empty().then(|| scope.absolute(&path.text)).flatten();
                }
                _ => {}
            }
        }
        scope
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value of `$X` in front of the last instruction of the last stage.
    fn last(file: &str, args: &[(&str, &str)]) -> String {
        let file = Dockerfile::parse(file.as_bytes());
        let inputs = Inputs {
            args: args.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            platform: "linux/arm64".into(),
            ..Inputs::default()
        };
        let mut found = Value::Unset;
        file.walk(file.stages.len() - 1, &inputs, &mut |_, scope| found = scope.value("X"));
        match found {
            Value::Set(text) => text,
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn scopes_of_arguments_and_variables() {
        let given: &[(&str, &str)] = &[("X", "given")];
        for (what, file, args, expected) in [
            ("not declared", "FROM scratch\nRUN a", given, "Unset"),
            ("declared", "FROM scratch\nARG X\nRUN a", given, "given"),
            ("declared later", "FROM scratch\nRUN a\nARG X", given, "Unset"),
            ("a default", "FROM scratch\nARG X=d\nRUN a", &[], "d"),
            ("a default, given", "FROM scratch\nARG X=d\nRUN a", given, "given"),
            ("global only", "ARG X=g\nFROM scratch\nRUN a", &[], "Unset"),
            ("global, declared", "ARG X=g\nFROM scratch\nARG X\nRUN a", &[], "g"),
            ("global, a default again", "ARG X=g\nFROM scratch\nARG X=d\nRUN a", &[], "d"),
            ("of another argument", "FROM scratch\nARG A=1\nARG X=${A}2\nRUN a", &[], "12"),
            ("an ENV after an ARG", "FROM scratch\nARG X=d\nENV X=e\nRUN a", given, "e"),
            ("an ARG after an ENV", "FROM scratch\nENV X=e\nARG X=d\nRUN a", given, "given"),
            ("an ARG of no value after an ENV", "FROM scratch\nENV X=e\nARG X\nRUN a", &[], "e"),
            ("that ENV is what is inherited", "FROM scratch AS a\nENV X=e\nARG X=d\nFROM a\nRUN a", &[], "e"),
            ("old ENV", "FROM scratch\nENV X the rest\nRUN a", &[], "the rest"),
            ("ENV sees what was", "FROM scratch\nENV X=1\nENV X=2 Y=$X\nENV X=$Y\nRUN a", &[], "1"),
            ("ENV is inherited", "FROM scratch AS a\nENV X=e\nFROM a\nRUN a", &[], "e"),
            ("ARG is not", "FROM scratch AS a\nARG X=d\nFROM a\nRUN a", given, "Unset"),
            ("ENV of an ARG is", "FROM scratch AS a\nARG Y=d\nENV X=$Y\nFROM a\nRUN a", &[], "d"),
            ("an ONBUILD's", "FROM scratch AS a\nONBUILD ENV X=e\nFROM a\nRUN a", &[], "e"),
            ("an ONBUILD's, not for itself", "FROM scratch AS a\nONBUILD ENV X=e\nRUN a", &[], "Unset"),
            ("a foreign base", "FROM debian\nRUN a", &[], "Unknown"),
            ("of a foreign base's", "FROM debian\nENV X=$PATH:/x\nRUN a", &[], "Unknown"),
            ("the platform", "FROM debian\nARG TARGETARCH\nENV X=$TARGETARCH\nRUN a", &[], "arm64"),
        ] {
            assert_eq!(last(file, args), expected, "{what}");
        }
    }

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
