//! The dependencies between stages.

use std::collections::BTreeSet;

use super::target_inputs::Inputs;
use super::{Dockerfile, Instruction};

/// The base of a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Base {
    Scratch,
    /// An earlier stage, by its index.
    Stage(usize),
    /// An image or a named context.
    Foreign(String),
}

impl Dockerfile {
    /// Returns the stage that a target builds: the named one, else the last.
    pub(crate) fn goal(&self, inputs: &Inputs) -> Option<usize> {
        match &inputs.stage {
            Some(word) => self.stage(word, self.stages.len(), inputs),
            None => self.stages.len().checked_sub(1),
        }
    }

    /// Returns the base of a stage, expanded with the ARGs before the first FROM.
    pub(crate) fn base(&self, stage: usize, inputs: &Inputs) -> Base {
        let name = self.global(inputs, &self.stages[stage].base);
        match self.by_name(&name, stage, inputs) {
            Some(index) => Base::Stage(index),
            None if name == "scratch" => Base::Scratch,
            None => Base::Foreign(name),
        }
    }

    /// Returns whether one stage is based on another, directly or indirectly.
    pub(crate) fn starts_from(&self, stage: &str, other: &str, inputs: &Inputs) -> bool {
        let index = |name: &str| self.stages.iter().position(|one| one.name == name);
        let (Some(mut at), Some(other)) = (index(stage), index(other)) else { return false };
        while let Base::Stage(below) = self.base(at, inputs) {
            if below == other {
                return true;
            }
            at = below;
        }
        false
    }

    /// Returns the stage with this name or index before `end`, or `None` if a named context
    /// replaces it.
    pub(crate) fn stage(&self, word: &str, end: usize, inputs: &Inputs) -> Option<usize> {
        let by_index = || word.parse().ok().filter(|index| *index < end);
        self.by_name(word, end, inputs).or_else(by_index)
    }

    /// Returns the stage with this name before `end`.
    pub(super) fn by_name(&self, word: &str, end: usize, inputs: &Inputs) -> Option<usize> {
        let name = word.to_ascii_lowercase();
        let index = self.stages[..end].iter().rposition(|stage| stage.is_named && stage.name == name)?;
        (!inputs.contexts.contains(&name)).then_some(index)
    }

    /// Adds the ONBUILDs of the base images.
    pub(crate) fn adopt(&mut self, inputs: &Inputs) {
        for stage in 0..self.stages.len() {
            if let Base::Foreign(name) = self.base(stage, inputs)
                && let Some(image) = inputs.images.get(&name)
            {
                let line = self.stages[stage].line;
                let triggers = image.triggers.iter().map(|one| (stage, Instruction { line, ..one.clone() }));
                self.triggers.extend(triggers);
            }
        }
    }

    /// Returns the ONBUILDs of the base image of a stage.
    pub(super) fn triggers_of(&self, stage: usize) -> impl Iterator<Item = &Instruction> {
        self.triggers.iter().filter(move |(of, _)| *of == stage).map(|(_, one)| one)
    }

    /// Returns the instructions that run in a stage: its base's ONBUILDs, then its own.
    pub(crate) fn effective(&self, stage: usize, inputs: &Inputs) -> Vec<&Instruction> {
        let mut found = Vec::new();
        if let Base::Stage(base) = self.base(stage, inputs) {
            found.extend(self.stages[base].instructions.iter().filter_map(|one| one.inner.as_deref()));
        }
        found.extend(self.triggers_of(stage));
        found.extend(self.stages[stage].instructions.iter().filter(|one| one.inner.is_none()));
        found
    }

    /// Returns the direct dependencies of a stage: FROM, COPY --from, RUN --mount from=.
    fn sources(&self, stage: usize, inputs: &Inputs) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        if let Base::Stage(base) = self.base(stage, inputs) {
            found.insert(base);
        }
        for instruction in self.effective(stage, inputs) {
            if instruction.keyword == "COPY"
                && let Some(from) = instruction.flag("from")
            {
                found.extend(self.stage(from, stage, inputs));
            }
            for mount in instruction.mounts() {
                let from =
                    mount.iter().rfind(|(key, _)| key == "from").and_then(|(_, value)| value.as_deref());
                found.extend(from.and_then(|from| self.by_name(from, self.stages.len(), inputs)));
            }
        }
        found
    }

    /// Returns all stages that a stage needs, including itself.
    pub(crate) fn needs(&self, stage: usize, inputs: &Inputs) -> BTreeSet<usize> {
        let (mut found, mut next) = (BTreeSet::new(), vec![stage]);
        while let Some(stage) = next.pop() {
            if found.insert(stage) {
                next.extend(self.sources(stage, inputs));
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "ARG BASE=debian\nARG FLAVOUR=two\nFROM ${BASE} AS One\nONBUILD COPY --from=tools /t /t\n\
        FROM scratch AS tools\nFROM one AS two\nFROM one\nFROM $FLAVOUR AS last\n\
        RUN --mount=type=bind,from=tools,target=/x make\nCOPY --from=3 /a /b\nFROM one AS aside\n";

    fn names(file: &Dockerfile, found: &BTreeSet<usize>) -> String {
        found.iter().map(|index| file.stages[*index].name.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_stage_needs_its_bases_and_sources() {
        let file = Dockerfile::parse(FILE.as_bytes());
        let inputs = Inputs::default();
        let stage = |name: &str| file.stage(name, file.stages.len(), &inputs).expect("it is there");
        for (name, needs) in [
            ("one", "one"),
            ("tools", "tools"),
            ("two", "one tools two"),
            ("last", "one tools two stage-3 last"),
            ("3", "one tools stage-3"),
        ] {
            assert_eq!(names(&file, &file.needs(stage(name), &inputs)), needs, "{name}");
        }
        assert_eq!(file.base(0, &inputs), Base::Foreign("debian".into()));
        assert_eq!(file.base(1, &inputs), Base::Scratch);
        assert_eq!(file.goal(&inputs), Some(5));
    }

    #[test]
    fn arguments_and_contexts_change_what_is_needed() {
        let file = Dockerfile::parse(FILE.as_bytes());
        let inputs = |args: &[(&str, &str)], contexts: &[&str]| Inputs {
            args: args.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            contexts: contexts.iter().map(|name| (*name).to_owned()).collect(),
            stage: Some("LAST".into()),
            ..Inputs::default()
        };
        let needs =
            |inputs: &Inputs| names(&file, &file.needs(file.goal(inputs).expect("it is there"), inputs));
        assert_eq!(needs(&inputs(&[("FLAVOUR", "one")], &[])), "one tools stage-3 last");
        assert_eq!(needs(&inputs(&[], &["tools"])), "one two stage-3 last");
        assert_eq!(needs(&inputs(&[], &["two"])), "one tools stage-3 last");
    }
}
