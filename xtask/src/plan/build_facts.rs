//! The input of a plan: what was read before it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::registry_state::RegistryState;
use super::right::Right;
use crate::base_image::{Base, InEngine};
use crate::engine::Engine;
use crate::project::Declaration;
use crate::project::dockerfile::Inputs;
use crate::project::dockerfile::source::DockerfileSource;
use crate::project::secrets::Secrets;
use crate::store::damage::Damaged;
use crate::store::entry::Found;
use crate::store::fresh::{FreshFile, Nonce};
use crate::store::key::Key;
use crate::store::mount::SavedMount;

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

/// The steps of one target that were or will be run again.
#[derive(Debug, Clone)]
pub(crate) struct FreshFacts {
    /// Its platforms, joined by commas.
    pub platform: String,
    /// The file of the record; `None` if the store is ignored.
    pub path: Option<PathBuf>,
    /// The recorded steps.
    pub file: FreshFile,
    /// Why the record is incomplete.
    pub warning: Option<String>,
    /// The Dockerfile; `None` for a remote context.
    pub source: Option<Arc<DockerfileSource>>,
    /// The inputs of the target in addition to its Dockerfile.
    pub inputs: Inputs,
    /// The steps to run again in this build: a stage, or a RUN of it.
    pub chosen: Vec<(String, Option<String>)>,
}
