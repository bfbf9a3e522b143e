//! The plan of a save: a second call of bake, which finds everything cached and only exports.

use std::path::PathBuf;

use serde::Serialize;

use super::bake_args::local_cache;
use super::build::{BuildFacts, Stored, reading_order};
use crate::step::Command;
use crate::store::key::Key;

/// One target's layers, into one directory: two targets to one destination lose one of them,
/// silently (measured).
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Save {
    /// The target.
    pub target: String,
    /// Its image in the store.
    pub image: String,
    /// Its platforms.
    pub platform: String,
    /// Its key.
    pub key: Key,
    /// Digests of the images that the results of this key hold now.
    pub held: Vec<String>,
    /// Keys of the steps whose layers those results have, a list each.
    #[serde(skip)]
    pub held_steps: Vec<Vec<String>>,
    /// Whether a registry has this key: copying layers that nobody here needed, whole toolchains
    /// among them, would fetch all of them first.
    pub elsewhere: bool,
    /// The export goes here first,
    pub staging: PathBuf,
    /// and is then renamed to the next number in here.
    pub results: PathBuf,
    /// Results, or directories of them, whose blobs are linked in before: what is shared is neither
    /// exported again nor twice on disk.
    pub seeds: Vec<PathBuf>,
    /// Results that BuildKit is shown.
    pub read: Vec<PathBuf>,
    /// What it is expected to take, in bytes, by the newest result of its image; nothing is
    /// expected of a first one.
    pub expected: Option<u64>,
    /// That result: room is made at the cost of others first.
    pub newest: Option<PathBuf>,
    /// The call.
    pub command: Command,
}

/// Saves for every target with a key; `common` is what the build's call and theirs share.
pub(crate) fn plan(facts: &BuildFacts, common: &Command) -> Vec<Save> {
    // Those that others build upon come first: the others share their blobs.
    let mut saves: Vec<Save> = Vec::new();
    for name in facts.names.iter().rev() {
        if let Some(stored) = facts.stored.get(name) {
            let mut save = save(facts, common, name, stored);
            save.seeds.extend(saves.iter().map(|earlier| earlier.results.clone()));
            saves.push(save);
        }
    }
    saves
}

fn save(facts: &BuildFacts, common: &Command, name: &str, stored: &Stored) -> Save {
    let staging = facts.scratch.join("layers").join(name);
    let export = format!("{name}.cache-to={},mode=max,compression=zstd", local_cache("dest", &staging));
    let command = common.clone().args(["--set", &export, "--set", "*.output=type=cacheonly", name]);
    let newest = stored.found.generations.first();
    let exact = stored.found.generations.iter().filter(|generation| generation.entry.key == stored.key);
    Save {
        target: name.to_owned(),
        image: stored.image.clone(),
        platform: stored.platform.clone(),
        key: stored.key.clone(),
        elsewhere: facts.registries.iter().any(|held| held.has_exact(name)),
        held: exact.clone().filter_map(|generation| generation.entry.digest.clone()).collect(),
        held_steps: exact.map(|generation| generation.entry.steps.clone()).collect(),
        staging,
        results: stored.results.clone(),
        seeds: facts.seeds.clone(),
        read: reading_order(stored),
        expected: newest.map(|generation| generation.entry.bytes),
        newest: newest.map(|generation| generation.dir.clone()),
        command,
    }
}

impl Save {
    /// What happens where the store lacks the result.
    pub(crate) fn to_shell(&self) -> Vec<String> {
        let quote = |path: &PathBuf| shell_words::quote(&path.to_string_lossy()).into_owned();
        vec![
            format!("# unless `{}` holds this result already:", self.results.display()),
            self.command.to_shell(),
            format!("mv {} {}/NUMBER", quote(&self.staging), quote(&self.results)),
        ]
    }
}
