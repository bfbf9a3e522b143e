//! From facts and options to the plan of a build.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::options::BuildOptions;
use super::save::{self, Save};
use super::step::{Command, Step};
use crate::cache::entry::Found;
use crate::cache::key::Key;
use crate::engine::{Driver, Engine};
use crate::project::secrets::Secrets;
use crate::project::{Declaration, Target};
use crate::report::json::SCHEMA;

/// Everything that a plan is made of.
pub struct Facts {
    /// The engine and its builder.
    pub engine: Engine,
    /// The declaration, with the user's overrides.
    pub declaration: Declaration,
    /// The targets to build, requested ones first, then those they build upon.
    pub names: Vec<String>,
    /// How many of them were requested.
    pub requested: usize,
    /// The base image in place of the pinned one, and the steps that bring it about.
    pub base: Option<Base>,
    /// What the host lends.
    pub secrets: Secrets,
    /// What the store holds for each target that has a Dockerfile here.
    pub stored: BTreeMap<String, Stored>,
    /// Blob folders that a new generation can share with.
    pub seeds: Vec<PathBuf>,
    /// A folder of this build's own; removed at its end.
    pub scratch: PathBuf,
}

/// A base image that was chosen for the declaration's `BASE_IMAGE`.
#[derive(Debug, Clone, Default)]
pub struct Base {
    /// The pinned name that it stands for.
    pub pinned: String,
    /// Its name.
    pub image: String,
    /// What makes it; empty where it is there.
    pub steps: Vec<Step>,
    /// Whether it is in the daemon alone, where other drivers do not see it.
    pub local: bool,
}

/// One target's place in the store.
#[derive(Debug, Clone)]
pub struct Stored {
    /// First tag, or the target's name.
    pub image: String,
    /// Platforms, joined by commas.
    pub platform: String,
    /// Key of its Dockerfile.
    pub key: Key,
    /// Its generation's folder, whether or not there is one yet.
    pub generation: PathBuf,
    /// What is there.
    pub found: Found,
}

/// A plan: shown by `plan` and `--dry-run`, executed as it stands, kept in the record.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// Version of the document.
    pub schema: u32,
    /// The build's id.
    pub build: String,
    /// What is built.
    pub targets: Vec<PlannedTarget>,
    /// Steps before the build.
    pub prepare: Vec<Step>,
    /// The build: one call of `docker buildx bake`.
    pub bake: Command,
    /// A folder of this build's own; removed at its end.
    pub scratch: PathBuf,
    /// Where bake writes the digests.
    pub metadata: PathBuf,
    /// Saves, each done where the store lacks the result.
    pub saves: Vec<Save>,
    /// Steps after the build, whatever came of it.
    pub cleanup: Vec<Step>,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// One target of a plan.
#[derive(Debug, Clone, Serialize)]
pub struct PlannedTarget {
    /// Its name.
    pub name: String,
    /// Its image, as its first tag.
    pub image: Option<String>,
    /// Whether the user asked for it; else another builds upon it.
    pub requested: bool,
    /// The key of its Dockerfile, in full.
    pub key: Option<Key>,
    /// Cache folders that BuildKit is shown, best first.
    pub read: Vec<PathBuf>,
}

/// How many older generations stand in where the exact key has none: each costs the builder the reading of its
/// configuration, and the newest nearly always has what there is.
const FALLBACKS: usize = 2;

