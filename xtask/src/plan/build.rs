//! Makes the plan of a build from facts and options.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::Serialize;

use super::arguments::Arguments;
use super::bake_args;
use super::base_layout::prepare;
use super::build_facts::BuildFacts;
use super::fresh::{self, FreshTarget};
use super::mounts::plan::{self, MountPlan};
use super::options::BuildOptions;
use super::outputs;
use super::packages;
use super::planned_target::{PlannedTarget, planned};
use super::push::{self, Push};
use super::registry_state::RegistryState;
use super::save::{self, Save};
use crate::json::SCHEMA;
use crate::step::{Command, Step};
use crate::store::contents::ItemKind;
use crate::store::damage::Damaged;
use crate::store::policy::Policy;

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
