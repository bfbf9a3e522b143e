//! The plan of a save: a second call of bake, in which everything is cached and only the export
//! runs.

use std::path::PathBuf;

use serde::Serialize;

use super::bake_args::local_setting;
use super::build_facts::{BuildFacts, Stored};
use super::planned_target::reading_order;
use crate::project::requested::add_linked;
use crate::step::Command;
use crate::store::key::Key;

/// The layers of one target in one directory: with two targets for one destination, one of them is
/// lost silently (measured).
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Save {
    pub target: String,
    /// Its image in the store.
    pub image: String,
    pub platform: String,
    pub key: Key,
    /// Digests of the images in the existing results of this key.
    pub held: Vec<String>,
    /// Keys of the steps whose layers those results have, a list each.
    #[serde(skip)]
    pub held_steps: Vec<Vec<String>>,
    /// Whether a registry has this key. A copy would then first download layers that nothing here
    /// needed, such as toolchains.
    pub elsewhere: bool,
    /// The directory of the export before it is renamed.
    pub staging: PathBuf,
    /// The directory to which it is renamed, with the next number.
    pub results: PathBuf,
    /// Results, or directories of them, whose blobs are linked first: shared blobs are neither
    /// exported again nor stored twice.
    pub seeds: Vec<PathBuf>,
    /// Results that BuildKit reads.
    pub read: Vec<PathBuf>,
    /// The expected size in bytes, from the newest result of its image; `None` for a first one.
    pub expected: Option<u64>,
    /// The newest result, which is removed last when space is needed.
    pub newest: Option<PathBuf>,
    /// The call.
    pub command: Command,
}

/// Plans saves for every target with a key. `common` is the common part of the build's call and
/// theirs.
pub(crate) fn plan(facts: &BuildFacts, common: &Command) -> Vec<Save> {
    // Base targets come first, because the others share their blobs.
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
    let export = format!("{name}.cache-to={},mode=max,compression=zstd", local_setting("dest", &staging));
    let command = cache_only(facts, common, &export, name);
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

/// A call of bake that exports the cache of one target and makes no image. The targets that it is
/// based on are named as well: bake overrides the output of the named targets only, and would give
/// the image of another one its name again, with other layers (measured).
pub(super) fn cache_only(facts: &BuildFacts, common: &Command, export: &str, name: &str) -> Command {
    let mut names = vec![name.to_owned()];
    add_linked(&facts.declaration, &mut names);
    common.clone().args(["--set", export, "--set", "*.output=type=cacheonly"]).args(names)
}

impl Save {
    /// Returns whether the store has the result: this very image, or the layers of the same steps.
    /// An image's digest may change while no layer does: attestations have the build's time in
    /// them.
    pub(crate) fn is_held(&self, digest: Option<&String>, steps: &[String]) -> bool {
        let has_all = |held: &Vec<String>| !steps.is_empty() && steps.iter().all(|step| held.contains(step));
        digest.is_some_and(|digest| self.held.contains(digest)) || self.held_steps.iter().any(has_all)
    }

    /// Returns the commands that run if the store lacks the result.
    pub(crate) fn to_shell(&self) -> Vec<String> {
        let quote = |path: &PathBuf| shell_words::quote(&path.to_string_lossy()).into_owned();
        vec![
            format!("# unless `{}` holds this result already:", self.results.display()),
            self.command.to_shell(),
            format!("mv {} {}/NUMBER", quote(&self.staging), quote(&self.results)),
        ]
    }
}
