//! The images that a graph starts from: their names, and the configuration that stages inherit.

use std::collections::{BTreeMap, BTreeSet};

use super::{ImagePlace, TargetFacts};
use crate::project::dockerfile::steps::From;
use crate::project::dockerfile::{Base, ImageConfig};

/// An image that the builder has.
#[derive(Debug, Clone, Default)]
pub(crate) struct KnownImage {
    /// Its identity in BuildKit: its layers, and the inherited part of its configuration.
    pub digest: String,
    /// The configuration that stages inherit from it.
    pub config: ImageConfig,
}

/// Passes the configuration of images, and of other targets' images, to the targets.
pub(crate) fn inherit(targets: &mut [TargetFacts], images: &BTreeMap<String, KnownImage>) {
    let mut made: BTreeMap<String, ImageConfig> = BTreeMap::new();
    // Each round completes at least one target, unless they depend on each other.
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
    /// Applies the inherited configuration and returns that of the target's image. Returns `None`
    /// while another target's image is unknown.
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

/// Returns the names of the images that the steps are based on or read from.
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
