//! The ARGs and ENVs that apply at an instruction, from those of the file and its stages.

use std::collections::BTreeMap;

use super::expand::{arguments, pairs};
use super::scope::Scope;
use super::shell::{Value, expand};
use super::stages::Base;
use super::target_inputs::{ImageConfig, Inputs};
use super::{Dockerfile, Instruction};

impl Dockerfile {
    /// Expands the expression of a FROM.
    pub(super) fn global(&self, inputs: &Inputs, text: &str) -> String {
        let globals = self.globals(inputs);
        expand(text, self.escape, &|name| globals.get(name).cloned().unwrap_or(Value::Unset)).text
    }

    /// Returns the ARGs before the first FROM, and the values that BuildKit sets by itself.
    fn globals(&self, inputs: &Inputs) -> BTreeMap<String, Value> {
        let mut scope = Scope::with(inputs.predefined());
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
                None => Scope::on_unknown_image(),
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
