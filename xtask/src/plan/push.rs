//! The plan of a push: layers to a registry, by separate calls like a save, so that a slow or
//! broken registry doesn't affect the build.

use std::path::PathBuf;

use serde::Serialize;

use super::build_facts::{BuildFacts, Stored};
use super::caches::Registry;
use super::planned_target::reading_order;
use super::registry_state::RegistryState;
use super::save::cache_only;
use crate::step::Command;
use crate::store::key::Key;

/// The layers of one target for one registry.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Push {
    pub target: String,
    /// Its image in the store.
    pub image: String,
    pub key: Key,
    pub registry: Registry,
    /// The tag of exactly this key.
    pub reference: String,
    /// Results of the store that BuildKit reads.
    pub read: Vec<PathBuf>,
    /// Whether the registry answered and lacks this tag.
    pub lacking: bool,
    /// The builder, which also queries the registry.
    pub builder: String,
    /// Exports the layers to the exact tag.
    pub exact: Command,
    /// Exports them again to the tag of the newest result. All blobs are there by then, so it takes
    /// 0.3 s. Both tags in one call upload everything twice in parallel (measured). Copying a tag
    /// with `imagetools` wraps it in an index, which is not a valid cache.
    pub newest: Command,
}

/// Plans the push of each target to each writable registry. Base targets come first.
pub(crate) fn plan(facts: &BuildFacts, common: &Command) -> Vec<Push> {
    let writable: Vec<&RegistryState> = facts.registries.iter().filter(|held| held.takes_pushes()).collect();
    let targets = facts.names.iter().rev().filter_map(|name| Some((name, facts.stored.get(name)?)));
    targets
        .flat_map(|(name, stored)| writable.iter().map(|held| push(facts, common, held, name, stored)))
        .collect()
}

fn push(facts: &BuildFacts, common: &Command, held: &RegistryState, name: &str, stored: &Stored) -> Push {
    let registry = &held.registry;
    let export = |reference: &str| {
        let export = format!("{name}.cache-to={}", registry.cache_to(reference));
        cache_only(facts, common, &export, name)
    };
    let reference = registry.exact(&stored.image, &stored.key);
    Push {
        target: name.to_owned(),
        image: stored.image.clone(),
        key: stored.key.clone(),
        registry: registry.clone(),
        read: reading_order(stored),
        lacking: held.said.is_ok() && !held.has_exact(name),
        builder: facts.engine.builder.clone(),
        exact: export(&reference),
        newest: export(&registry.newest(&stored.image, &stored.platform)),
        reference,
    }
}

impl Push {
    /// Returns the commands that run if a step ran or the registry lacks the key.
    pub(crate) fn to_shell(&self) -> Vec<String> {
        let when = if self.lacking {
            format!("# `{}` is not there yet:", self.reference)
        } else {
            format!("# where a step of `{}` ran, to `{}`:", self.target, self.reference)
        };
        vec![when, self.exact.to_shell(), self.newest.to_shell()]
    }
}
