//! The inputs of a Dockerfile from its target: arguments, contexts, platforms, configurations of
//! base images.

use std::collections::{BTreeMap, BTreeSet};

use super::Instruction;
use super::shell::Value;

/// The inputs of a target in addition to its Dockerfile.
#[derive(Debug, Clone, Default)]
pub(crate) struct Inputs {
    pub args: BTreeMap<String, String>,
    /// Names of its contexts, which replace stages and images of the same name.
    pub contexts: BTreeSet<String>,
    /// The stage to build; `None` for the last one.
    pub stage: Option<String>,
    /// The target platform, such as `linux/arm64`; empty if unknown.
    pub platform: String,
    /// The build platform.
    pub build_platform: String,
    /// Whether the frontend gives directories of WORKDIR no date of `SOURCE_DATE_EPOCH`.
    pub leaves_directories_undated: bool,
    /// The base images of stages that are known, by name.
    pub images: BTreeMap<String, ImageConfig>,
}

/// The configuration that stages inherit from an image outside their Dockerfile.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ImageConfig {
    /// Its variables in order; `None` for an unknown value.
    pub env: Vec<(String, Option<String>)>,
    /// Whether it may have other variables.
    pub is_partial: bool,
    /// Its directory, if known.
    pub workdir: Option<String>,
    pub user: String,
    pub shell: String,
    /// Its ONBUILD instructions, without the keyword ONBUILD.
    pub triggers: Vec<Instruction>,
}

impl ImageConfig {
    /// Parses an ONBUILD instruction from an image.
    pub(crate) fn trigger(text: &str) -> Option<Instruction> {
        super::lexer::instructions(text).into_iter().next()
    }
}

impl Inputs {
    /// Returns values that BuildKit sets by itself if a stage declares the name.
    pub(super) fn predefined(&self) -> BTreeMap<String, Value> {
        let mut found = BTreeMap::new();
        for (prefix, platform) in [("TARGET", &self.platform), ("BUILD", &self.build_platform)] {
            let mut parts = platform.splitn(3, '/');
            let values =
                [Some(platform.as_str()), parts.next(), parts.next(), Some(parts.next().unwrap_or(""))];
            for (name, value) in ["PLATFORM", "OS", "ARCH", "VARIANT"].iter().zip(values) {
                let value = value.filter(|_| !platform.is_empty());
                let value = value.map_or(Value::Unknown, |value| Value::Set(value.to_owned()));
                found.insert(format!("{prefix}{name}"), value);
            }
            found.insert(format!("{prefix}OSVERSION"), Value::Set(String::new()));
        }
        found
    }
}
