//! The steps of a build as a graph, each with what BuildKit's cache key of it is made of: files as they are now, arguments,
//! instructions, mounts, images, and the steps that it stands upon or reads from. Two digests sum each of them up. Equal `key`s are one
//! result to BuildKit. `soft` leaves out what is read from other stages, which BuildKit compares by content: steps of one `soft` are one
//! result where that content is the same.

mod builder;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::context::{Digests, Input};
use super::dockerfile::steps::From;
use super::dockerfile::{Base, Dockerfile, Inputs};
use super::ignore::Ignore;
use crate::redact::Redactor;

/// One target of a build, as it is handed to BuildKit.
pub struct TargetFacts {
    /// Its name.
    pub name: String,
    /// Its Dockerfile.
    pub file: Dockerfile,
    /// What it adds to that.
    pub inputs: Inputs,
    /// The main context, whose name is empty, and the named ones.
    pub contexts: BTreeMap<String, ImagePlace>,
    /// What every RUN of it is made of beside: network, `/dev/shm`, limits.
    pub run: BTreeMap<String, String>,
}

/// What a context is.
pub enum ImagePlace {
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
    /// Redacts what of it is shown and recorded; its digests stay.
    pub(crate) fn redact(&mut self, redactor: &Redactor) {
        self.text = redactor.text(&self.text).into_owned();
        let parts = std::mem::take(&mut self.parts);
        let redact = |(name, value): (String, String)| {
            let name = redactor.text(&name).into_owned();
            (name, redactor.text(&value).into_owned())
        };
        self.parts = parts.into_iter().map(redact).collect();
    }

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

/// The graph of a build. `images` has digests of images by name; one that is missing there is known by its name alone.
pub fn graph(
    targets: &[TargetFacts],
    images: &BTreeMap<String, String>,
    digests: &mut Digests,
) -> Vec<GraphStep> {
    builder::steps(targets, images, digests)
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