/// Makes the plan.
pub fn plan(facts: &Facts, options: &BuildOptions, build: &str) -> Plan {
    let targets: Vec<PlannedTarget> =
        facts.names.iter().enumerate().map(|(index, name)| planned(facts, options, index, name)).collect();
    let mut warnings = facts.secrets.warnings.clone();
    warnings.extend(facts.stored.values().flat_map(|stored| stored.found.warnings.clone()));
    warnings.dedup();
    let can_save = facts.engine.capabilities().local_cache_export;
    if !can_save && !options.no_save {
        warnings.push(
            "this engine keeps images in the classic store and cannot export a cache to a folder: nothing is saved; \
             `cargo xtask setup` turns the containerd image store on"
                .into(),
        );
    }
    if options.no_cache {
        warnings.push("BuildKit empties the cache mounts of the steps that --no-cache runs again".into());
    }
    let metadata = facts.scratch.join("metadata.json");
    let common = common(facts, options, &targets);
    let mut bake = common.clone().args(["--metadata-file", &metadata.display().to_string()]);
    if options.push {
        bake = bake.args(["--push"]);
    } else if needs_load(facts, options) {
        bake = bake.args(["--load"]);
    }
    if options.no_cache {
        bake = bake.args(["--no-cache"]);
    }
    bake = bake.args(output_sets(facts, options)).args(facts.names.iter().cloned());
    let saves = if can_save && !options.no_save { save::plan(facts, &common) } else { Vec::new() };
    Plan {
        schema: SCHEMA,
        build: build.to_owned(),
        targets,
        prepare: prepare(facts),
        bake,
        scratch: facts.scratch.clone(),
        metadata,
        saves,
        cleanup: vec![Step::remove("", &facts.scratch)],
        warnings,
    }
}

fn planned(facts: &Facts, options: &BuildOptions, index: usize, name: &str) -> PlannedTarget {
    let stored = facts.stored.get(name);
    let declared = facts.declaration.targets[name].tags.first();
    PlannedTarget {
        name: name.to_owned(),
        image: options.tags.first().filter(|_| index == 0).or(declared).cloned(),
        requested: index < facts.requested,
        key: stored.map(|stored| stored.key.clone()),
        read: stored.map(reading_order).unwrap_or_default(),
    }
}

/// The exact key first, then the newest others of the same image and platform.
fn reading_order(stored: &Stored) -> Vec<PathBuf> {
    let (exact, others): (Vec<_>, Vec<_>) =
        stored.found.generations.iter().partition(|generation| generation.entry.key == stored.key);
    exact
        .into_iter()
        .chain(others.into_iter().take(FALLBACKS))
        .map(|generation| generation.dir.clone())
        .collect()
}

/// What the build and each save share, so that a save finds all of the build's work: files, builder, contexts, arguments,
/// caches to read.
fn common(facts: &Facts, options: &BuildOptions, targets: &[PlannedTarget]) -> Command {
    let mut command = Command::new(["docker", "buildx", "--builder", &facts.engine.builder, "bake"]);
    for file in &facts.declaration.files {
        command = command.args(["-f", &file.display().to_string()]);
    }
    command = command.args(["--progress", "rawjson"]).cwd(&facts.declaration.dir);
    command.env = environment(facts);
    command.secret_env = facts.secrets.contents();
    let mut sets = options.sets.clone();
    for target in targets {
        let declared = &facts.declaration.targets[&target.name];
        sets.extend(target_sets(facts, options, &target.name, declared));
        if !target.read.is_empty() {
            let from = |source: String| format!("{}.cache-from={source}", target.name);
            sets.extend(declared.cache_from.iter().map(to_csv).map(from));
            sets.extend(target.read.iter().map(|dir| local_cache("src", dir)).map(from));
        }
    }
    command.args(sets.into_iter().flat_map(|set| ["--set".to_owned(), set]))
}

/// BuildKit on; no attestations unless asked for (with the default provenance each cached build has another digest, measured);
/// bake may read what the user names, wherever it is (from 0.20 on it asks about paths outside its folder).
fn environment(facts: &Facts) -> BTreeMap<String, String> {
    let fixed = [
        ("DOCKER_BUILDKIT", "1"),
        ("BUILDX_NO_DEFAULT_ATTESTATIONS", "1"),
        ("BUILDX_BAKE_ENTITLEMENTS_FS", "0"),
    ];
    let mut env = facts.secrets.paths();
    env.extend(fixed.map(|(name, value)| (name.to_owned(), value.to_owned())));
    env
}

