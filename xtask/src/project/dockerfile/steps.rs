//! The steps of a stage with the input of BuildKit's cache key of each, as far as the file
//! determines it: its operation, variables, directory and user, mounts, and the content that it
//! reads. LABEL, CMD and the like are not steps: they change an image's configuration and run
//! nothing.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::scope::Scope;
use super::shell::{Expanded, Lexer};
use super::{Dockerfile, Inputs, Instruction, copy, run_mount};

/// The argument that names the host in which commands run.
const HOSTNAME: &str = "BUILDKIT_SANDBOX_HOSTNAME";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DockerfileStep {
    /// The first line of its instruction, counted from 0.
    pub line: usize,
    /// RUN, COPY, ADD or WORKDIR.
    pub keyword: String,
    /// The full text in one line.
    pub text: String,
    /// Its inputs by name: `command`, `arg NAME`, `env NAME`, `mount /target`.
    pub parts: BTreeMap<String, String>,
    /// The inputs that BuildKit compares, other than content.
    pub operation: Vec<String>,
    /// The content that it reads.
    pub reads: Vec<Read>,
    /// Whether it is independent of the previous steps: `COPY --link`.
    pub is_linked: bool,
}

/// Content that a step reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Read {
    pub from: From,
    /// The selected part of it.
    pub selectors: Vec<Selector>,
    /// The patterns of `--exclude`, below each source.
    pub excludes: Vec<String>,
    /// Whether the paths depend on unknown values. Then the whole content counts.
    pub is_open: bool,
}

/// A path or a pattern of a step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Selector {
    /// The path below the context.
    pub path: String,
    /// Whether it has wildcards.
    pub is_pattern: bool,
    /// The included part, as in `COPY --parents`.
    pub include: Option<String>,
}

/// The origin of content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum From {
    /// The main context.
    Context,
    /// An earlier stage, by its index.
    Stage(usize),
    /// A named context or an image.
    Name(String),
    /// A URL or a Git repository.
    Remote {
        url: String,
        /// Whether the instruction pins its content with a checksum or a commit.
        is_pinned: bool,
    },
}

impl Dockerfile {
    /// Returns the steps that run in a stage, its base's ONBUILDs first.
    pub(crate) fn steps(&self, stage: usize, inputs: &Inputs) -> Vec<DockerfileStep> {
        let mut steps = Vec::new();
        self.walk(stage, inputs, &mut |instruction, scope| {
            let reader = Reader { file: self, stage, inputs, scope, used: RefCell::default() };
            match instruction.keyword.as_str() {
                "RUN" => steps.push(reader.run(instruction)),
                "COPY" | "ADD" => steps.push(copy::step(&reader, instruction)),
                "WORKDIR" => steps.extend(reader.workdir(instruction)),
                _ => {}
            }
        });
        steps
    }
}

pub(super) struct Reader<'a> {
    pub(super) file: &'a Dockerfile,
    stage: usize,
    pub(super) inputs: &'a Inputs,
    pub(super) scope: &'a Scope,
    /// Variables that the step uses.
    used: RefCell<BTreeSet<String>>,
}

