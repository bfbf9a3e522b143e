//! The data model of a build report: what a build did, why its steps ran, why it failed.

pub(crate) mod assemble;
pub(crate) mod failure;
pub(crate) mod needs;

use serde::{Deserialize, Serialize};

use crate::redact::Redactor;

/// What a build came to. Its JSON is a contract: other tools read it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct BuildReport {
    /// Version of the document.
    pub schema: u32,
    /// The build's id.
    pub build: String,
    /// How it ended.
    pub result: BuildResult,
    /// Wall time of the build, without the save.
    pub seconds: f64,
    /// What it took after that to tell why steps ran, and to record it.
    #[serde(default)]
    pub record_seconds: f64,
    /// The images.
    #[serde(default)]
    pub targets: Vec<TargetReport>,
    /// Steps of Dockerfiles in the order in which BuildKit came to them.
    #[serde(default)]
    pub steps: Vec<StepReport>,
    /// What the store gave and got.
    #[serde(default)]
    pub cache: CacheReport,
    /// What went wrong, where the build failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<crate::outcome::failure::BuildFailure>,
    /// What the user should know.
    #[serde(default)]
    pub warnings: Vec<String>,
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

/// How a build ended.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum BuildResult {
    /// Something ran.
    Built,
    /// Everything was there.
    Cached,
    /// A step failed, or the build could not start.
    Failed,
    /// The user stopped it, or it was killed.
    Interrupted,
}

impl BuildResult {
    /// In a word, as JSON has it.
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
    /// The target.
    pub name: String,
    /// Its image's first tag.
    pub image: Option<String>,
    /// Its image's digest, where the driver gives one.
    pub digest: Option<String>,
}

/// One step.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct StepReport {
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
    /// When it began, in seconds after the build did: below 0 where another build had begun it
    /// before and this one waited for it. Nothing for a step that did not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<f64>,
    /// The steps whose results it took, as indices of the report's steps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<usize>,
    /// Why it ran; nothing for a step that did not.
    pub cause: Option<Cause>,
}

/// Why a step ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cause {
    /// Of which kind.
    pub kind: CauseKind,
    /// Which one, and what about it changed; in words.
    pub detail: String,
}

/// What makes a step run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum CauseKind {
    /// A file that it reads.
    File,
    /// A build argument in its scope.
    Arg,
    /// The image that its stage stands upon.
    Base,
    /// A version of a Debian package that it installs.
    Package,
    /// Its own text, or an instruction that it inherits from: ENV, WORKDIR, USER, SHELL.
    Instruction,
    /// An option of one of its mounts, or how it is run: network, `/dev/shm`, limits.
    Mount,
    /// A step before it ran.
    Parent,
    /// The builder had dropped its result.
    Dropped,
    /// It never ran here before.
    New,
    /// It was asked to run again.
    Fresh,
    /// Not known.
    #[serde(other)]
    Unknown,
}

/// A cache mount that travelled.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub(crate) struct MountReport {
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
#[serde(default)]
pub(crate) struct CacheReport {
    /// Key of the first requested target, 12 hex digits.
    pub key: Option<String>,
    /// What BuildKit was shown: generations of the store, then tags of registries.
    pub read: Vec<String>,
    /// The generation that was saved for the first requested target.
    pub saved: Option<String>,
    /// How long saving took, all targets together.
    pub save_seconds: f64,
    /// Registry tags that the layers were pushed to.
    pub pushed: Vec<String>,
    /// How long pushing took, all targets together.
    pub push_seconds: f64,
    /// Cache mounts that travelled.
    pub mounts: Vec<MountReport>,
    /// How long it took to put them back, within the build's time.
    pub put_back_seconds: f64,
    /// How long it took to take them out, after the build.
    pub take_out_seconds: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every text of a report that comes from elsewhere, in its own place.
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
