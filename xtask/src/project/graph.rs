//! The steps of a build as a graph, each with what BuildKit's cache key of it is made of: files as they are now, arguments,
//! instructions, mounts, images, and the steps that it stands upon or reads from. Two digests sum each of them up. Equal `key`s are one
//! result to BuildKit. `soft` leaves out what is read from other stages, which BuildKit compares by content: steps of one `soft` are one
//! result where that content is the same.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::context::{Context, Digests, Input, Selected};
use super::dockerfile::steps::{From, Read, Step};
use super::dockerfile::{Base, Dockerfile, Inputs};
use super::ignore::Ignore;
use super::looks;

/// One target of a build, as it is handed to BuildKit.
pub struct TargetFacts {
    /// Its name.
    pub name: String,
    /// Its Dockerfile.
    pub file: Dockerfile,
    /// What it adds to that.
    pub inputs: Inputs,
    /// The main context, whose name is empty, and the named ones.
    pub contexts: BTreeMap<String, Place>,
    /// What every RUN of it is made of beside: network, `/dev/shm`, limits.
    pub run: BTreeMap<String, String>,
}

/// What a context is.
pub enum Place {
    /// A folder of this machine, with what stays out.
    Folder(PathBuf, Ignore),
    /// What another target of the build makes.
    Target(String),
    /// An image, or what stands elsewhere.
    Elsewhere(String),
}

/// One step and what it is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GraphStep {
    /// The target.
    pub target: String,
    /// The stage, as BuildKit prints it.
    pub stage: String,
    /// The line of its instruction, counted from 0.
    pub line: usize,
    /// The instruction in one line.
    pub text: String,
    /// What it is made of.
    pub key: String,
    /// The same without what it reads from other stages.
    pub soft: String,
    /// What it is made of by name; what looks secret is not told.
    pub parts: BTreeMap<String, String>,
    /// Files of contexts that it reads.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<Input>,
    /// Bytes of those files.
    #[serde(default)]
    pub bytes: u64,
    /// The folder or file at the context's top with most of them, as `vendor`, and its bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub largest: Option<(String, u64)>,
    /// The steps that it stands upon: one, or two where one was linked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<usize>,
    /// Steps whose results it reads.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub draws: Vec<usize>,
    /// Whether it reads what nobody can know beforehand: a URL.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_open: bool,
}

impl GraphStep {
    /// All steps whose results it takes: those that it stands upon, then those that it reads from.
    pub fn needs(&self) -> impl Iterator<Item = usize> {
        self.parents.iter().chain(&self.draws).copied()
    }
}

/// The step that BuildKit names like this in a target; of several of one text in a stage, the first.
pub fn find(
    graph: &[GraphStep],
    files: &BTreeMap<String, Dockerfile>,
    target: &str,
    (stage, instruction): (&str, &str),
) -> Option<usize> {
    let line = files.get(target)?.find(stage, instruction)?.line;
    graph
        .iter()
        .position(|step| (step.target.as_str(), step.stage.as_str(), step.line) == (target, stage, line))
}

/// What a stage comes to.
#[derive(Clone)]
struct End {
    steps: Vec<usize>,
    key: String,
    soft: String,
    image: Option<String>,
}

/// The graph of a build. `images` has digests of images by name; one that is missing there is known by its name alone.
pub fn graph(
    targets: &[TargetFacts],
    images: &BTreeMap<String, String>,
    digests: &mut Digests,
) -> Vec<GraphStep> {
    let mut builder =
        Builder { targets, images, digests, steps: Vec::new(), ends: BTreeMap::new(), open: BTreeSet::new() };
    for (index, target) in targets.iter().enumerate() {
        if let Some(goal) = target.file.goal(&target.inputs) {
            builder.end(index, goal);
        }
    }
    builder.steps
}

/// Names of the images that the steps stand upon or read from.
pub fn images(targets: &[TargetFacts]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for target in targets {
        let Some(goal) = target.file.goal(&target.inputs) else { continue };
        let is_image = |name: &String| !target.contexts.contains_key(&name.to_ascii_lowercase());
        for stage in target.file.needs(goal, &target.inputs) {
            if let Base::Foreign(name) = target.file.base(stage, &target.inputs) {
                found.extend(Some(name).filter(is_image));
            }
            for read in target.file.steps(stage, &target.inputs).into_iter().flat_map(|step| step.reads) {
                if let From::Name(name) = read.from {
                    found.extend(Some(name).filter(is_image));
                }
            }
        }
    }
    found
}

struct Builder<'a> {
    targets: &'a [TargetFacts],
    images: &'a BTreeMap<String, String>,
    digests: &'a mut Digests,
    steps: Vec<GraphStep>,
    ends: BTreeMap<(usize, usize), End>,
    /// Stages that are gone through: a mount may name one that stands upon it.
    open: BTreeSet<(usize, usize)>,
}

impl<'a> Builder<'a> {
    fn end(&mut self, target: usize, stage: usize) -> End {
        if let Some(end) = self.ends.get(&(target, stage)) {
            return end.clone();
        }
        if !self.open.insert((target, stage)) {
            return image("a circle");
        }
        let facts: &'a TargetFacts = &self.targets[target];
        let mut end = match facts.file.base(stage, &facts.inputs) {
            Base::Scratch => {
                End { steps: Vec::new(), key: "scratch".into(), soft: "scratch".into(), image: None }
            }
            Base::Stage(base) => self.end(target, base),
            Base::Foreign(name) => self.named(target, &name),
        };
        for step in facts.file.steps(stage, &facts.inputs) {
            end = self.step(target, stage, step, &end);
        }
        self.ends.insert((target, stage), end.clone());
        end
    }

