//! The cache mounts of a build, those that are saved, and the steps that use them.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;

use super::{Owner, PlannedMount, TransferTemplate};
use crate::error::usage;
use crate::plan::bake_args;
use crate::plan::build_facts::BuildFacts;
use crate::plan::fresh::{Fresh, shm_size};
use crate::plan::options::BuildOptions;
use crate::plan::registry_state::RegistryState;
use crate::progress::step_name::StepName;
use crate::project::dockerfile::mounts::{UsedMount, of_build};
use crate::project::dockerfile::{CacheMount, Dockerfile, Inputs};
use crate::text::size::show;

/// The selection of `--mounts` and `DURANGO_MOUNTS`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct MountFilter {
    /// Only these; empty for all.
    only: Vec<String>,
    /// Never these.
    never: Vec<String>,
    none: bool,
}

impl MountFilter {
    /// Parses `all`, `none`, or comma-separated ids. An id with a leading `-` is excluded.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut choice = Self::default();
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match (word, word.strip_prefix('-')) {
                ("all", _) => {}
                ("none", _) => choice.none = true,
                (_, Some("")) => {
                    return Err(usage("`--mounts -` has no id\nfor example: --mounts -durango-ccache"));
                }
                (_, Some(id)) => choice.never.push(id.to_owned()),
                (id, None) => choice.only.push(id.to_owned()),
            }
        }
        if choice.none && !(choice.only.is_empty() && choice.never.is_empty()) {
            return Err(usage(format!("`--mounts {text}` combines none with ids\nuse all, none, or ids")));
        }
        Ok(choice)
    }

    /// Selects no mount.
    pub(crate) fn none() -> Self {
        Self { none: true, ..Self::default() }
    }

    fn takes(&self, id: &str) -> bool {
        let is = |known: &String| known == id;
        !self.none && !self.never.iter().any(is) && (self.only.is_empty() || self.only.iter().any(is))
    }

    /// Returns whether a mount may leave this machine. An id that is a path is the same in every
    /// project.
    fn shares(&self, mount: &CacheMount) -> bool {
        mount.has_id || self.only.contains(&mount.identity.id)
    }

    /// Returns the named ids that are not mounts of the build.
    fn unknown(&self, mounts: &[UsedMount]) -> Vec<String> {
        let is_known = |id: &&String| mounts.iter().any(|used| used.mount.identity.id == **id);
        let unknown = self.only.iter().chain(&self.never).filter(|id| !is_known(id));
        unknown.map(|id| format!("`--mounts` names `{id}`, which no step of this build uses")).collect()
    }
}

/// The cache mounts of a build.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct MountPlan {
    /// Those that are saved, in the order in which they were found.
    pub mounts: Vec<PlannedMount>,
    /// The content of registries, which may have mounts as well.
    #[serde(skip)]
    pub registries: Vec<RegistryState>,
    /// The template of transfers; `None` without an image with the tools.
    #[serde(skip)]
    pub template: Option<TransferTemplate>,
    /// Dockerfiles by target, with the target's inputs.
    #[serde(skip)]
    files: BTreeMap<String, (Dockerfile, Inputs)>,
    #[serde(skip)]
    pub warnings: Vec<String>,
}

/// Plans the mounts.
pub(crate) fn plan(facts: &BuildFacts, options: &BuildOptions, fresh: &Fresh) -> MountPlan {
    let parse = |(name, fresh): (&String, &crate::plan::build_facts::FreshFacts)| {
        Some((name.clone(), (fresh.source.as_ref()?.file.clone(), fresh.inputs.clone())))
    };
    let files: BTreeMap<_, _> = facts.fresh.iter().filter_map(parse).collect();
    let parsed = files.iter().map(|(name, (file, _))| (name.clone(), file.clone())).collect();
    let found = of_build(&facts.declaration, &facts.names, &parsed, &facts.engine.platform);
    let mut plan = MountPlan { warnings: options.mounts.unknown(&found.mounts), ..MountPlan::default() };
    if options.mounts.none {
        return plan;
    }
    plan.warnings.extend(found.warnings);
    let (saved, damaged) = &facts.saved_mounts;
    plan.warnings.extend(damaged.iter().cloned());
    for used in found.mounts.into_iter().filter(|used| options.mounts.takes(&used.mount.identity.id)) {
        let is_shared = options.mounts.shares(&used.mount);
        let identity = used.mount.identity;
        let held = saved.iter().map(|saved| &saved.entry).find(|entry| entry.identity == identity);
        let mount = PlannedMount {
            dir: facts.mounts_dir.join(identity.slug()),
            held: held.filter(|entry| entry.platform == facts.engine.platform).cloned(),
            identity,
            sharing: used.mount.sharing,
            target: used.mount.target,
            is_shared,
            uses: used.uses,
        };
        if mount.is_writable() {
            plan.mounts.push(mount);
        } else {
            let id = &mount.identity.id;
            plan.warnings.push(format!(
                "the cache mount `{id}` cannot be saved: a name in it has characters that no option accepts"
            ));
        }
    }
    plan.files = files;
    plan.registries.clone_from(&facts.registries);
    plan.template = template(facts, options, fresh, &plan.mounts);
    plan
}

