//! The content of registries as facts of a plan: the caches to read, the caches to write, and the
//! warnings about unusable ones.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::caches::Registry;
use crate::engine::registry::{RegistryAnswer, advice};

/// The state of a registry before the build.
#[derive(Debug, Clone)]
pub struct RegistryState {
    /// The registry.
    pub registry: Registry,
    /// Its content for each target, or why it is skipped.
    pub said: Result<BTreeMap<String, Tags>, RegistryAnswer>,
}

/// The content of a registry for one target, as digests of manifests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tags {
    /// Under the key of its Dockerfile.
    pub exact: Option<Tag>,
    /// The last push, with any key.
    pub newest: Option<Tag>,
}

/// A tag and its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// The full reference.
    pub reference: String,
    /// The digest of its manifest.
    pub digest: String,
}

/// Layers in a registry that BuildKit reads.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub struct RegistryRead {
    /// The full reference.
    pub reference: String,
}

impl RegistryRead {
    /// Returns the value of `cache-from`.
    pub fn cache_from(&self) -> String {
        format!("type=registry,ref={}", self.reference)
    }
}

impl RegistryState {
    /// Returns the exact key first, then the last push if it is a different one.
    pub fn reads(&self, target: &str) -> Vec<RegistryRead> {
        let Some(tags) = self.tags(target) else { return Vec::new() };
        let digest = tags.exact.as_ref().map(|tag| &tag.digest);
        let newest = tags.newest.iter().filter(|tag| Some(&tag.digest) != digest);
        tags.exact.iter().chain(newest).map(|tag| RegistryRead { reference: tag.reference.clone() }).collect()
    }

    /// Returns the same caches by digest, because a push replaces their tags.
    pub(crate) fn reads_by_digest(&self, target: &str) -> Vec<String> {
        let tags = self.tags(target).cloned().unwrap_or_default();
        let digests: BTreeSet<String> =
            [tags.exact, tags.newest].into_iter().flatten().map(|tag| tag.digest).collect();
        digests.into_iter().map(|digest| format!("{}@{digest}", self.registry.reference)).collect()
    }

    /// Returns whether it has a result of exactly this Dockerfile.
    pub fn has_exact(&self, target: &str) -> bool {
        self.tags(target).is_some_and(|tags| tags.exact.is_some())
    }

    /// Returns whether to try a push. A registry that refuses a read may only lack the repository:
    /// some create it with the first push and refuse until then.
    pub fn takes_pushes(&self) -> bool {
        !self.registry.read_only && matches!(self.said, Ok(_) | Err(RegistryAnswer::Denied(_)))
    }

    /// Returns why it is skipped, and how to fix it.
    pub fn warning(&self) -> Option<String> {
        let name = &self.registry.reference;
        Some(match self.said.as_ref().err()? {
            RegistryAnswer::Denied(why) => format!(
                "skipped the cache `{name}`, because the registry refuses access: {why}\nrun `docker \
                 login`, or check that this account may read it"
            ),
            RegistryAnswer::Unreachable(why) => {
                let next = "the build continues without it; leave out --cache to skip the check";
                let next = advice::of_read(why).unwrap_or(next);
                format!("skipped the cache `{name}`, because the registry is not reachable: {why}\n{next}")
            }
            RegistryAnswer::Has(_) | RegistryAnswer::Empty => return None,
        })
    }

    fn tags(&self, target: &str) -> Option<&Tags> {
        self.said.as_ref().ok()?.get(target)
    }
}
