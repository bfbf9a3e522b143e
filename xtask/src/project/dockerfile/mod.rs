//! A parsed Dockerfile: its stages, their instructions, and the cache mounts of its RUNs. Pure:
//! bytes in, values out. BuildKit defines the meaning of a Dockerfile. If this code and BuildKit
//! differ, a forecast or the list of mounts is wrong, but never a build.

mod copy;
mod encoding;
mod expand;
mod find;
mod lexer;
pub(crate) mod mounts;
mod run_mount;
mod scope;
pub(crate) mod selector;
mod shell;
mod shell_pattern;
pub(crate) mod source;
mod stages;
pub(crate) mod steps;
mod target_inputs;
mod variables;
pub(crate) mod words;

pub(super) use copy::{content_name, has_commit};
pub(crate) use encoding::{decode, encode, escaped};
pub(super) use run_mount::is_true;
pub(super) use scope::clean;
pub(crate) use stages::Base;
pub(crate) use target_inputs::{ImageConfig, Inputs};

use crate::project::mount::{MountIdentity, Sharing};
use crate::text::csv;

/// A cache mount of a RUN, its options resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CacheMount {
    /// Its identity in BuildKit.
    pub identity: MountIdentity,
    /// Whether it has an explicit `id=`. Without one, only its target identifies it.
    pub has_id: bool,
    pub sharing: Sharing,
    pub target: String,
}

/// A parsed Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dockerfile {
    /// The character that continues a line: `\` unless `# escape=` changes it.
    pub escape: char,
    /// ARGs before the first FROM.
    pub arguments: Vec<Instruction>,
    pub stages: Vec<Stage>,
    /// The ONBUILDs of the stages' base images, by stage.
    triggers: Vec<(usize, Instruction)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stage {
    /// Its name in lower case, as BuildKit prints it; `stage-N`, counted from 0, if it has none.
    pub name: String,
    /// Whether the file names it.
    pub is_named: bool,
    /// The text after FROM, unexpanded: an image or a stage.
    pub base: String,
    /// `--platform=`, unexpanded.
    pub platform: Option<String>,
    /// The line of its FROM, counted from 0.
    pub line: usize,
    /// The instructions after its FROM.
    pub instructions: Vec<Instruction>,
}

/// A document inside an instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Heredoc {
    /// The line that ends it.
    pub name: String,
    /// `<<-`: removes tabs at the start of its lines.
    pub chomp: bool,
    /// Whether COPY and ADD replace the variables in it: not if its name is quoted.
    pub expands: bool,
    /// Its lines.
    pub content: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Instruction {
    /// In upper case.
    pub keyword: String,
    /// The full text in one line without continuations and heredocs, as BuildKit names it.
    pub text: String,
    /// Flags without their dashes and quotes, such as (`mount`, `type=cache,...`).
    pub flags: Vec<(String, String)>,
    /// The text after the flags.
    pub rest: String,
    /// Its first line, counted from 0.
    pub line: usize,
    pub heredocs: Vec<Heredoc>,
    /// The inner instruction of an ONBUILD.
    pub inner: Option<Box<Instruction>>,
}

impl Dockerfile {
    /// Parses a Dockerfile. Never fails: BuildKit refuses what this cannot read.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let text = decode(bytes);
        let (mut arguments, mut stages) = (Vec::new(), Vec::<Stage>::new());
        for instruction in lexer::instructions(&text) {
            if instruction.keyword == "FROM" {
                stages.push(Stage::new(&instruction, stages.len()));
            } else if let Some(stage) = stages.last_mut() {
                stage.instructions.push(instruction);
            } else {
                arguments.push(instruction);
            }
        }
        Self { escape: lexer::escape(&text), arguments, stages, triggers: Vec::new() }
    }
}

impl Stage {
    fn new(from: &Instruction, index: usize) -> Self {
        let words: Vec<&str> = from.rest.split_whitespace().collect();
        let name = match words.as_slice() {
            [_, word, name, ..] if word.eq_ignore_ascii_case("as") => Some(name.to_ascii_lowercase()),
            _ => None,
        };
        Self {
            is_named: name.is_some(),
            name: name.unwrap_or_else(|| format!("stage-{index}")),
            base: words.first().map_or_else(String::new, |word| (*word).to_owned()),
            platform: from.flag("platform").map(str::to_owned),
            line: from.line,
            instructions: Vec::new(),
        }
    }
}

impl Instruction {
    /// Returns the value of a flag.
    pub(crate) fn flag(&self, name: &str) -> Option<&str> {
        self.flags.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Returns the options of each `--mount=`, unexpanded: (key in lower case, value).
    pub(crate) fn mounts(&self) -> impl Iterator<Item = Vec<(String, Option<String>)>> {
        let mounts = self.flags.iter().filter(|(name, _)| self.keyword == "RUN" && name == "mount");
        let option = |field: String| match field.split_once('=') {
            Some((key, value)) => (key.to_ascii_lowercase(), Some(value.to_owned())),
            None => (field.to_ascii_lowercase(), None),
        };
        mounts.map(move |(_, value)| csv::fields(value).into_iter().map(option).collect())
    }
}
