//! Selects a stage or a step by the user's argument, and changes a Dockerfile so that it runs
//! again. A new `ARG` changes the key of every RUN after it, and keeps their cache mounts. ONBUILDs
//! of a stage in the same file run before it, so they get an `ONBUILD ARG`. Those of a foreign
//! image cannot be reached this way.

use super::stages::Base;
use super::{Dockerfile, Inputs, Instruction};

/// The name of the inserted ARG.
const ARG: &str = "DURANGO_FRESH";

/// The result of a selection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StepSelector {
    /// A whole stage.
    Stage(String),
    /// A RUN of a stage: the stage and the instruction in one line.
    Run(String, String),
    /// Several RUNs, as `stage/instruction`.
    Several(Vec<String>),
    /// An instruction that runs no command, or a stage without commands.
    NoCommand(String),
    /// No match; the available stages and instructions.
    Unknown(Vec<String>),
}

impl Dockerfile {
    /// Selects among the stages that a target needs: a stage, else a RUN by its text or a prefix of
    /// it, with or without flags. The prefix `STAGE/` limits the search.
    pub(crate) fn word(&self, word: &str, inputs: &Inputs) -> StepSelector {
        let stages: Vec<usize> =
            self.goal(inputs).map(|goal| self.needs(goal, inputs).into_iter().collect()).unwrap_or_default();
        let by_name = |name: &str| {
            stages.iter().copied().find(|index| self.stages[*index].name == name.to_ascii_lowercase())
        };
        if let Some(index) = by_name(word) {
            let runs = |one: &&Instruction| one.keyword == "RUN";
            if !self.effective(index, inputs).iter().any(runs) {
                return StepSelector::NoCommand(word.to_owned());
            }
            return StepSelector::Stage(self.stages[index].name.clone());
        }
        let narrowed = word.split_once('/').and_then(|(stage, text)| Some((by_name(stage)?, text)));
        let (among, text) = match narrowed {
            Some((stage, text)) => (vec![stage], text),
            None => (stages.clone(), word),
        };
        let all = || {
            among.iter().flat_map(|index| self.stages[*index].instructions.iter().map(|one| (*index, one)))
        };
        for fits in [is_it, starts_it] {
            let mut found: Vec<(usize, &Instruction)> =
                all().filter(|(_, one)| one.command().is_some_and(|run| fits(run, text))).collect();
            found.dedup_by(|one, other| (one.0, &one.1.text) == (other.0, &other.1.text));
            let name = |index: usize| self.stages[index].name.clone();
            match found.as_slice() {
                [] => {}
                [(index, one)] => return StepSelector::Run(name(*index), one.text.clone()),
                several => {
                    let shown = |(index, one): &(usize, &Instruction)| {
                        format!("{}/{}", name(*index), words(&one.text))
                    };
                    return StepSelector::Several(several.iter().map(shown).collect());
                }
            }
        }
        if let Some((_, other)) = all().find(|(_, one)| starts_it(one, text)) {
            return StepSelector::NoCommand(other.text.clone());
        }
        let names = stages.iter().map(|index| self.stages[*index].name.clone());
        let runs = stages.iter().flat_map(|index| self.stages[*index].instructions.iter());
        StepSelector::Unknown(names.chain(runs.filter_map(|one| Some(one.command()?.bare()))).collect())
    }

    /// Returns the lines, counted from 0, before which a spot's ARG goes, each with whether it is
    /// an ONBUILD's. Empty if the file no longer has the spot.
    pub(crate) fn insertions(
        &self,
        stage: &str,
        instruction: Option<&str>,
        inputs: &Inputs,
    ) -> Vec<(usize, bool)> {
        let Some(index) = self.stages.iter().position(|one| one.name == stage) else { return Vec::new() };
        let own = &self.stages[index].instructions;
        if let Some(text) = instruction {
            let found = own.iter().find(|one| words(&one.text) == words(text));
            return found.map(|one| (one.line, one.inner.is_some())).into_iter().collect();
        }
        let mut lines: Vec<(usize, bool)> = own.first().map(|one| (one.line, false)).into_iter().collect();
        if let Base::Stage(base) = self.base(index, inputs) {
            let trigger = self.stages[base].instructions.iter().find(|one| one.inner.is_some());
            lines.extend(trigger.map(|one| (one.line, true)));
        }
        lines
    }
}