impl Reader<'_> {
    pub(super) fn step(&self, instruction: &Instruction, command: String) -> DockerfileStep {
        DockerfileStep {
            line: instruction.line,
            keyword: instruction.keyword.clone(),
            text: instruction.text.clone(),
            parts: BTreeMap::from([("command".to_owned(), command)]),
            operation: Vec::new(),
            reads: Vec::new(),
            is_linked: false,
        }
    }

    pub(super) fn expand(&self, text: &str) -> Expanded {
        self.expand_by(Lexer::new(self.file.escape), text)
    }

    pub(super) fn expand_by(&self, lexer: Lexer, text: &str) -> Expanded {
        let expanded = self.scope.expand_by(lexer, text);
        self.used.borrow_mut().extend(expanded.used.iter().cloned());
        expanded
    }

    /// Adds the variables that a step uses to its parts.
    pub(super) fn name_variables(&self, step: &mut DockerfileStep) {
        let used = self.used.borrow();
        for (kind, name, value) in self.scope.given().filter(|(_, name, _)| used.contains(*name)) {
            step.parts.insert(format!("{kind} {name}"), value);
        }
    }

    /// Returns the step of a RUN. Its command is passed to the shell unchanged; its flags are
    /// expanded.
    fn run(&self, instruction: &Instruction) -> DockerfileStep {
        let (command, uses_shell) = command(instruction);
        let mut step = self.step(instruction, command);
        let mut mounts = Vec::new();
        for (kind, name, value) in self.scope.given().filter(|(kind, ..)| uses_shell || *kind != "shell") {
            let part = if name.is_empty() { kind.to_owned() } else { format!("{kind} {name}") };
            step.parts.insert(part, value);
        }
        // No instruction declares it, and every command sees it.
        if let Some(name) = self.inputs.args.get(HOSTNAME).filter(|name| !name.is_empty()) {
            step.parts.insert(format!("arg {HOSTNAME}"), name.clone());
        }
        // Their order is in the key as well (measured).
        step.parts.insert("order".to_owned(), self.scope.order());
        let is_default = |(name, value): &&(String, String)| {
            name == "mount" || [("network", "default"), ("security", "sandbox")].contains(&(name, value))
        };
        for (name, value) in instruction.flags.iter().filter(|flag| !is_default(flag)) {
            step.parts.insert(format!("option {name}"), value.clone());
        }
        for options in instruction.mounts() {
            mounts.push(run_mount::add(self, &options, &mut step));
        }
        mounts.sort();
        let counts = |(name, _): &(&String, &String)| !name.starts_with("mount ");
        let parts = step.parts.iter().filter(counts).flat_map(|(name, value)| [name.clone(), value.clone()]);
        step.operation = parts.chain(mounts).collect();
        step
    }

    fn workdir(&self, instruction: &Instruction) -> Option<DockerfileStep> {
        let path = self.expand(&instruction.rest);
        let is_known = path.unknown.is_empty();
        let path = self.scope.absolute(&path.text).filter(|_| is_known).unwrap_or(path.text);
        if path == "/" {
            return None;
        }
        let mut step = self.step(instruction, instruction.rest.clone());
        self.name_variables(&mut step);
        // The directory belongs to the user and has the requested time.
        let user = self.scope.user().unwrap_or_default().to_owned();
        let epoch =
            self.inputs.args.get("SOURCE_DATE_EPOCH").filter(|_| !self.inputs.leaves_directories_undated);
        let epoch = epoch.cloned().unwrap_or_default();
        if !epoch.is_empty() {
            step.parts.insert("arg SOURCE_DATE_EPOCH".to_owned(), epoch.clone());
        }
        step.operation = vec![path, user.clone(), epoch];
        if !user.is_empty() {
            step.parts.insert("user".to_owned(), user);
        }
        Some(step)
    }

    pub(super) fn from(&self, name: &str) -> From {
        match self.file.stage(name, self.stage, self.inputs) {
            Some(index) => From::Stage(index),
            // A mount may name any stage, even a later one.
            None => match self.file.by_name(name, self.file.stages.len(), self.inputs) {
                Some(index) => From::Stage(index),
                None => From::Name(name.to_owned()),
            },
        }
    }
}

/// Returns a RUN's command as it is in the key, and whether a shell runs it.
fn command(instruction: &Instruction) -> (String, bool) {
    if let Ok(words) = serde_json::from_str::<Vec<String>>(&instruction.rest) {
        return (serde_json::json!(words).to_string(), false);
    }
    let only = super::lexer::heredoc(instruction.rest.trim());
    if let (Some(_), [document]) = (only, instruction.heredocs.as_slice()) {
        let text = document.text();
        // A script with `#!` is a file with the heredoc's name.
        let name = if text.starts_with("#!") { document.name.as_str() } else { "" };
        return (format!("{text}{name}"), name.is_empty());
    }
    let documents = instruction.heredocs.iter().map(|one| format!("\n{}{}", one.content, one.name));
    (instruction.rest.clone() + &documents.collect::<String>(), true)
}

#[cfg(test)]
#[path = "steps_tests.rs"]
mod tests;
