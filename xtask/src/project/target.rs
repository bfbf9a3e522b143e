//! One target of a declaration.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Deserializer, Serialize};

use super::dockerfile::{clean, is_true};
use super::remote::is_remote;
use crate::platform;
use crate::text::csv;

/// The fields of a target that decisions need. They differ between versions of buildx, so fields
/// that are only passed on stay JSON.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case", default)]
pub(crate) struct Target {
    /// The main context: a directory, relative to the declaration's, or a URL.
    pub context: Option<String>,
    pub contexts: BTreeMap<String, String>,
    /// The Dockerfile, relative to the context.
    pub dockerfile: Option<String>,
    /// The stage to build; `None` for the last one.
    pub target: Option<String>,
    /// The text of an inline Dockerfile.
    pub dockerfile_inline: Option<String>,
    pub args: BTreeMap<String, Option<String>>,
    /// The names of the image.
    pub tags: Vec<String>,
    /// Secrets: `id=...,src=...` or, from newer versions, objects.
    pub secret: Vec<serde_json::Value>,
    /// Caches to read, in either form.
    pub cache_from: Vec<serde_json::Value>,
    pub cache_to: Vec<serde_json::Value>,
    /// Agents and keys for SSH.
    pub ssh: Vec<serde_json::Value>,
    /// Entitlements of its RUNs.
    pub entitlements: Vec<String>,
    /// The size of `/dev/shm`, such as `64MiB`; `None` for Docker's default.
    pub shm_size: Option<String>,
    /// The network of its RUNs, such as `host`.
    pub network: Option<String>,
    /// The limits of its RUNs.
    pub ulimits: Option<serde_json::Value>,
    /// Host names for its RUNs.
    pub extra_hosts: Option<serde_json::Value>,
    /// Platforms in BuildKit's spelling; empty for the builder's own.
    #[serde(deserialize_with = "platforms")]
    pub platforms: Vec<String>,
    /// Outputs; empty for the driver's default.
    pub output: Vec<serde_json::Value>,
    /// Attestations, in either form; `disabled=true` turns one off.
    pub attest: Vec<serde_json::Value>,
    /// The method of the frontend, such as `check`, instead of a build.
    pub call: Option<String>,
    /// Whether all of its steps run in every build.
    pub no_cache: Option<bool>,
    /// Stages whose steps run in every build.
    pub no_cache_filter: Vec<String>,
}

/// Reads platforms, which a declaration may spell in many ways.
fn platforms<'a, D: Deserializer<'a>>(from: D) -> Result<Vec<String>, D::Error> {
    let all = Vec::<String>::deserialize(from)?;
    Ok(all.iter().map(|platform| platform::normalized(platform)).collect())
}

impl Target {
    /// Returns whether the image is a manifest list: one manifest per platform, and one for the
    /// attestations of each.
    pub(crate) fn makes_manifest_list(&self) -> bool {
        let is_off = |value: &serde_json::Value| match value {
            serde_json::Value::String(text) => {
                let mut pairs = csv::pairs(text).into_iter().rev();
                pairs.find(|(name, _)| name == "disabled").is_some_and(|(_, value)| is_true(&value))
            }
            object => object["disabled"] == true || object["disabled"].as_str().is_some_and(is_true),
        };
        self.platforms.len() > 1 || self.attest.iter().any(|attest| !is_off(attest))
    }

    /// Returns the method of the frontend that bake calls instead of a build.
    pub(super) fn method(&self) -> Option<&str> {
        let fields = self.call.as_deref().unwrap_or_default().split(',');
        let method = fields.into_iter().find(|field| !field.contains('='));
        method.filter(|method| !["", "build"].contains(method))
    }

    /// Resolves `cwd://`, which starts in the current directory of bake: `dir`. A Dockerfile
    /// with such a path is not below its context. Like bake, takes `..` in the main context
    /// literally: it doesn't follow a link before it.
    pub(super) fn resolve_paths(&mut self, dir: &Path) {
        if let Some(context) = self.context.as_mut().filter(|at| !at.contains("://") && !is_remote(at)) {
            *context = clean(context);
        }
        let path = |text: &str| text.strip_prefix("cwd://").map(clean);
        for at in self.context.iter_mut().chain(self.contexts.values_mut()) {
            *at = path(at).unwrap_or_else(|| std::mem::take(at));
        }
        if let Some(path) = self.dockerfile.as_deref().and_then(path) {
            self.dockerfile = Some(dir.join(path).display().to_string());
        }
    }

    /// Returns whether it is based on the pinned base image and no other was chosen for it.
    pub(crate) fn is_based_on(&self, pinned: &str) -> bool {
        self.args.get("BASE_IMAGE").and_then(Option::as_deref) == Some(pinned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_platforms_and_attestations_make_a_list_of_manifests() {
        let makes =
            |json: &str| serde_json::from_str::<Target>(json).expect("a target").makes_manifest_list();
        assert!(makes(r#"{"platforms":["linux/amd64","linux/arm64"]}"#));
        assert!(
            makes(r#"{"attest":["type=sbom"]}"#)
                && makes(r#"{"attest":[{"type":"provenance","mode":"max"}]}"#)
        );
        assert!(!makes(r#"{"platforms":["linux/arm64"],"attest":["type=provenance,disabled=true"]}"#));
        assert!(!makes(r#"{"attest":[{"type":"provenance","disabled":"true"}]}"#) && !makes("{}"));
        assert!(!makes(r#"{"attest":["type=sbom, Disabled=1"]}"#));
        assert!(makes(r#"{"attest":["type=sbom,disabled=0"]}"#));
    }

    #[test]
    fn platforms_are_read_in_buildkit_s_spelling() {
        let target: Target =
            serde_json::from_str(r#"{"platforms":["linux/x86_64","linux/arm64/v8"]}"#).expect("one");
        assert_eq!(target.platforms, ["linux/amd64", "linux/arm64"]);
    }

    #[test]
    fn paths_from_the_current_directory_are_paths() {
        let json = r#"{"context":"cwd://c/","dockerfile":"cwd://D","contexts":
            {"a":"cwd://../a","b":"b","c":"https://x/cwd://y","d":"cwd://"}}"#;
        let mut target: Target = serde_json::from_str(json).expect("a target");
        target.resolve_paths(Path::new("/p"));
        assert_eq!((target.context.as_deref(), target.dockerfile.as_deref()), (Some("c"), Some("/p/D")));
        let contexts: Vec<&str> = target.contexts.values().map(String::as_str).collect();
        assert_eq!(contexts, ["../a", "b", "https://x/cwd://y", "."]);
        for (context, expected) in
            [("link/../sub/", "sub"), ("./", "."), ("git@x.example:y/../z.git", "git@x.example:y/../z.git")]
        {
            let mut target = Target { context: Some(context.into()), ..Target::default() };
            target.resolve_paths(Path::new("/p"));
            assert_eq!(target.context.as_deref(), Some(expected), "{context}");
        }
    }
}
