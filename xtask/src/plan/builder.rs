//! Persistent builders: the steps of `builder up` and `builder down`, from the requested settings,
//! the recorded settings, and the current state. Its garbage collection removes layers before cache
//! mounts. This policy replaces BuildKit's defaults, which in newer versions remove cache mounts
//! after 48 idle hours.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::engine::inspect::Instance;
use crate::error::usage;
use crate::layout::Layout;
use crate::step::{Command, Step};

/// The default name.
pub(crate) const NAME: &str = "durango";
/// The default image of BuildKit, as in buildx.
pub(crate) const IMAGE: &str = "moby/buildkit:buildx-stable-1";

/// The settings of a builder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BuilderSpec {
    pub name: String,
    /// The place of BuildKit.
    pub place: BuilderPlace,
    /// More options of the driver.
    pub options: BTreeMap<String, String>,
}

/// The place where a builder's BuildKit runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum BuilderPlace {
    /// In a container of this machine's engine.
    Container {
        image: String,
        /// The maximum size of its cache in GB.
        size: u64,
    },
    /// On another machine, managed by others. Certificates are among the options.
    Remote {
        /// An address such as `tcp://buildkit.example:1234`.
        endpoint: String,
    },
}

/// The current state.
#[derive(Debug, Clone, Default)]
pub(crate) struct BuilderFacts {
    /// The builder with this name, created by any program.
    pub instance: Option<Instance>,
    /// The settings with which `builder up` created it.
    pub made: Option<BuilderSpec>,
    /// Whether it is the default for builds.
    pub is_chosen: bool,
    /// Whether the engine has the image.
    pub has_image: bool,
    /// Whether the configuration file exists with the right content.
    pub has_config: bool,
    /// Whether the engine has the volume of its cache.
    pub has_volume: bool,
}

impl BuilderPlace {
    /// Returns the name of its buildx driver.
    pub(crate) fn driver(&self) -> &'static str {
        match self {
            Self::Container { .. } => "docker-container",
            Self::Remote { .. } => "remote",
        }
    }
}

impl BuilderSpec {
    /// Returns options of the driver in the form that buildx stores.
    fn driver_options(&self) -> BTreeMap<String, String> {
        let mut options = self.options.clone();
        if let BuilderPlace::Container { image, .. } = &self.place {
            options.insert("image".into(), image.clone());
        }
        options
    }

    /// Returns the content of `buildkitd.toml`, for a container only.
    pub(crate) fn config(&self) -> Option<String> {
        match self.place {
            BuilderPlace::Container { size, .. } => Some(config(size)),
            BuilderPlace::Remote { .. } => None,
        }
    }

    /// Returns whether buildx has these settings, whether or not the builder runs.
    fn matches(&self, instance: &Instance) -> bool {
        let same_place = match &self.place {
            BuilderPlace::Container { .. } => true,
            BuilderPlace::Remote { endpoint } => *endpoint == instance.endpoint,
        };
        let same_config = match (self.config(), &instance.config) {
            (Some(wanted), Some(there)) => {
                settings(there).is_some_and(|there| settings(&wanted) == Some(there))
            }
            (None, _) => true,
            (Some(_), None) => false,
        };
        same_place && same_config && self.driver_options() == instance.options
    }
}

/// Returns BuildKit's configuration. It has sizes under the names of versions before and since
/// 0.17; each reads the ones that it knows.
pub(crate) fn config(size: u64) -> String {
    // TOML has no larger number.
    let bytes = size.saturating_mul(1_000_000_000).min(i64::MAX.unsigned_abs());
    let rule = |all: bool, filters: &str| {
        format!(
            "    [[worker.oci.gcpolicy]]\n      all = {all}\n{filters}      keepBytes = {bytes}\n      maxUsedSpace = {bytes}\n"
        )
    };
    format!(
        "# Written by `cargo xtask builder up`. Layers are removed before cache mounts, and mounts only \
         if they alone exceed the limit.\n[worker]\n  [worker.oci]\n    gc = true\n{}{}",
        rule(false, "      filters = [\"type!=exec.cachemount\"]\n"),
        rule(true, "")
    )
}

/// Returns the settings of a TOML file in any layout, because buildx rewrites it without comments.
/// Returns `None` for invalid TOML.
fn settings(toml: &str) -> Option<serde_json::Value> {
    basic_toml::from_str(toml).ok()
}

