//! Persistent builders: what `builder up` and `builder down` do, from how a builder was asked for,
//! how it was made and how it is. Its garbage collection removes layers before cache mounts; a
//! policy of its own replaces all of BuildKit's defaults, the newer of which drop cache mounts
//! after 48 idle hours.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::engine::builders::Instance;
use crate::error::usage;
use crate::layout::Layout;
use crate::step::{Command, Step};

/// The builder that is meant where none is named.
pub(crate) const NAME: &str = "durango";
/// What BuildKit comes in, as with buildx itself.
pub(crate) const IMAGE: &str = "moby/buildkit:buildx-stable-1";

/// How a builder is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BuilderSpec {
    /// Its name.
    pub name: String,
    /// Where BuildKit runs.
    pub place: BuilderPlace,
    /// Further options of the driver.
    pub options: BTreeMap<String, String>,
}

/// Where a builder's BuildKit runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum BuilderPlace {
    /// In a container of this machine's engine.
    Container {
        /// Its image.
        image: String,
        /// How large its cache may grow, in GB.
        size: u64,
    },
    /// Somewhere else, where others care for it; certificates are among the options.
    Remote {
        /// As `tcp://buildkit.example:1234`.
        endpoint: String,
    },
}

/// What is so.
#[derive(Debug, Clone, Default)]
pub(crate) struct BuilderFacts {
    /// The builder of that name, whoever made it.
    pub instance: Option<Instance>,
    /// How `builder up` made it before.
    pub made: Option<BuilderSpec>,
    /// Whether builds use it where none is named.
    pub is_chosen: bool,
    /// Whether the engine has the image.
    pub has_image: bool,
    /// Whether the configuration file is there as it should be.
    pub has_config: bool,
    /// Whether the engine has the volume of its cache.
    pub has_volume: bool,
}

impl BuilderPlace {
    /// Its name among buildx's drivers.
    pub(crate) fn driver(&self) -> &'static str {
        match self {
            Self::Container { .. } => "docker-container",
            Self::Remote { .. } => "remote",
        }
    }
}

impl BuilderSpec {
    /// Options of the driver, as buildx keeps them.
    fn driver_options(&self) -> BTreeMap<String, String> {
        let mut options = self.options.clone();
        if let BuilderPlace::Container { image, .. } = &self.place {
            options.insert("image".into(), image.clone());
        }
        options
    }

    /// What goes into `buildkitd.toml`; only a container's is ours to say.
    pub(crate) fn config(&self) -> Option<String> {
        match self.place {
            BuilderPlace::Container { size, .. } => Some(config(size)),
            BuilderPlace::Remote { .. } => None,
        }
    }

    /// Whether buildx has it as it should be, up or not.
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

/// BuildKit's configuration. Sizes stand under the names of versions before and since 0.17; each
/// reads the one it knows.
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

/// The settings of a TOML file whatever its layout: buildx writes it anew, without comments. `None`
/// where it is no TOML.
fn settings(toml: &str) -> Option<serde_json::Value> {
    basic_toml::from_str(toml).ok()
}

/// The steps that make a builder as it is asked for, or mend it; none where it is so.
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

/// Fetches the image first, so that what cannot be had is told before anything is changed.
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

/// The steps that remove a builder; `purge` takes its cache, too. None where nothing is left of it.
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

/// What the volume with a builder's cache is called.
pub(crate) fn volume_name(name: &str) -> String {
    format!("buildx_buildkit_{name}0_state")
}

#[cfg(test)]
#[path = "builder_tests.rs"]
mod tests;