fn template(
    facts: &BuildFacts,
    options: &BuildOptions,
    fresh: &Fresh,
    mounts: &[PlannedMount],
) -> Option<TransferTemplate> {
    let tools = facts.tools.as_ref().filter(|_| !mounts.is_empty())?;
    let from = mounts.iter().filter_map(|mount| Some(mount.identity.from.as_deref()?.split_once('/')?.0));
    let owner = |name: &str| {
        let source = facts.fresh.get(name)?.source.as_ref()?;
        let mut sets = bake_args::transfer_sets(facts, options, name);
        // The stage as in the build: a different RUN of it is a different mount.
        sets.extend(shm_size(&fresh.targets, name).map(|bytes| ("shm-size".to_owned(), bytes.to_string())));
        let dockerfile = fresh.texts.get(name).unwrap_or(&source.text).clone();
        Some((name.to_owned(), Owner { dockerfile, dockerignore: source.ignore.clone(), sets }))
    };
    Some(TransferTemplate {
        bake: bake_args::bare(facts, options),
        builder: facts.engine.builder.clone(),
        loopback: facts.engine.loopback,
        tools: (tools.image.clone(), bake_args::tools_context(facts, tools)),
        owners: from.filter_map(owner).collect(),
        scratch: facts.scratch.clone(),
    })
}

impl MountPlan {
    /// Returns the possible transfers of each mount. They depend on the steps that run.
    pub(crate) fn to_shell(&self, is_saved: bool) -> Vec<String> {
        let lines = self.mounts.iter().filter(|_| self.template.is_some()).map(|mount| {
            let id = &mount.identity.id;
            let back = mount.held.as_ref().map(|held| {
                let size = show(held.bytes);
                format!("restored ({size}) if a step runs with it and this builder lacks it")
            });
            let out = is_saved.then(|| "saved if a step ran with it".to_owned());
            let ways: Vec<String> = back.into_iter().chain(out).collect();
            let ways = if ways.is_empty() { "stays".into() } else { ways.join("; ") };
            let home = "; it has no id, so it leaves this machine only with --mounts";
            let home = if mount.is_shared || self.registries.is_empty() { "" } else { home };
            format!("# cache mount {id}: {ways}{home}")
        });
        lines.collect()
    }

    /// Returns the number of mounts of the build that the builder's records can't distinguish from
    /// this one, including itself.
    pub(crate) fn alike(&self, at: usize) -> usize {
        self.mounts.iter().filter(|mount| mount.is_like(&self.mounts[at])).count()
    }

    /// Returns the mounts of a step by their index in the plan.
    pub(crate) fn of_step(&self, targets: &[String], label: &StepName) -> Vec<usize> {
        let uses = |mount: &PlannedMount| {
            mount.uses.iter().any(|user| {
                targets.contains(&user.target)
                    && user.stage == label.stage
                    && self.files.get(&user.target).is_some_and(|(file, _)| {
                        let found = file.find(&label.stage, &label.instruction);
                        found.is_some_and(|found| found.text == user.instruction)
                    })
            })
        };
        (0..self.mounts.len()).filter(|at| uses(&self.mounts[*at])).collect()
    }

    /// Returns the mounts of the stages based on the step's own, which run when it runs.
    pub(crate) fn dependents(&self, targets: &[String], label: &StepName) -> Vec<usize> {
        let above = |(target, stage): (&String, &str)| {
            self.files.get(target).is_some_and(|(file, inputs)| file.starts_from(stage, &label.stage, inputs))
        };
        let uses = |mount: &PlannedMount| {
            mount.uses.iter().any(|user| targets.contains(&user.target) && above((&user.target, &user.stage)))
        };
        (0..self.mounts.len()).filter(|at| uses(&self.mounts[*at])).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::mount::{MountIdentity, Sharing};

    #[test]
    fn a_choice_names_what_travels_or_what_does_not() {
        let table = [
            ("all", true, true),
            ("none", false, false),
            ("a", true, false),
            ("-a", false, true),
            ("a, b", true, true),
            ("all,-b", true, false),
        ];
        for (text, a, b) in table {
            let choice = MountFilter::parse(text).expect(text);
            assert_eq!((choice.takes("a"), choice.takes("b")), (a, b), "{text}");
        }
        assert!(MountFilter::parse("none,a").is_err() && MountFilter::parse("-").is_err());
    }

    #[test]
    fn a_mount_without_an_id_leaves_this_machine_only_where_it_is_named() {
        let mount = |has_id| CacheMount {
            identity: MountIdentity { id: "/root/.npm".into(), ..MountIdentity::default() },
            has_id,
            sharing: Sharing::Shared,
            target: "/root/.npm".into(),
        };
        for (choice, has_id, shares) in [
            ("", true, true),
            ("", false, false),
            ("all", false, false),
            ("-other", false, false),
            ("/root/.npm", false, true),
        ] {
            let choice = MountFilter::parse(choice).expect("valid");
            assert_eq!(choice.shares(&mount(has_id)), shares, "{choice:?} {has_id}");
        }
    }
}
