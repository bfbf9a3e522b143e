//! What registries hold, as facts of a plan: what is read there, what may be written, what the user
//! is told of those that are of no use.

use std::collections::BTreeMap;

use serde::Serialize;

use super::caches::Registry;
use crate::engine::registry::RegistryAnswer;

/// What a registry said before the build.
#[derive(Debug, Clone)]
pub struct RegistryState {
    /// The registry.
    pub registry: Registry,
    /// What it holds for each target, or why it is left out.
    pub said: Result<BTreeMap<String, Tags>, RegistryAnswer>,
}

/// What a registry holds for one target, as digests of manifests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tags {
    /// Under the key of its Dockerfile.
    pub exact: Option<Tag>,
    /// What was pushed last, whatever its key.
    pub newest: Option<Tag>,
}

/// A tag and what it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// The whole reference.
    pub reference: String,
    /// Digest of its manifest.
    pub digest: String,
}

/// Layers in a registry that BuildKit is shown.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub struct RegistryRead {
    /// The whole reference.
    pub reference: String,
}

impl RegistryRead {
    /// The value of `cache-from`.
    pub fn cache_from(&self) -> String {
        format!("type=registry,ref={}", self.reference)
    }
}

impl RegistryState {
    /// The exact key first, then what was pushed last, where that is another one.
    pub fn reads(&self, target: &str) -> Vec<RegistryRead> {
        let Some(tags) = self.tags(target) else { return Vec::new() };
        let digest = tags.exact.as_ref().map(|tag| &tag.digest);
        let newest = tags.newest.iter().filter(|tag| Some(&tag.digest) != digest);
        tags.exact.iter().chain(newest).map(|tag| RegistryRead { reference: tag.reference.clone() }).collect()
    }

    /// Whether it holds a result of exactly this Dockerfile.
    pub fn has_exact(&self, target: &str) -> bool {
        self.tags(target).is_some_and(|tags| tags.exact.is_some())
    }

    /// Whether a push is worth trying. A registry that refuses to be read may only lack the
    /// repository, which some make with the first push and refuse until then.
    pub fn takes_pushes(&self) -> bool {
        !self.registry.read_only && matches!(self.said, Ok(_) | Err(RegistryAnswer::Denied(_)))
    }

    /// Why it is left out, with the remedy.
    pub fn warning(&self) -> Option<String> {
        let name = &self.registry.reference;
        Some(match self.said.as_ref().err()? {
            RegistryAnswer::Denied(why) => format!(
                "skipped the cache `{name}`, because the registry refuses access: {why}\nrun `docker \
                 login`, or check that this account may read it"
            ),
            RegistryAnswer::Unreachable(why) => format!(
                "skipped the cache `{name}`, because the registry is not reachable: {why}\nthe build \
                 continues without it; leave out --cache to skip the check"
            ),
            RegistryAnswer::Has(_) | RegistryAnswer::Empty => return None,
        })
    }

    fn tags(&self, target: &str) -> Option<&Tags> {
        self.said.as_ref().ok()?.get(target)
    }
}
