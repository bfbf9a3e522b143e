//! One target of a plan, with the results that BuildKit reads for it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Serialize;

use super::build_facts::{BuildFacts, Stored};
use super::options::BuildOptions;
use super::registry_state::RegistryRead;
use crate::store::key::Key;
use crate::store::policy::RESULTS;

/// One target of a plan.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct PlannedTarget {
    pub name: String,
    /// Its image, as its first tag.
    pub image: Option<String>,
    /// Whether the user requested it. Otherwise another target is based on it.
    pub requested: bool,
    /// The full key of its Dockerfile.
    pub key: Option<Key>,
    /// Cache directories that BuildKit reads, best first.
    pub read: Vec<PathBuf>,
    /// Caches in registries that BuildKit reads after those.
    pub remote: Vec<RegistryRead>,
}

/// The number of results of other keys that BuildKit reads. The builder reads the configuration of
/// each, and the newest one nearly always has all layers.
const FALLBACKS: usize = 2;

/// Returns a target of the plan by its name and its place among the names.
pub(super) fn planned(facts: &BuildFacts, options: &BuildOptions, index: usize, name: &str) -> PlannedTarget {
    let stored = facts.stored.get(name);
    let declared = facts.declaration.targets[name].tags.first().map(String::as_str);
    PlannedTarget {
        name: name.to_owned(),
        image: options.chosen_tag(name, index == 0).or(declared).map(str::to_owned),
        requested: index < facts.requested,
        key: stored.map(|stored| stored.key.clone()),
        read: stored.map(reading_order).unwrap_or_default(),
        remote: facts.registries.iter().flat_map(|held| held.reads(name)).collect(),
    }
}

/// Returns the results of the exact key first, then the newest of other keys of the same image and
/// platform.
pub(super) fn reading_order(stored: &Stored) -> Vec<PathBuf> {
    let (exact, others): (Vec<_>, Vec<_>) =
        stored.found.generations.iter().partition(|generation| generation.entry.key == stored.key);
    let mut keys = BTreeSet::new();
    let newest = others.into_iter().filter(|generation| keys.insert(&generation.entry.key));
    exact
        .into_iter()
        .take(RESULTS)
        .chain(newest.take(FALLBACKS))
        .map(|generation| generation.dir.clone())
        .collect()
}
