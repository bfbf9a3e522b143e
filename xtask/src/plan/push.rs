//! The plan of a push: layers to a registry, by separate calls like a save, so that a slow or
//! broken registry doesn't affect the build.

use std::path::PathBuf;

use serde::Serialize;

use super::build_facts::{BuildFacts, Stored};
use super::caches::{Mode, Registry};
use super::planned_target::reading_order;
use super::registry_state::RegistryState;
use super::save::cache_only;
use crate::engine::Version;
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
    /// Adds layers to both tags that the export lacks.
    pub completion: Option<Completion>,
}

/// The plan for layers that BuildKit leaves out of a push, because its builder did not read them.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Completion {
    /// The caches of this repository that the build reads, by digest.
    pub earlier: Vec<String>,
    /// Whether buildx copies an index only. Before 0.15 it wraps a manifest into an index, which is
    /// not a cache.
    pub as_index: bool,
    /// The file that names the cache to copy.
    pub source: PathBuf,
    /// Each tag with the command that copies a cache to it.
    pub copies: Vec<(String, Command)>,
}

/// The first buildx that copies a manifest unchanged.
const COPIES_MANIFESTS: Version = Version(0, 15);

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
    let newest = registry.newest(&stored.image, &stored.platform);
    Push {
        target: name.to_owned(),
        image: stored.image.clone(),
        key: stored.key.clone(),
        registry: registry.clone(),
        read: reading_order(stored),
        lacking: held.said.is_ok() && !held.has_exact(name),
        builder: facts.engine.builder.clone(),
        exact: export(&reference),
        newest: export(&newest),
        completion: completion(facts, held, name, [&reference, &newest]),
        reference,
    }
}

fn completion(
    facts: &BuildFacts,
    held: &RegistryState,
    name: &str,
    tags: [&String; 2],
) -> Option<Completion> {
    let earlier = held.reads_by_digest(name);
    // With `mode=min`, the user does not want the layers of other stages.
    if earlier.is_empty() || held.registry.mode == Mode::Min {
        return None;
    }
    let as_index = facts.engine.buildx < COPIES_MANIFESTS;
    let source = facts.scratch.join("pushes").join(name);
    let copy = |tag: &String| {
        let command = Command::new(["docker", "buildx", "--builder", &facts.engine.builder])
            .args(["imagetools", "create", "--progress", "plain"])
            .args((!as_index).then_some("--prefer-index=false"))
            .args(["--file", &source.display().to_string(), "--tag", tag]);
        (tag.clone(), command)
    };
    Some(Completion { copies: tags.into_iter().map(copy).collect(), earlier, as_index, source })
}

impl Push {
    /// Returns the commands that run if a step ran or the registry lacks the key.
    pub(crate) fn to_shell(&self) -> Vec<String> {
        let when = if self.lacking {
            format!("# `{}` is not there yet:", self.reference)
        } else {
            format!("# where a step of `{}` ran, to `{}`:", self.target, self.reference)
        };
        let mut lines = vec![when, self.exact.to_shell(), self.newest.to_shell()];
        if let Some(completion) = &self.completion {
            lines.push("# if the export lacks layers that the registry had for the same steps:".into());
            lines.extend(completion.copies.iter().map(|(_, command)| command.to_shell()));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::super::build::plan;
    use super::super::options::BuildOptions;
    use super::super::tests::{facts, registry};
    use super::*;

    #[test]
    fn a_push_is_completed_from_the_caches_of_its_registry_that_are_read() {
        let mut facts = facts();
        facts.registries = vec![
            registry("own", false, Some("1"), Some("2")),
            registry("empty", false, None, None),
            registry("theirs", true, Some("3"), None),
        ];
        let completions = |facts: &BuildFacts| -> Vec<Option<Completion>> {
            let pushes = plan(facts, &BuildOptions::default(), "id").pushes;
            let of_app = pushes.into_iter().filter(|push| push.target == "app");
            of_app.map(|push| push.completion).collect()
        };
        for (buildx, as_index) in [(Version(0, 14), true), (Version(0, 15), false)] {
            facts.engine.buildx = buildx;
            let all = completions(&facts);
            let [Some(own), None] = &all[..] else { panic!("only the first has caches: {all:?}") };
            assert_eq!(own.earlier, ["own/c@1", "own/c@2"]);
            assert_eq!(own.as_index, as_index);
            let lines: Vec<String> = own.copies.iter().map(|(_, command)| command.to_shell()).collect();
            assert_eq!(lines.len(), 2);
            for (line, tag) in lines.iter().zip(["own/c:own_app-", "own/c:own_app-linux_amd64"]) {
                assert!(line.contains(&format!(" --tag {tag}")), "{line}");
                assert_ne!(line.contains("--prefer-index=false"), as_index, "{line}");
            }
        }
        facts.registries[0].registry.mode = Mode::Min;
        assert!(completions(&facts).iter().all(Option::is_none), "layers of other stages are not wanted");
    }
}
