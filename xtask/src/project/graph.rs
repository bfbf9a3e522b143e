//! The steps of a build as a graph, each with what BuildKit's cache key of it is made of: files as
//! they are now, arguments, instructions, mounts, images, and the steps that it starts from or
//! reads from. Two digests sum each of them up. Equal `key`s are one result to BuildKit. `soft`
//! leaves out what is read from other stages, which BuildKit compares by content: steps of one
//! `soft` are one result where that content is the same.

mod builder;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::context::{Digests, Input};
use super::dockerfile::steps::From;
use super::dockerfile::{Base, Dockerfile, ImageConfig, Inputs};
use super::ignore::Ignore;
use crate::redact::Redactor;

/// One target of a build, as it is handed to BuildKit.
pub(crate) struct TargetFacts {
    /// Its name.
    pub name: String,
    /// Its Dockerfile.
    pub file: Dockerfile,
    /// What it adds to that.
    pub inputs: Inputs,
    /// The main context, whose name is empty, and the named ones.
    pub contexts: BTreeMap<String, ImagePlace>,
    /// What every RUN of it is made of besides: network, `/dev/shm`, limits.
    pub run: BTreeMap<String, String>,
}

/// What a context is.
pub(crate) enum ImagePlace {
    /// A directory of this machine, with what stays out.
    Directory(PathBuf, Ignore),
    /// What another target of the build makes.
    Target(String),
    /// An image, or what stands elsewhere.
    Elsewhere(String),
}

/// One step and what it is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GraphStep {
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
    /// What it is made of by name; secrets are redacted.
    pub parts: BTreeMap<String, String>,
    /// Files of contexts that it reads.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<Input>,
    /// Bytes of those files.
    #[serde(default)]
    pub bytes: u64,
    /// The directory or file at the context's top with most of them, as `vendor`, and its bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub largest: Option<(String, u64)>,
    /// The steps that it starts from: one, or two where one was linked.
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

    /// All steps whose results it takes: those that it starts from, then those that it reads from.
    pub(crate) fn needs(&self) -> impl Iterator<Item = usize> {
        self.parents.iter().chain(&self.draws).copied()
    }
}

/// An image that the builder sees.
#[derive(Debug, Clone, Default)]
pub(crate) struct KnownImage {
    /// What it is to BuildKit: its layers, and what a step inherits of its configuration.
    pub digest: String,
    /// What stages inherit from it.
    pub config: ImageConfig,
}

/// The step that BuildKit names like this in a target; of several of one text in a stage, the
/// first.
pub(crate) fn find(
    graph: &[GraphStep],
    files: &BTreeMap<String, Dockerfile>,
    target: &str,
    (stage, instruction): (&str, &str),
) -> Option<usize> {
    let file = files.get(target)?;
    let (found, stage) = (file.find(stage, instruction)?, file.stage_of(stage));
    let is_there = |step: &GraphStep| {
        (step.target.as_str(), step.stage.as_str(), step.line) == (target, stage, found.line)
    };
    // ONBUILDs of an image share the line of their FROM; a redacted text is not the file's.
    let same_text = graph.iter().position(|step| is_there(step) && step.text == found.text);
    same_text.or_else(|| graph.iter().position(is_there))
}

/// The graph of a build. `images` has digests of images by name; one that is missing there is known
/// by its name alone.
pub(crate) fn graph(
    targets: &[TargetFacts],
    images: &BTreeMap<String, KnownImage>,
    digests: &mut Digests,
) -> Vec<GraphStep> {
    builder::steps(targets, images, digests)
}

/// Tells the targets what their stages inherit from images, and from the images of other targets.
pub(crate) fn inherit(targets: &mut [TargetFacts], images: &BTreeMap<String, KnownImage>) {
    let mut made: BTreeMap<String, ImageConfig> = BTreeMap::new();
    // Each round does at least one more target, unless they wait for each other.
    for _ in 0..targets.len() {
        for target in targets.iter_mut().filter(|target| !made.contains_key(&target.name)).collect::<Vec<_>>()
        {
            if let Some(config) = target.inherit(images, &made) {
                made.insert(target.name.clone(), config);
            }
        }
    }
}

impl TargetFacts {
    /// Takes in what the stages inherit and returns what the target's image hands on; nothing while
    /// another target's image is not known.
    fn inherit(
        &mut self,
        images: &BTreeMap<String, KnownImage>,
        made: &BTreeMap<String, ImageConfig>,
    ) -> Option<ImageConfig> {
        let mut found = BTreeMap::new();
        for stage in 0..self.file.stages.len() {
            let Base::Foreign(name) = self.file.base(stage, &self.inputs) else { continue };
            let known = |name: &str| images.get(name).map(|image| image.config.clone());
            let config = match self.contexts.get(&name.to_ascii_lowercase()) {
                Some(ImagePlace::Target(other)) => Some(made.get(other)?.clone()),
                Some(ImagePlace::Elsewhere(source)) => source.strip_prefix("docker-image://").and_then(known),
                Some(ImagePlace::Directory(..)) => {
                    Some(ImageConfig { workdir: Some(String::new()), ..ImageConfig::default() })
                }
                None => known(&name),
            };
            found.extend(config.map(|config| (name, config)));
        }
        self.inputs.images = found;
        self.file.adopt(&self.inputs);
        let goal = self.file.goal(&self.inputs)?;
        Some(self.file.image(goal, &self.inputs))
    }
}

/// Names of the images that the steps start from or read from.
pub(crate) fn images(targets: &[TargetFacts]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for target in targets {
        let Some(goal) = target.file.goal(&target.inputs) else { continue };
        let image = |name: String| match target.contexts.get(&name.to_ascii_lowercase()) {
            None => Some(name),
            Some(ImagePlace::Elsewhere(source)) => source.strip_prefix("docker-image://").map(str::to_owned),
            Some(_) => None,
        };
        for stage in target.file.needs(goal, &target.inputs) {
            if let Base::Foreign(name) = target.file.base(stage, &target.inputs) {
                found.extend(image(name));
            }
            for read in target.file.steps(stage, &target.inputs).into_iter().flat_map(|step| step.reads) {
                if let From::Name(name) = read.from {
                    found.extend(image(name));
                }
            }
        }
    }
    found
}