/// What one target needs beside the declaration.
fn target_sets(facts: &Facts, options: &BuildOptions, name: &str, declared: &Target) -> Vec<String> {
    let links =
        facts.declaration.links(declared).filter(|(_, owner)| facts.names.iter().any(|other| other == owner));
    let mut sets: Vec<String> =
        links.map(|(context, owner)| format!("{name}.contexts.{context}=target:{owner}")).collect();
    if let Some(base) = facts.base.as_ref().filter(|base| declared.builds_upon(&base.pinned)) {
        sets.push(format!("{name}.args.BASE_IMAGE={}", base.image));
        if base.local && facts.engine.driver != Driver::Docker {
            let dir = base_layout(&facts.scratch);
            let tag = base.image.rsplit_once(':').map_or("latest", |(_, tag)| tag);
            sets.push(format!("{name}.contexts.{}=oci-layout://{}:{tag}", base.image, dir.display()));
        }
    }
    if let Some(app) = options.app.as_ref().filter(|_| declared.contexts.contains_key("app")) {
        sets.push(format!("{name}.contexts.app={}", app.display()));
    }
    if options.locked && declared.args.contains_key("LOCKED") {
        sets.push(format!("{name}.args.LOCKED=1"));
    }
    if !options.secrets.is_empty() {
        let declared = declared.secret.iter().map(to_csv);
        sets.extend(
            declared.chain(options.secrets.iter().cloned()).map(|spec| format!("{name}.secrets={spec}")),
        );
    }
    sets
}

fn base_layout(scratch: &Path) -> PathBuf {
    scratch.join("base")
}

/// Tags and outputs, which a save leaves out.
fn output_sets(facts: &Facts, options: &BuildOptions) -> Vec<String> {
    let main = &facts.names[0];
    let tags = options.tags.iter().map(|tag| format!("{main}.tags={tag}"));
    let outputs = options.outputs.iter().map(|output| format!("{main}.output={output}"));
    tags.chain(outputs).flat_map(|set| ["--set".to_owned(), set]).collect()
}

/// Other drivers than `docker` keep a result to themselves; users expect the image in their engine.
fn needs_load(facts: &Facts, options: &BuildOptions) -> bool {
    let declared = facts.names.iter().any(|name| !facts.declaration.targets[name].output.is_empty());
    facts.engine.driver != Driver::Docker && options.outputs.is_empty() && !declared
}

fn prepare(facts: &Facts) -> Vec<Step> {
    let mut steps = Vec::new();
    if let Some(base) = &facts.base {
        steps.extend(base.steps.iter().cloned());
        if base.local && facts.engine.driver != Driver::Docker {
            let (dir, tar) = (base_layout(&facts.scratch), facts.scratch.join("base.tar"));
            let (dir, tar) = (dir.display().to_string(), tar.display().to_string());
            steps.push(Step::run(
                "handing the base image to the builder",
                Command::new(["mkdir", "-p", &dir]),
            ));
            steps.push(Step::run("", Command::new(["docker", "save", "-o", &tar, &base.image])));
            steps.push(Step::run("", Command::new(["tar", "-xf", &tar, "-C", &dir])));
        }
    }
    steps
}

/// `type=local` with a folder, quoted where a comma or a quote would end the field.
pub fn local_cache(field: &str, dir: &Path) -> String {
    let value = format!("{field}={}", dir.display());
    let quoted = value.contains([',', '"']);
    let value = if quoted { format!("\"{}\"", value.replace('"', "\"\"")) } else { value };
    format!("type=local,{value}")
}

/// A setting that newer versions of bake print as an object, in the form that `--set` takes.
fn to_csv(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Object(fields) => {
            let text =
                |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            fields.iter().map(|(name, value)| format!("{name}={}", text(value))).collect::<Vec<_>>().join(",")
        }
        other => other.to_string(),
    }
}

impl Plan {
    /// Every step as the lines that a shell would run, in order.
    pub fn to_shell(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.prepare.iter().map(Step::to_shell).collect();
        lines.push(self.bake.to_shell());
        lines.extend(self.saves.iter().flat_map(Save::to_shell));
        lines.extend(self.cleanup.iter().map(Step::to_shell));
        lines
    }
}