    /// What a named context or an image comes to.
    fn named(&mut self, target: usize, name: &str) -> End {
        let facts: &'a TargetFacts = &self.targets[target];
        match facts.contexts.get(&name.to_ascii_lowercase()) {
            Some(Place::Target(other)) => {
                let index = self.targets.iter().position(|known| known.name == *other);
                let goal = index.and_then(|index| {
                    let facts = &self.targets[index];
                    Some((index, facts.file.goal(&facts.inputs)?))
                });
                goal.map_or_else(|| image(other), |(index, goal)| self.end(index, goal))
            }
            Some(Place::Elsewhere(source)) => image(source),
            Some(Place::Folder(dir, _)) => image(&dir.display().to_string()),
            None => match self.images.get(name) {
                Some(digest) => image(&format!("{name}@{digest}")),
                None => image(name),
            },
        }
    }

    fn step(&mut self, target: usize, stage: usize, step: Step, before: &End) -> End {
        let facts: &'a TargetFacts = &self.targets[target];
        let mut made = GraphStep {
            target: facts.name.clone(),
            stage: facts.file.stages[stage].name.clone(),
            line: step.line,
            parents: if step.is_linked { Vec::new() } else { before.steps.clone() },
            parts: step.parts.into_iter().map(|(name, value)| hide(name, value)).collect(),
            text: step.text,
            ..GraphStep::default()
        };
        if step.keyword == "RUN" {
            made.parts.extend(facts.run.clone());
        }
        if let Some(image) = &before.image {
            made.parts.insert("base".into(), image.clone());
        }
        let (mut hard, mut soft) = (Vec::new(), Vec::new());
        for read in &step.reads {
            let end = self.read(target, read, &mut made);
            if let Some(end) = end {
                hard.push(end.key);
                soft.push(end.image.unwrap_or_default());
                made.draws.extend(end.steps);
            }
        }
        let own = own(&step.keyword, &made);
        // What is linked is made beside what stands before it, and laid upon that.
        let under = |before: &str| if step.is_linked { String::new() } else { before.to_owned() };
        made.key = hash([own.clone(), under(&before.key)].into_iter().chain(hard));
        made.soft = hash([own, under(&before.soft)].into_iter().chain(soft));
        let above = |before: &str, key: &str| {
            if step.is_linked {
                hash([before.to_owned(), key.to_owned()].into_iter())
            } else {
                key.to_owned()
            }
        };
        let below = if step.is_linked { before.steps.clone() } else { Vec::new() };
        let end = End {
            key: above(&before.key, &made.key),
            soft: above(&before.soft, &made.soft),
            steps: below.into_iter().chain([self.steps.len()]).collect(),
            image: None,
        };
        self.steps.push(made);
        end
    }

    /// Takes in what a step reads; gives what a stage or an image comes to.
    fn read(&mut self, target: usize, read: &Read, made: &mut GraphStep) -> Option<End> {
        let facts: &'a TargetFacts = &self.targets[target];
        let (context, name) = match &read.from {
            From::Stage(stage) => return Some(self.end(target, *stage)),
            From::Remote(url) => {
                made.is_open = true;
                made.parts.insert(format!("url {url}"), String::new());
                return None;
            }
            From::Context => (facts.contexts.get(""), ""),
            From::Name(name) => (facts.contexts.get(&name.to_ascii_lowercase()), name.as_str()),
        };
        match context {
            Some(Place::Folder(dir, ignore)) => {
                let mut context = Context::new(dir, ignore.clone(), self.digests);
                let Selected { files, bytes, largest } = context.select(&read.paths, &read.excludes);
                made.bytes += bytes;
                made.largest = made.largest.take().into_iter().chain(largest).max_by_key(|(_, bytes)| *bytes);
                let prefix = if name.is_empty() { String::new() } else { format!("{name}:") };
                made.files.extend(
                    files.into_iter().map(|file| Input { path: prefix.clone() + &file.path, ..file }),
                );
                None
            }
            Some(Place::Elsewhere(source)) if name.is_empty() => {
                made.is_open = true;
                made.parts.insert(format!("url {source}"), String::new());
                None
            }
            _ => {
                let end = self.named(target, name);
                if let Some(image) = &end.image {
                    made.parts.insert(format!("image {name}"), image.clone());
                }
                Some(end)
            }
        }
    }
}

fn image(name: &str) -> End {
    End { steps: Vec::new(), key: name.to_owned(), soft: name.to_owned(), image: Some(name.to_owned()) }
}

/// A step's own digest: all but what it stands upon and reads from other stages.
fn own(keyword: &str, step: &GraphStep) -> String {
    let parts = step
        .parts
        .iter()
        .filter(|(name, _)| *name != "base")
        .flat_map(|(name, value)| [name.clone(), value.clone()]);
    let files = step.files.iter().flat_map(|file| [file.path.clone(), file.state.clone()]);
    hash([keyword.to_owned(), step.parts.len().to_string()].into_iter().chain(parts).chain(files))
}

fn hash(parts: impl Iterator<Item = String>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    format!("{:x}", hash.finalize())[..20].to_owned()
}

/// A value that may be a password is told apart from others and no more: two bytes of its digest give nobody a word to try.
fn hide(name: String, value: String) -> (String, String) {
    let variable = name.strip_prefix("arg ").or(name.strip_prefix("env "));
    if variable.is_some_and(looks::is_secret) {
        let digest = &hash(std::iter::once(value))[..4];
        return (name, format!("(hidden {digest})"));
    }
    (name, value)
}