/// Returns the steps that create or repair a builder; none if it is as requested.
pub(crate) fn up(spec: &BuilderSpec, facts: &BuilderFacts, layout: &Layout) -> Result<Vec<Step>> {
    let name = &spec.name;
    let mut steps = Vec::new();
    let config = layout.builder_config(name);
    if let (Some(text), false) = (spec.config(), facts.has_config) {
        steps.push(Step::write_private(&config, text));
    }
    let is_ours = facts.made.is_some();
    match &facts.instance {
        None => steps.extend(create(spec, facts, layout, format!("creating the builder `{name}`"))),
        Some(instance) if spec.matches(instance) => {
            if !instance.is_up {
                steps.push(Step::run(
                    format!("starting the builder `{name}`"),
                    Command::new(["docker", "buildx", "inspect", "--bootstrap", name]),
                ));
            }
        }
        Some(instance) if !is_ours || instance.driver != spec.place.driver() => {
            return Err(foreign(spec, instance));
        }
        Some(_) => {
            steps.extend(pull(spec, facts));
            let why = format!("the builder `{name}` is created again and keeps its cache");
            steps.push(Step::run(why, remove(spec)));
            let has_pulled = BuilderFacts { has_image: true, ..facts.clone() };
            steps.extend(create(spec, &has_pulled, layout, ""));
        }
    }
    if facts.made.as_ref() != Some(spec) {
        let text = serde_json::to_string_pretty(spec)?;
        steps.push(Step::write_private(layout.builder_spec(name), format!("{text}\n")));
    }
    if !facts.is_chosen {
        let step = Step::write_private(layout.chosen_builder(), format!("{name}\n"));
        steps.push(Step { why: format!("builds use `{name}` from now on"), ..step });
    }
    Ok(steps)
}

/// Pulls the image first, so that a missing image is reported before anything is changed.
fn pull(spec: &BuilderSpec, facts: &BuilderFacts) -> Option<Step> {
    match &spec.place {
        BuilderPlace::Container { image, .. } if !facts.has_image => {
            Some(Step::run(format!("fetching `{image}`"), Command::new(["docker", "pull", "--quiet", image])))
        }
        _ => None,
    }
}

fn create(spec: &BuilderSpec, facts: &BuilderFacts, layout: &Layout, why: impl Into<String>) -> Vec<Step> {
    let mut command = Command::new(["docker", "buildx", "create", "--name", &spec.name, "--driver"]);
    command = command.args([spec.place.driver()]);
    for (option, value) in spec.driver_options() {
        command = command.args(["--driver-opt", &format!("{option}={value}")]);
    }
    command = match &spec.place {
        BuilderPlace::Container { .. } => {
            let config = layout.builder_config(&spec.name).display().to_string();
            command.args(["--buildkitd-config", &config, "--bootstrap"])
        }
        BuilderPlace::Remote { endpoint } => command.args(["--bootstrap", endpoint]),
    };
    pull(spec, facts).into_iter().chain([Step::run(why, command)]).collect()
}

fn remove(spec: &BuilderSpec) -> Command {
    let command = Command::new(["docker", "buildx", "rm"]);
    let keeps = matches!(spec.place, BuilderPlace::Container { .. });
    command.args(keeps.then_some("--keep-state")).args([&spec.name])
}

fn foreign(spec: &BuilderSpec, instance: &Instance) -> anyhow::Error {
    let (name, wanted, driver) = (&spec.name, spec.place.driver(), &instance.driver);
    let what = if wanted == driver.as_str() {
        format!("a builder `{name}` with other settings exists, which xtask did not create")
    } else {
        format!("a builder `{name}` with the driver {driver} exists, and {wanted} is requested")
    };
    usage(format!(
        "{what}\nname another one, as `cargo xtask builder up durango-2`, or use it with --builder"
    ))
}

/// Returns the steps that remove a builder, and with `purge` its cache; none if nothing is left.
pub(crate) fn down(name: &str, facts: &BuilderFacts, layout: &Layout, purge: bool) -> Result<Vec<Step>> {
    let Some(made) = &facts.made else {
        return match &facts.instance {
            None => Ok(volume(name, facts, purge).into_iter().collect()),
            Some(_) => Err(usage(format!(
                "xtask did not create the builder `{name}` and does not remove it\n`docker buildx rm \
                 {name}` removes it"
            ))),
        };
    };
    let mut steps = Vec::new();
    if facts.instance.is_some() {
        steps.push(Step::run(format!("removing the builder `{name}`"), remove(made)));
    }
    if matches!(made.place, BuilderPlace::Container { .. }) {
        steps.extend(volume(name, facts, purge));
    }
    if facts.is_chosen {
        steps.push(Step::remove("builds use the engine's current builder again", layout.chosen_builder()));
    }
    if let Some(dir) = layout.builder_spec(name).parent() {
        steps.push(Step::remove("", dir));
    }
    Ok(steps)
}

fn volume(name: &str, facts: &BuilderFacts, purge: bool) -> Option<Step> {
    let command = Command::new(["docker", "volume", "rm", &volume_name(name)]);
    (purge && facts.has_volume).then(|| Step::run(format!("removing the cache of `{name}`"), command))
}

/// Returns the name of the volume with a builder's cache.
pub(crate) fn volume_name(name: &str) -> String {
    format!("buildx_buildkit_{name}0_state")
}

#[cfg(test)]
#[path = "builder_tests.rs"]
mod tests;