/// Returns a Dockerfile with an ARG of each value inserted before its line.
pub(crate) fn with_arguments(text: &str, insertions: &[(usize, bool, u32)]) -> String {
    let mut out = String::with_capacity(text.len() + 64);
    for (number, line) in text.split_inclusive('\n').enumerate() {
        for (_, is_onbuild, value) in insertions.iter().filter(|(at, ..)| *at == number) {
            let onbuild = if *is_onbuild { "ONBUILD " } else { "" };
            out.push_str(&format!("{onbuild}ARG {ARG}={value}\n"));
        }
        out.push_str(line);
    }
    out
}

impl Instruction {
    /// Returns the RUN that this is or contains.
    fn command(&self) -> Option<&Self> {
        let run = self.inner.as_deref().unwrap_or(self);
        (run.keyword == "RUN").then_some(run)
    }

    /// Returns the text without flags, in one line with single spaces.
    fn bare(&self) -> String {
        words(&format!("{} {}", self.keyword, self.rest))
    }
}

fn is_it(one: &Instruction, text: &str) -> bool {
    let text = words(text);
    [words(&one.text), one.bare(), words(&one.rest)].contains(&text)
}

fn starts_it(one: &Instruction, text: &str) -> bool {
    let text = words(text);
    [words(&one.text), one.bare(), words(&one.rest)].iter().any(|own| own.starts_with(&text))
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "ARG BASE=debian\nFROM $BASE AS tools\nRUN --mount=type=cache,target=/c \\\n  make   tools\nCOPY a /a\n\
        RUN <<EOF\nmake\nEOF\nFROM tools AS app\n# a comment\nONBUILD RUN trigger\nRUN make app\nRUN make app -j2\n\
        FROM debian AS unused\nRUN make unused\nFROM scratch AS files\nFROM app\nCOPY --from=files /a /\n";

    #[test]
    fn words_for_stages_and_steps() {
        let file = Dockerfile::parse(FILE.as_bytes());
        let run = |stage: &str, text: &str| StepSelector::Run(stage.into(), text.into());
        let tools = "RUN --mount=type=cache,target=/c   make   tools";
        for (word, expected) in [
            ("Tools", StepSelector::Stage("tools".into())),
            ("stage-4", StepSelector::Stage("stage-4".into())),
            ("files", StepSelector::NoCommand("files".into())),
            ("RUN make tools", run("tools", tools)),
            ("make tools", run("tools", tools)),
            ("RUN make app", run("app", "RUN make app")),
            ("app/RUN make app -j", run("app", "RUN make app -j2")),
            ("trigger", run("app", "ONBUILD RUN trigger")),
            ("RUN <<EOF", run("tools", "RUN <<EOF")),
            ("COPY a /a", StepSelector::NoCommand("COPY a /a".into())),
        ] {
            assert_eq!(file.word(word, &Inputs::default()), expected, "{word}");
        }
        let several = file.word("RUN make", &Inputs::default());
        let StepSelector::Several(several) = several else { panic!("{several:?}") };
        assert_eq!(
            several,
            ["tools/RUN --mount=type=cache,target=/c make tools", "app/RUN make app", "app/RUN make app -j2"]
        );
        let unknown = file.word("unused", &Inputs::default());
        let StepSelector::Unknown(known) = unknown else { panic!("{unknown:?}") };
        assert_eq!(
            known.join(" | "),
            "tools | app | files | stage-4 | RUN make tools | RUN <<EOF | RUN trigger | RUN make app | RUN make app -j2"
        );
    }

    #[test]
    fn arguments_go_where_every_later_run_sees_them() {
        let file = Dockerfile::parse(FILE.as_bytes());
        let inputs = Inputs::default();
        for (stage, instruction, expected) in [
            ("tools", None, vec![(2, false)]),
            ("app", None, vec![(10, false)]),
            ("stage-4", None, vec![(17, false), (10, true)]),
            ("app", Some("RUN make app -j2"), vec![(12, false)]),
            ("app", Some("ONBUILD RUN trigger"), vec![(10, true)]),
            ("tools", Some("RUN --mount=type=cache,target=/c make tools"), vec![(2, false)]),
            ("gone", None, vec![]),
            ("app", Some("RUN gone"), vec![]),
        ] {
            let found = file.insertions(stage, instruction, &inputs);
            assert_eq!(found, expected, "{stage} {instruction:?}");
        }
    }

    #[test]
    fn the_rest_of_the_file_stays_as_it_is() {
        let text = "FROM a\r\nRUN <<E\r\nx\r\nE\r\nONBUILD RUN y";
        assert_eq!(
            with_arguments(text, &[(1, false, 7), (4, true, 8)]),
            "FROM a\r\nARG DURANGO_FRESH=7\nRUN <<E\r\nx\r\nE\r\nONBUILD ARG DURANGO_FRESH=8\nONBUILD RUN y"
        );
        assert_eq!(with_arguments(text, &[]), text);
    }
}
