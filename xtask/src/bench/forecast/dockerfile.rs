//! Random Dockerfiles by their stages.

use super::frontend::Frontend;
use super::instruction::instruction;
use crate::bench::random::Random;

/// A Dockerfile by its stages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Model {
    /// The lines before the first stage.
    pub(super) head: Vec<String>,
    pub(super) stages: Vec<StageModel>,
}

/// A stage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct StageModel {
    pub(super) from: String,
    /// Whether it has a shell.
    pub(super) has_shell: bool,
    /// Its instructions, the first of which sets it apart from all other builds.
    pub(super) lines: Vec<String>,
}

/// The names and files that a random instruction may use.
pub(super) struct Around<'a> {
    /// Files of the context that are not special.
    pub(super) files: Vec<String>,
    pub(super) flags: Frontend,
    /// Named contexts.
    pub(super) contexts: &'a [&'static str],
    /// Stages before.
    pub(super) stages: &'a [StageModel],
    pub(super) has_shell: bool,
}

impl Model {
    /// A Dockerfile for the image `base`. `salt` is in no other.
    pub(super) fn new(
        base: &str,
        salt: &str,
        (files, contexts): (&[String], &[&'static str]),
        flags: Frontend,
        random: &mut Random,
    ) -> Self {
        let mut model =
            Self { head: vec![format!("ARG BASE={base}"), "ARG G=one".to_owned()], ..Self::default() };
        if random.once_in(4) {
            model.head.insert(0, random.of(&["# check=skip=all", "# a comment", "#"]).to_owned());
        }
        for index in 0..1 + random.below(3) {
            let stage = model.stage(index, salt, (files, contexts), flags, random);
            model.stages.push(stage);
        }
        model
    }

    fn stage(
        &self,
        index: usize,
        salt: &str,
        (files, contexts): (&[String], &[&'static str]),
        flags: Frontend,
        random: &mut Random,
    ) -> StageModel {
        let below = (index > 0 && random.once_in(3)).then(|| random.below(index));
        let (source, has_shell) = match below {
            Some(below) => (format!("s{below}"), self.stages[below].has_shell),
            None if random.once_in(3) => {
                let base = random.of(&["$BASE", "${BASE}", "${BASE:-x}", "--platform=$BUILDPLATFORM $BASE"]);
                (base.to_owned(), true)
            }
            None => ("scratch".to_owned(), false),
        };
        let from = random.of(&["FROM", "FROM", "from"]).to_owned();
        let mut stage =
            StageModel { from: format!("{from} {source} AS s{index}"), has_shell, lines: Vec::new() };
        stage.lines.push(format!("WORKDIR /salt-{salt}-{index}"));
        for _ in 0..2 + random.below(6) {
            let (stages, has_shell) = (self.stages.as_slice(), stage.has_shell);
            let around = Around { files: files.to_vec(), flags, contexts, stages, has_shell };
            let line = instruction(&around, random);
            stage.lines.push(line);
        }
        stage
    }

    /// The file's text.
    pub(super) fn text(&self) -> String {
        let stage = |stage: &StageModel| format!("{}\n{}\n", stage.from, stage.lines.join("\n"));
        format!("{}\n{}", self.head.join("\n"), self.stages.iter().map(stage).collect::<String>())
    }
}
