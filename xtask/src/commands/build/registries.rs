//! Queries all registries of a build in parallel while other facts are collected.

use std::collections::BTreeMap;

use crate::engine::Engine;
use crate::engine::registry::{RegistryQuery, Wanted, cache_digest};
use crate::plan::build_facts::Stored;
use crate::plan::caches::Registry;
use crate::plan::options::BuildOptions;
use crate::plan::registry_state::{RegistryState, Tag, Tags};
use crate::session::Session;
use crate::store::mount_image::{self, RemoteMount};

/// A running query of a registry.
pub(crate) struct Asked<'a> {
    registry: &'a Registry,
    targets: Vec<String>,
    /// Two per target: exact and newest.
    references: Vec<String>,
    question: RegistryQuery<'a>,
}

/// Queries all registries for the tags of all targets. With `--no-cache` nothing is read, and all
/// targets are pushed.
pub(crate) fn ask<'a>(
    session: &'a Session,
    options: &'a BuildOptions,
    engine: &'a Engine,
    stored: &BTreeMap<String, Stored>,
) -> Vec<Asked<'a>> {
    let ask_layers = |registry: &'a Registry| {
        let both_tags = |stored: &Stored| {
            [registry.exact(&stored.image, &stored.key), registry.newest(&stored.image, &stored.platform)]
        };
        let references: Vec<String> = stored.values().flat_map(both_tags).collect();
        let wanted: Vec<_> =
            references.iter().map(|reference| (reference.clone(), Wanted::Manifest)).collect();
        let question = RegistryQuery::start(session, &engine.builder, &registry.reference, &wanted);
        Asked { registry, targets: stored.keys().cloned().collect(), references, question }
    };
    options.caches.registries.iter().map(ask_layers).collect()
}

impl Asked<'_> {
    /// Waits for the answers, which have a timeout.
    pub(crate) fn answers(self) -> RegistryState {
        let said = self.question.answers().map(|documents| tags(&self.targets, &self.references, &documents));
        RegistryState { registry: self.registry.clone(), said }
    }
}

fn tags(targets: &[String], references: &[String], documents: &[Option<String>]) -> BTreeMap<String, Tags> {
    let tag = |at: usize| {
        let digest = cache_digest(documents[at].as_ref()?)?;
        Some(Tag { reference: references[at].clone(), digest })
    };
    let tags_of = |at: usize| Tags { exact: tag(2 * at), newest: tag(2 * at + 1) };
    targets.iter().enumerate().map(|(at, target)| (target.clone(), tags_of(at))).collect()
}

/// Returns which of these cache mounts the registries have. The first registry with a mount is
/// used. `wanted` has slugs of [`crate::project::mount::MountIdentity`] with the platform of each
/// mount. A registry that failed to answer for layers, or has only layers, is not asked.
pub fn mounts<'a>(
    session: &'a Session,
    builder: &'a str,
    registries: &'a [RegistryState],
    wanted: &[(String, String)],
) -> BTreeMap<String, RemoteMount> {
    let ask_mounts = |held: &'a RegistryState| {
        let reference =
            |(slug, platform): &(String, String)| (held.registry.mount(slug, platform), Wanted::Config);
        let asked: Vec<_> = wanted.iter().map(reference).collect();
        let references: Vec<String> = asked.iter().map(|(reference, _)| reference.clone()).collect();
        (references, RegistryQuery::start(session, builder, &held.registry.reference, &asked))
    };
    let answering = registries.iter().filter(|held| held.said.is_ok() && held.registry.has_mounts);
    let asked: Vec<_> = answering.map(ask_mounts).collect();
    let mut found = Vec::new();
    for (references, question) in asked {
        let documents = question.answers().unwrap_or_default();
        for (reference, document) in references.into_iter().zip(documents) {
            let entry = document.and_then(|config| mount_image::entry(&config).ok());
            found.extend(entry.map(|entry| RemoteMount { reference, entry }));
        }
    }
    let is_wanted =
        |mount: &RemoteMount| wanted.contains(&(mount.entry.identity.slug(), mount.entry.platform.clone()));
    found.retain(is_wanted);
    mount_image::first_of_each(found)
}
