//! Makes the plan of a build from facts and options.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::Serialize;

use super::arguments::Arguments;
use super::bake_args;
use super::base_layout::prepare;
use super::fresh::{self, FreshFacts, FreshTarget};
use super::mounts::plan::{self, MountPlan};
use super::options::BuildOptions;
use super::outputs;
use super::packages;
use super::push::{self, Push};
use super::registry_state::{RegistryRead, RegistryState};
use super::right::Right;
use super::save::{self, Save};
use crate::base_image::{Base, InEngine};
use crate::engine::Engine;
use crate::json::SCHEMA;
use crate::project::Declaration;
use crate::project::secrets::Secrets;
use crate::step::{Command, Step};
use crate::store::contents::ItemKind;
use crate::store::damage::Damaged;
use crate::store::entry::Found;
use crate::store::fresh::Nonce;
use crate::store::key::Key;
use crate::store::mount::SavedMount;
use crate::store::policy::{Policy, RESULTS};

/// The input of a plan.
pub(crate) struct BuildFacts {
    /// The engine and its builder.
    pub engine: Engine,
    /// The declaration, with the user's overrides.
    pub declaration: Declaration,
    /// The targets to build, requested ones first, then their base targets.
    pub names: Vec<String>,
    /// The number of requested ones.
    pub requested: usize,
    /// The base image in place of the pinned one, and the steps that provide it.
    pub base: Option<Base>,
    /// The images that the engine has for it, whether or not a target is based on it.
    pub in_engine: InEngine,
    /// The host's settings.
    pub secrets: Secrets,
    /// The store's results for each target with a local Dockerfile.
    pub stored: BTreeMap<String, Stored>,
    /// Damaged saved mounts.
    pub damaged: Vec<Damaged>,
    /// Directories whose blobs a new generation can share.
    pub seeds: Vec<PathBuf>,
    /// The content of registries, in their order of precedence.
    pub registries: Vec<RegistryState>,
    /// For each target, the steps that were or will be run again.
    pub fresh: BTreeMap<String, FreshFacts>,
    /// The versions of Debian packages by target, as the argument `PACKAGES` has them.
    pub packages: BTreeMap<String, String>,
    /// The nonce for steps that this build runs again.
    pub nonce: Nonce,
    /// The saved cache mounts, and the damaged ones.
    pub saved_mounts: (Vec<SavedMount>, Vec<String>),
    /// The directory of saved mounts.
    pub mounts_dir: PathBuf,
    /// An image with the tools for transfers, if there is one.
    pub tools: Option<Base>,
    /// A temporary directory of this build, removed at its end.
    pub scratch: PathBuf,
    /// The user's rights for a foreign declaration; `None` for our own.
    pub(crate) granted: Option<Vec<Right>>,
}

/// One target's place in the store.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    /// The repository of its first tag, else the names of its project and target.
    pub image: String,
    /// Platforms, joined by commas.
    pub platform: String,
    /// The key of its Dockerfile.
    pub key: Key,
    /// The directory of its key's results, which may not exist yet.
    pub results: PathBuf,
    /// The existing results.
    pub found: Found,
}

/// A plan. `plan` and `--dry-run` print it, a build executes it unchanged, and the record stores
/// it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Plan {
    /// The version of the document.
    pub schema: u32,
    /// The build's id.
    pub build: String,
    pub builder: String,
    /// The builder's platform.
    pub platform: String,
    pub targets: Vec<PlannedTarget>,
    /// Steps before the build.
    pub prepare: Vec<Step>,
    /// The build: one call of `docker buildx bake`.
    pub bake: Command,
    /// The same without caches to read, which the store and registries offer from one build to the
    /// next: what this build is, for the question whether it was built before.
    #[serde(skip)]
    pub(crate) without_caches: Command,
    /// Whether BuildKit gets only those saved results of a target that have, together, all steps.
    #[serde(skip)]
    pub(crate) reads_fewest: bool,
    /// The build without registries. A registry that doesn't deliver a listed layer ends a build
    /// (measured), and a cache must not do that.
    pub without_registries: Option<Command>,
    /// A temporary directory of this build, removed at its end.
    pub scratch: PathBuf,
    /// The file to which bake writes the digests.
    pub metadata: PathBuf,
    /// Saves, each done if the store lacks the result.
    pub saves: Vec<Save>,
    /// Pushes to registries, each done if a step ran or the registry lacks the key.
    pub pushes: Vec<Push>,
    /// Steps that run again and keep their cache mounts, in this build or since an earlier one.
    pub fresh: Vec<FreshTarget>,
    /// Dockerfiles with the additions for these steps, by target.
    #[serde(skip)]
    pub dockerfiles: BTreeMap<String, String>,
    /// Steps that record them in the store after a successful build.
    pub remember: Vec<Step>,
    /// Cache mounts: restored before a step runs if the builder lacks them, saved after a step ran.
    pub mounts: MountPlan,
    /// Whether mounts are saved.
    pub saves_mounts: bool,
    /// Steps after the build, whatever its result.
    pub cleanup: Vec<Step>,
    /// Damaged entries that are moved to the quarantine first.
    pub damaged: Vec<Damaged>,
    /// The limits of the store.
    pub policy: Policy,
    pub warnings: Vec<String>,
}

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

