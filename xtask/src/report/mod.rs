//! Saying what was done: one report, rendered as text ([`text`]) and JSON ([`json`]); and what is being done ([`watch`]).

pub mod builder;
pub mod failure;
pub mod json;
pub mod outcome;
pub mod pins;
pub mod plan;
pub mod store;
pub mod text;
pub mod watch;

use serde::{Deserialize, Serialize};

/// What a build came to. Its JSON is a contract: other tools read it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BuildReport {
    /// Version of the document.
    pub schema: u32,
    /// The build's id.
    pub build: String,
    /// How it ended.
    pub result: BuildResult,
    /// Wall time of the build, without the save.
    pub seconds: f64,
    /// The images.
    pub targets: Vec<TargetReport>,
    /// Steps of Dockerfiles in the order in which BuildKit came to them.
    pub steps: Vec<StepReport>,
    /// What the store gave and got.
    pub cache: CacheReport,
    /// What went wrong, where the build failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<failure::BuildFailure>,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// How a build ended.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum BuildResult {
    /// Something ran.
    Built,
    /// Everything was there.
    Cached,
    /// A step failed, or the build could not start.
    Failed,
}

/// One image.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TargetReport {
    /// The target.
    pub name: String,
    /// Its image's first tag.
    pub image: Option<String>,
    /// Its image's digest, where the driver gives one.
    pub digest: Option<String>,
}

/// One step.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StepReport {
    /// The target that it belongs to; one that several share comes once under each.
    pub target: String,
    /// Its stage.
    pub stage: String,
    /// Its instruction.
    pub instruction: String,
    /// Whether its result was there.
    pub cached: bool,
    /// How long it took.
    pub seconds: f64,
    /// Why it ran; nothing for a step that did not.
    pub cause: Option<Cause>,
}

/// Why a step ran.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Cause {
    /// `file`, `arg`, `base`, `instruction`, `mount`, `parent` or `unknown`.
    pub kind: String,
    /// Which one.
    pub detail: String,
}

/// A cache mount that travelled.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq, Eq)]
pub struct MountReport {
    /// Its id.
    pub id: String,
    /// Where it is mounted.
    pub target: String,
    /// Whether it was put back for this build.
    pub restored: bool,
    /// Size of its files in bytes.
    pub bytes: u64,
    /// What was added to the store, in bytes.
    pub saved_bytes: u64,
}

/// What the store gave and got.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct CacheReport {
    /// Key of the first requested target, 12 hex digits.
    pub key: Option<String>,
    /// What BuildKit was shown: generations of the store, then tags of registries.
    pub read: Vec<String>,
    /// The generation that was saved for the first requested target.
    pub saved: Option<String>,
    /// How long saving took, all targets together.
    pub save_seconds: f64,
    /// Registry tags that the layers were pushed to.
    #[serde(default)]
    pub pushed: Vec<String>,
    /// How long pushing took, all targets together.
    #[serde(default)]
    pub push_seconds: f64,
    /// Cache mounts that travelled.
    pub mounts: Vec<MountReport>,
    /// How long it took to put them back, within the build's time.
    #[serde(default)]
    pub put_back_seconds: f64,
    /// How long it took to take them out, after the build.
    #[serde(default)]
    pub take_out_seconds: f64,
}
