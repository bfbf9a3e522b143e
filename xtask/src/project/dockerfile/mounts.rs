//! The cache mounts of RUNs, as BuildKit resolves their options: the mounts of a build, and the
//! steps that use them.

use std::collections::BTreeMap;

use super::scope::{Scope, clean};
use super::target_inputs::Inputs;
use super::{CacheMount, Dockerfile};
use crate::project::mount::{MountIdentity, Sharing};
use crate::project::{Declaration, Target};

/// A RUN that uses a mount.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Use {
    /// The target of the declaration.
    pub target: String,
    pub stage: String,
    /// The instruction in one line.
    pub instruction: String,
}

/// A mount with all its uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UsedMount {
    /// The mount, as its first user declares it.
    pub mount: CacheMount,
    /// Its uses, in the order of targets and instructions.
    pub uses: Vec<Use>,
}

/// The mounts of a build.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Mounts {
    /// One per identity, in the order in which they were found.
    pub mounts: Vec<UsedMount>,
    /// Warnings about unresolved options and conflicting declarations.
    pub warnings: Vec<String>,
}

/// Returns the inputs of a target for one platform. `native` is the builder's own platform.
pub(crate) fn inputs(target: &Target, platform: &str, native: &str) -> Inputs {
    let given = |(name, value): (&String, &Option<String>)| Some((name.clone(), value.clone()?));
    Inputs {
        args: target.args.iter().filter_map(given).collect(),
        contexts: target.contexts.keys().map(|name| name.to_ascii_lowercase()).collect(),
        stage: target.target.clone(),
        platform: platform.to_owned(),
        build_platform: native.to_owned(),
        ..Inputs::default()
    }
}

/// Returns every mount that a build of `names` uses. `files` has the Dockerfiles by target.
/// `native` is the builder's platform.
pub(crate) fn of_build(
    declaration: &Declaration,
    names: &[String],
    files: &BTreeMap<String, Dockerfile>,
    native: &str,
) -> Mounts {
    let mut found = Mounts::default();
    for name in names {
        let (Some(file), Some(target)) = (files.get(name), declaration.targets.get(name)) else { continue };
        let native_only = [native.to_owned()];
        let platforms = if target.platforms.is_empty() { &native_only[..] } else { &target.platforms };
        for platform in platforms {
            found.add(name, file, &inputs(target, platform, native));
        }
    }
    for used in &mut found.mounts {
        used.mount.identity.project.clone_from(&declaration.project);
    }
    found
}

impl Mounts {
    fn add(&mut self, target: &str, file: &Dockerfile, inputs: &Inputs) {
        let Some(goal) = file.goal(inputs) else { return };
        for index in file.needs(goal, inputs) {
            let stage = &file.stages[index].name;
            file.walk(index, inputs, &mut |instruction, scope| {
                for options in instruction.mounts() {
                    let user = Use {
                        target: target.to_owned(),
                        stage: stage.clone(),
                        instruction: instruction.text.clone(),
                    };
                    match Options::expand(&options, scope, file.escape) {
                        Ok(Some(options)) => match options.mount(target, file, inputs, scope) {
                            Ok(mount) => self.insert(mount, user),
                            Err(why) => self.warn(&user, &why),
                        },
                        Ok(None) => {}
                        Err(why) => self.warn(&user, &why),
                    }
                }
            });
        }
    }