/// Makes the plan.
pub(crate) fn plan(facts: &BuildFacts, options: &BuildOptions, build: &str) -> Plan {
    let targets: Vec<PlannedTarget> =
        facts.names.iter().enumerate().map(|(index, name)| planned(facts, options, index, name)).collect();
    let mut warnings = facts.secrets.warnings.clone();
    warnings.extend(options.unsaved.clone());
    warnings.extend(facts.stored.values().flat_map(|stored| stored.found.warnings.clone()));
    let damaged = damaged(facts);
    // The reader of mounts has already reported damaged ones.
    warnings.extend(damaged.iter().filter(|item| item.kind == ItemKind::Layers).map(Damaged::warning));
    let fresh = fresh::plan(facts, options);
    warnings.extend(fresh.warnings.iter().cloned());
    let mounts = plan::plan(facts, options, &fresh);
    warnings.extend(mounts.warnings.iter().cloned());
    let mut said = BTreeSet::new();
    warnings.retain(|warning| said.insert(warning.clone()));
    let can_save = facts.engine.capabilities().supports_local_cache_export;
    warnings.extend(facts.registries.iter().filter_map(RegistryState::warning));
    warnings.extend(outputs::unloaded(facts, options));
    if !can_save && !options.no_save {
        warnings.push(
            "this engine keeps images in the classic store and cannot export a cache to a directory: \
             nothing is saved; run `cargo xtask setup` to turn on the containerd image store"
                .into(),
        );
    }
    let metadata = facts.scratch.join("metadata.json");
    let common = bake_args::common(facts, options, &targets, &fresh);
    let bake = bake_args::bake(facts, options, &common, &metadata);
    let reading = |targets: Vec<PlannedTarget>| {
        bake_args::bake(facts, options, &bake_args::common(facts, options, &targets, &fresh), &metadata)
    };
    let here_alone = |target: PlannedTarget| PlannedTarget { remote: Vec::new(), ..target };
    let without_registries = targets
        .iter()
        .any(|target| !target.remote.is_empty())
        .then(|| reading(targets.iter().cloned().map(here_alone).collect()));
    let nothing = |target: PlannedTarget| PlannedTarget { read: Vec::new(), ..here_alone(target) };
    let without_caches = reading(targets.iter().cloned().map(nothing).collect());
    let arguments = Arguments::of(&facts.declaration, &options.sets, &facts.scratch);
    let saves_layers = can_save && !options.no_save;
    let is_written = options.unsaved.is_none();
    let saves = if saves_layers && is_written && options.caches.local {
        save::plan(facts, &common)
    } else {
        Vec::new()
    };
    let pushes = if saves_layers { push::plan(facts, &common) } else { Vec::new() };
    Plan {
        schema: SCHEMA,
        build: build.to_owned(),
        builder: facts.engine.builder.clone(),
        platform: facts.engine.platform.clone(),
        targets,
        prepare: prepare(facts, mounts.template.is_some())
            .into_iter()
            .chain(arguments.prepare())
            .chain(fresh.prepare)
            .chain(packages::file(facts).map(|(_, write)| write))
            .collect(),
        bake,
        without_caches,
        reads_fewest: !facts.engine.capabilities().merges_saved_results,
        without_registries,
        scratch: facts.scratch.clone(),
        metadata,
        saves,
        pushes,
        mounts,
        saves_mounts: is_written && saves_mounts(facts, options),
        fresh: fresh.targets,
        dockerfiles: fresh.texts,
        remember: fresh.remember,
        cleanup: vec![Step::remove("", &facts.scratch)],
        damaged: if is_written { damaged } else { Vec::new() },
        policy: options.policy.clone(),
        warnings,
    }
}

/// Returns whether mounts are saved. They are pushed to registries from the store, even if it is
/// ignored for layers.
fn saves_mounts(facts: &BuildFacts, options: &BuildOptions) -> bool {
    !options.no_save && (options.caches.local || facts.registries.iter().any(RegistryState::takes_pushes))
}

/// Returns the damaged entries without duplicates, because two targets may have one image.
fn damaged(facts: &BuildFacts) -> Vec<Damaged> {
    let layers = facts.stored.values().flat_map(|stored| &stored.found.damaged);
    let mut all: Vec<Damaged> = layers.chain(&facts.damaged).cloned().collect();
    all.sort_by(|one, other| one.path.cmp(&other.path));
    all.dedup();
    all
}

fn planned(facts: &BuildFacts, options: &BuildOptions, index: usize, name: &str) -> PlannedTarget {
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

impl Plan {
    /// Returns every step as shell lines, in order.
    pub(crate) fn to_shell(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.prepare.iter().map(Step::to_shell).collect();
        lines.push(self.bake.to_shell());
        if let Some(again) = &self.without_registries {
            lines.push("# if a registry fails to deliver layers that its cache lists:".into());
            lines.push(again.to_shell());
        }
        lines.extend(self.remember.iter().map(Step::to_shell));
        lines.extend(self.saves.iter().flat_map(Save::to_shell));
        lines.extend(self.pushes.iter().flat_map(Push::to_shell));
        lines.extend(self.mounts.to_shell(self.saves_mounts));
        lines.extend(self.cleanup.iter().map(Step::to_shell));
        lines
    }
}
