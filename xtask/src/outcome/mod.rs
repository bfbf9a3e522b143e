//! The data model of a build report: what a build did, why its steps ran, why it failed.

pub(crate) mod assemble;
pub(crate) mod failure;
pub(crate) mod needs;

use serde::{Deserialize, Serialize};

use crate::redact::Redactor;

/// The outcome of a build. Its JSON is a contract: other tools read it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct BuildReport {
    /// The version of the document.
    pub schema: u32,
    /// The build's id.
    pub build: String,
    pub result: BuildResult,
    /// Whether bake was called: not where nothing had changed since the build [`Self::same_as`].
    #[serde(default = "called")]
    pub bake_called: bool,
    /// The build that made the images, where bake was not called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_as: Option<String>,
    /// The wall time of the build, without the save.
    pub seconds: f64,
    /// The additional time for reasons and the record.
    #[serde(default)]
    pub record_seconds: f64,
    /// The images.
    #[serde(default)]
    pub targets: Vec<TargetReport>,
    /// Steps of Dockerfiles in the order in which BuildKit reached them.
    #[serde(default)]
    pub steps: Vec<StepReport>,
    /// The use of caches.
    #[serde(default)]
    pub cache: CacheReport,
    /// The failure, if the build failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<crate::outcome::failure::BuildFailure>,
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// Records of versions that always called it do not say so.
fn called() -> bool {
    true
}

impl BuildReport {
    /// Redacts every text that comes from a build, an engine or the user.
    pub(crate) fn redact(&mut self, redactor: &Redactor) {
        let redact = |text: &mut String| {
            if let std::borrow::Cow::Owned(redacted) = redactor.text(text) {
                *text = redacted;
            }
        };
        self.targets.iter_mut().filter_map(|target| target.image.as_mut()).for_each(redact);
        for step in &mut self.steps {
            redact(&mut step.instruction);
            step.cause.iter_mut().for_each(|cause| redact(&mut cause.detail));
        }
        let cache = &mut self.cache;
        cache.read.iter_mut().chain(&mut cache.pushed).for_each(redact);
        cache.mounts.iter_mut().for_each(|mount| {
            redact(&mut mount.id);
            redact(&mut mount.target);
        });
        if let Some(failure) = &mut self.failure {
            let texts = failure.step.iter_mut().chain(&mut failure.advice).chain(&mut failure.output);
            texts.chain([&mut failure.message, &mut failure.log]).for_each(redact);
        }
        self.warnings.iter_mut().for_each(redact);
    }
}

/// The result of a build.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum BuildResult {
    /// A step ran.
    Built,
    /// Everything was cached.
    Cached,
    /// A step failed, or the build could not start.
    Failed,
    /// The user stopped it, or it was killed.
    Interrupted,
}

impl BuildResult {
    /// Returns the word in JSON.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Built => "built",
            Self::Cached => "cached",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
        }
    }
}

/// One image.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TargetReport {
    pub name: String,
    /// Its image's first tag.
    pub image: Option<String>,
    /// Its image's digest, if the driver returns one.
    pub digest: Option<String>,
}

/// One step.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct StepReport {
    /// Its target. A step that several targets share is listed once under each.
    pub target: String,
    pub stage: String,
    pub instruction: String,
    /// Its number in its stage, which tells steps with one text apart.
    #[serde(skip)]
    pub number: u32,
    /// Whether its result existed.
    pub cached: bool,
    pub seconds: f64,
    /// Its start in seconds after the start of the build; negative if another build had started it
    /// before and this one waited for it. `None` for a step that did not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<f64>,
    /// The steps whose results it used, as indexes of the report's steps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<usize>,
    /// The reason of its run; `None` for a step that did not run.
    pub cause: Option<Cause>,
}

/// Why a step ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cause {
    pub kind: CauseKind,
    /// The input, and its change, in words.
    pub detail: String,
}

/// The kinds of reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum CauseKind {
    /// A file that it reads.
    File,
    /// A build argument in its scope.
    Arg,
    /// The base image of its stage.
    Base,
    /// A version of a Debian package that it installs.
    Package,
    /// Its own text, or an instruction that it inherits from: ENV, WORKDIR, USER, SHELL.
    Instruction,
    /// An option of one of its mounts, or of its execution: network, `/dev/shm`, limits.
    Mount,
    /// A previous step ran.
    Parent,
    /// The builder had removed its result.
    Dropped,
    /// The step never ran here before.
    New,
    /// The user requested to run the step again.
    Fresh,
    #[serde(other)]
    Unknown,
}

/// A restored or saved cache mount.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub(crate) struct MountReport {
    pub id: String,
    pub target: String,
    /// Whether it was restored for this build.
    pub restored: bool,
    /// The size of its files in bytes.
    pub bytes: u64,
    /// The bytes that were added to the store.
    pub saved_bytes: u64,
}

/// The use of caches.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct CacheReport {
    /// The key of the first requested target, 12 hex digits.
    pub key: Option<String>,
    /// The caches that BuildKit read: generations of the store, then tags of registries.
    pub read: Vec<String>,
    /// The generation that was saved for the first requested target.
    pub saved: Option<String>,
    /// The time of all saves.
    pub save_seconds: f64,
    /// Registry tags that the layers were pushed to.
    pub pushed: Vec<String>,
    /// The time of all pushes.
    pub push_seconds: f64,
    /// Restored or saved cache mounts.
    pub mounts: Vec<MountReport>,
    /// The time to restore them, within the build's time.
    #[serde(rename = "put_back_seconds")]
    pub restore_seconds: f64,
    /// The time to save them, after the build.
    #[serde(rename = "take_out_seconds")]
    pub mount_save_seconds: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every foreign text of a report, in its own field.
    #[test]
    fn no_text_of_a_report_keeps_a_secret() {
        let word = "hunter22";
        let mut report: BuildReport = serde_json::from_value(serde_json::json!({
            "schema": 1, "build": "20261126-101500-7a", "result": "failed", "seconds": 1.5,
            "targets": [{"name": "app", "image": word, "digest": null}],
            "steps": [{"target": "app", "stage": "s", "instruction": word, "cached": false, "seconds": 1.0,
                "cause": {"kind": "arg", "detail": word}}],
            "cache": {"read": [word], "pushed": [word], "mounts": [{"id": word, "target": word}]},
            "failure": {"step": word, "exit_code": 1, "message": word, "output": [word, "plain"],
                "advice": word, "log": word},
            "warnings": [word],
        }))
        .expect("a report");
        let places = serde_json::to_string(&report).expect("JSON").matches(word).count();
        assert_eq!(places, 13);
        let redactor = Redactor::default();
        redactor.learn(word);
        report.redact(&redactor);
        let text = serde_json::to_string(&report).expect("JSON");
        assert_eq!((text.matches(word).count(), text.matches("***").count()), (0, places), "{text}");
    }
}