    fn insert(&mut self, mount: CacheMount, user: Use) {
        let Some(known) = self.mounts.iter_mut().find(|known| known.mount.identity == mount.identity) else {
            self.mounts.push(UsedMount { mount, uses: vec![user] });
            return;
        };
        if known.mount.sharing != mount.sharing {
            let first = &known.uses[0];
            let warning = format!(
                "the cache mount `{}` is `{}` in {} ({}) and `{}` in {} ({}): BuildKit may give one of \
                 them an empty mount",
                mount.identity.id,
                known.mount.sharing,
                first.stage,
                first.target,
                mount.sharing,
                user.stage,
                user.target
            );
            if !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
        known.mount.has_id |= mount.has_id;
        if !known.uses.contains(&user) {
            known.uses.push(user);
        }
    }

    fn warn(&mut self, user: &Use, why: &str) {
        let warning = format!("a cache mount of `{}` ({}) is not saved: {why}", user.stage, user.target);
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }
}

/// The options of one cache mount, expanded.
#[derive(Debug, Default)]
struct Options {
    values: BTreeMap<&'static str, String>,
}

/// The relevant options, by each of their names.
const NAMES: &[(&str, &str)] = &[
    ("type", "type"),
    ("id", "id"),
    ("from", "from"),
    ("source", "source"),
    ("src", "source"),
    ("target", "target"),
    ("dst", "target"),
    ("destination", "target"),
    ("sharing", "sharing"),
    ("uid", "uid"),
    ("gid", "gid"),
    ("mode", "mode"),
];

impl Options {
    /// Expands the options. Returns `None` for a mount of another type, and an error for an unknown
    /// value.
    fn expand(
        options: &[(String, Option<String>)],
        scope: &Scope,
        escape: char,
    ) -> Result<Option<Self>, String> {
        let is_cache = |(key, value): &(String, Option<String>)| {
            key == "type"
                && value
                    .as_ref()
                    .is_some_and(|value| scope.expand(value, escape).text.eq_ignore_ascii_case("cache"))
        };
        if !options.iter().any(is_cache) {
            return Ok(None);
        }
        let mut found = Self::default();
        for (key, value) in options {
            let Some((_, name)) = NAMES.iter().find(|(known, _)| known == key) else { continue };
            let expanded = scope.expand(value.as_deref().unwrap_or_default(), escape);
            if let Some(unknown) = expanded.unknown.first() {
                return Err(format!("its `{key}` needs `{unknown}`, which only its base image defines"));
            }
            found.values.insert(name, expanded.text);
        }
        Ok(Some(found))
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    fn number(&self, name: &str) -> Result<Option<u32>, String> {
        let number =
            |text: &str| text.parse().map_err(|_| format!("its `{name}` is `{text}`, which is not a number"));
        self.get(name).map(number).transpose()
    }

    fn mount(
        &self,
        owner: &str,
        file: &Dockerfile,
        inputs: &Inputs,
        scope: &Scope,
    ) -> Result<CacheMount, String> {
        let written = self.get("target").ok_or("it has no target")?;
        let sharing = match self.get("sharing").unwrap_or("shared").to_ascii_lowercase().as_str() {
            "shared" => Sharing::Shared,
            "private" => Sharing::Private,
            "locked" => Sharing::Locked,
            other => return Err(format!("its `sharing` is `{other}`")),
        };
        // The target is not part of the mount's identity. BuildKit derives the id before it applies
        // the current directory.
        let target = scope.absolute(written).unwrap_or_else(|| clean(written));
        let from = self.get("from").filter(|from| *from != "scratch");
        // Unlike COPY's, a mount's `from=` accepts no index, and only names of the file (measured).
        let stage = |from: &str| match file.by_name(from, file.stages.len(), inputs) {
            Some(index) => file.stages[index].name.clone(),
            None => from.to_owned(),
        };
        let source =
            self.get("source").map(|source| clean(&format!("/{source}"))).filter(|source| source != "/");
        let mode = self.get("mode").map(str::to_owned);
        if mode.as_ref().is_some_and(|mode| u32::from_str_radix(mode, 8).is_err()) {
            return Err("its `mode` is not an octal number".into());
        }
        Ok(CacheMount {
            has_id: self.get("id").is_some(),
            identity: MountIdentity {
                project: String::new(),
                namespace: inputs.args.get("BUILDKIT_CACHE_MOUNT_NS").cloned().unwrap_or_default(),
                id: self.get("id").map_or_else(|| clean(written), str::to_owned),
                from: from.map(|from| format!("{owner}/{}", stage(from))),
                source,
                uid: self.number("uid")?,
                gid: self.number("gid")?,
                mode,
            },
            sharing,
            target,
        })
    }
}

#[cfg(test)]
#[path = "mounts_tests.rs"]
mod tests;
