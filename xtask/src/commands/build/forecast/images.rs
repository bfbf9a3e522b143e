//! The base images of stages: their layers, and the configuration that a step inherits (an
//! image with only a different label is the same, measured). A builder that sees the images of the
//! daemon takes them from there. Other images are known only to the registry, so their name
//! identifies them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use xshell::Shell;

use crate::base_image::InEngine;
use crate::engine::images::Image;
use crate::process::query::RunningQuery;
use crate::project::dockerfile::ImageConfig;
use crate::project::graph::{self, KnownImage, TargetFacts};

const QUERY_TIMEOUT: Duration = Duration::from_secs(10);

/// A query for the images of a build, under way. The engine is asked only for those that it was not
/// asked for yet.
pub(super) struct ImagesQuery {
    names: Vec<String>,
    found: Vec<Image>,
    running: Option<RunningQuery>,
}

impl ImagesQuery {
    pub(super) fn start(targets: &[TargetFacts], in_engine: InEngine) -> Self {
        let names: Vec<String> = graph::images(targets).into_iter().collect();
        let is_new = |name: &&str| !in_engine.was_asked_for(name);
        let new: Vec<&str> = names.iter().map(String::as_str).filter(is_new).collect();
        let ask = || Image::ask(&Shell::new().ok()?, &new).ok();
        let running = if new.is_empty() { None } else { ask() };
        Self { names, found: in_engine.images, running }
    }

    /// Returns the images that the engine has, by name.
    pub(super) fn answer(mut self) -> BTreeMap<String, KnownImage> {
        if let Some(answer) = self.running.and_then(|running| running.answer(QUERY_TIMEOUT).ok()) {
            self.found.extend(Image::parse(&answer.stdout).unwrap_or_default());
        }
        let find = |name: String| {
            let image = self.found.iter().find(|image| image.is(&name))?;
            Some((name, known(image)?))
        };
        self.names.into_iter().filter_map(find).collect()
    }
}

/// The inherited part of an image's configuration.
#[derive(Default, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Inherited {
    env: Option<Vec<String>>,
    user: String,
    working_dir: String,
    on_build: Option<Vec<String>>,
    shell: Option<Vec<String>>,
}

fn known(image: &Image) -> Option<KnownImage> {
    let config: Option<Inherited> = serde_json::from_value(image.config.clone()).ok()?;
    let config = config.unwrap_or_default();
    let made_of = serde_json::json!([image.layers, config]).to_string();
    let pair = |text: String| match text.split_once('=') {
        Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
        None => (text, Some(String::new())),
    };
    let triggers = config.on_build.iter().flatten().filter_map(|text| ImageConfig::trigger(text));
    Some(KnownImage {
        digest: format!("{:x}", Sha256::digest(made_of))[..12].to_owned(),
        config: ImageConfig {
            triggers: triggers.collect(),
            env: config.env.unwrap_or_default().into_iter().map(pair).collect(),
            is_partial: false,
            workdir: Some(config.working_dir),
            user: config.user,
            shell: config.shell.map_or_else(String::new, |words| serde_json::json!(words).to_string()),
        },
    })
}
