//! Decides for which builds bake need not be called if nothing has changed.
//!
//! Only settings that are listed as harmless allow that. A new field of bake or of the plan costs
//! time, never a stale image.

use sha2::{Digest, Sha256};

use super::build::Plan;
use super::build_facts::BuildFacts;
use super::options::BuildOptions;
use crate::engine::Driver;
use crate::host::Host;
use crate::project::overrides::setting;
use crate::project::remembered::OWN_VARIABLES;

/// Fields of a target, as bake prints them, that are inputs of an image or its names.
const FIELDS: &[&str] = &[
    "args",
    "context",
    "contexts",
    "dockerfile",
    "dockerfile-inline",
    "entitlements",
    "extra-hosts",
    "labels",
    "network",
    "platforms",
    "secret",
    "shm-size",
    "tags",
    "target",
    "ulimits",
];
/// Keys of `--set` for such fields.
const SETS: &[&str] = &[
    "args",
    "context",
    "contexts",
    "dockerfile",
    "entitlements",
    "labels",
    "network",
    "platform",
    "secrets",
    "shm-size",
    "tags",
    "target",
    "ulimits",
];
/// The prefix of our own variables.
const OUR_VARIABLES: &str = "DURANGO_";
/// Prefixes of those that make it read more files or the state of a Git repository.
const UNKNOWN_VARIABLES: &[&str] =
    &["BUILDX_GIT_", "BUILDX_BAKE_GIT_", "COMPOSE_ENV_FILES", "EXPERIMENTAL_BUILDKIT_"];

/// Returns why these options need a call of bake, if they do.
pub(crate) fn asked_for(options: &BuildOptions) -> Option<&'static str> {
    let set = |set: &String| setting(set).is_none_or(|setting| !SETS.contains(&setting.key));
    [
        (options.check, "`--check` asks for it"),
        (options.no_cache, "`--no-cache` runs every step"),
        (!options.fresh.is_empty(), "`--fresh` runs steps"),
        (options.push, "the images are pushed"),
        (!options.outputs.is_empty(), "`--output` writes the result elsewhere"),
        (!options.caches.registries.is_empty(), "a registry serves as a cache"),
        (!options.caches.local, "the store is not used"),
        (options.unsaved.is_some(), "the store cannot be written"),
        (options.sets.iter().any(set), "a `--set` may change more than the inputs of the image"),
    ]
    .into_iter()
    .find_map(|(is_so, why)| is_so.then_some(why))
}

/// Returns why a build needs a call of bake whatever is in its files, if it does.
pub(crate) fn excluded(facts: &BuildFacts, options: &BuildOptions, plan: &Plan) -> Option<String> {
    if let Some(why) = asked_for(options) {
        return Some(why.to_owned());
    }
    if facts.engine.driver != Driver::Docker {
        return Some("only a builder inside the engine is known to be the one that holds the images".into());
    }
    if !facts.declaration.whole.has_all_files {
        return Some("the declaration may read other files".into());
    }
    if facts.base.as_ref().is_some_and(|base| !base.local || !base.steps.is_empty()) {
        return Some("the base image is not in the engine".into());
    }
    if !plan.damaged.is_empty() {
        return Some("the store is damaged".into());
    }
    facts.names.iter().find_map(|name| excluded_target(facts, name))
}

fn excluded_target(facts: &BuildFacts, name: &str) -> Option<String> {
    let Some(fields) = facts.declaration.whole.fields.get(name) else {
        return Some(format!("bake did not print `{name}`"));
    };
    if let Some(field) = fields.iter().find(|field| !FIELDS.contains(&field.as_str())) {
        return Some(format!("`{name}` has the field `{field}`"));
    }
    let target = &facts.declaration.targets[name];
    if target.platforms.iter().any(|platform| *platform != facts.engine.platform) {
        return Some(format!("`{name}` is for another platform"));
    }
    if target.args.contains_key("BUILDKIT_SYNTAX") {
        return Some(format!("`{name}` has a frontend of its own"));
    }
    None
}

/// Returns whether the store lacks a result of the plan: the next build repeats a save that failed
/// or whose result is gone.
pub(crate) fn lacks_a_result(plan: &Plan, made: impl Fn(&str) -> (Option<String>, Vec<String>)) -> bool {
    let is_held = |name: &String| {
        let (digest, steps) = made(name);
        plan.saves.iter().any(|save| save.target == *name && save.is_held(digest.as_ref(), &steps))
    };
    !plan.targets.iter().all(|target| is_held(&target.name))
}

/// Returns why the environment needs a call of bake, if it does.
pub(crate) fn excluded_variable(host: &Host) -> Option<String> {
    let name = host.env.keys().find(|name| UNKNOWN_VARIABLES.iter().any(|start| name.starts_with(start)))?;
    Some(format!("`{name}` is set"))
}

/// Returns a digest of a build without its files: the arguments of bake, except for caches to read,
/// and the environment that buildx reads on its own. Variables of a declaration are part of its
/// output of `bake --print`.
pub(crate) fn identity(host: &Host, facts: &BuildFacts, options: &BuildOptions, plan: &Plan) -> String {
    let options = BuildOptions { check: false, provision: false, ..options.clone() };
    let starts = || OWN_VARIABLES.into_iter().chain([OUR_VARIABLES]);
    let variables: Vec<_> =
        host.env.iter().filter(|(name, _)| starts().any(|start| name.starts_with(start))).collect();
    let all = format!(
        "{options:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{variables:?}",
        plan.without_caches, plan.prepare, facts.names, facts.declaration.whole.digest, facts.engine,
    );
    // Each build has a directory of its own.
    let scratch = plan.scratch.display().to_string();
    format!("{:x}", Sha256::digest(all.replace(&scratch, "SCRATCH")))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::plan::build::plan;
    use crate::plan::tests::facts;

    type Edit<'a> = &'a dyn Fn(&mut BuildFacts, &mut BuildOptions);

    fn why_not(edit: Edit<'_>) -> Option<String> {
        let (mut facts, mut options) = (facts(), BuildOptions::default());
        options.caches.local = true;
        let whole = &mut facts.declaration.whole;
        whole.has_all_files = true;
        whole.fields = facts.names.iter().map(|name| (name.clone(), BTreeSet::new())).collect();
        edit(&mut facts, &mut options);
        let plan = plan(&facts, &options, "id");
        excluded(&facts, &options, &plan)
    }

    fn has_field(facts: &mut BuildFacts, field: &str) {
        facts.declaration.whole.fields.entry("app".into()).or_default().insert(field.into());
    }

    #[test]
    fn whatever_is_not_known_to_be_harmless_asks_buildkit() {
        assert_eq!(why_not(&|_, _| {}), None);
        let edits: &[(&str, Edit<'_>)] = &[
            ("--check", &|_, options| options.check = true),
            ("--no-cache", &|_, options| options.no_cache = true),
            ("--fresh", &|_, options| options.fresh.push("app".into())),
            ("--push", &|_, options| options.push = true),
            ("--output", &|_, options| options.outputs.push("type=tar,dest=x".into())),
            ("a registry", &|_, options| {
                options.caches = crate::plan::caches::Caches::parse(&["registry=r.example/c".into()], None)
                    .expect("a cache");
            }),
            ("no store", &|_, options| options.caches.local = false),
            ("a store that is read alone", &|_, options| options.unsaved = Some("full".into())),
            ("--set of no-cache", &|_, options| options.sets.push("*.no-cache=true".into())),
            ("--set of pull", &|_, options| options.sets.push("app.pull=true".into())),
            ("--set of an output", &|_, options| options.sets.push("app.output=type=local,dest=x".into())),
            ("--set of a cache", &|_, options| options.sets.push("app.cache-from+=type=gha".into())),
            ("--set of an attestation", &|_, options| options.sets.push("app.attest=type=sbom".into())),
            ("no-cache", &|facts, _| has_field(facts, "no-cache")),
            ("pull", &|facts, _| has_field(facts, "pull")),
            ("an output", &|facts, _| has_field(facts, "output")),
            ("an attestation", &|facts, _| has_field(facts, "attest")),
            ("SSH", &|facts, _| has_field(facts, "ssh")),
            ("a cache", &|facts, _| has_field(facts, "cache-from")),
            ("a field that bake gets some day", &|facts, _| has_field(facts, "wonder")),
            ("a target that bake did not print", &|facts, _| facts.declaration.whole.fields.clear()),
            ("other files", &|facts, _| facts.declaration.whole.has_all_files = false),
            ("another driver", &|facts, _| facts.engine.driver = Driver::DockerContainer),
            ("a base image elsewhere", &|facts, _| {
                facts.base.as_mut().expect("a base image").local = false;
            }),
            ("another platform", &|facts, _| {
                facts.declaration.targets.get_mut("app").expect("known").platforms =
                    vec!["linux/s390x".into()];
            }),
            ("a frontend", &|facts, _| {
                let args = &mut facts.declaration.targets.get_mut("app").expect("known").args;
                args.insert("BUILDKIT_SYNTAX".into(), Some("x".into()));
            }),
        ];
        for (what, edit) in edits {
            assert!(why_not(edit).is_some(), "{what}");
        }
        for field in ["args", "labels", "shm-size", "tags"] {
            assert_eq!(why_not(&|facts, _| has_field(facts, field)), None, "{field}");
        }
        assert_eq!(why_not(&|_, options| options.sets.push("app.args.A=1".into())), None);
    }

    #[test]
    fn the_identity_has_all_but_the_caches_and_the_build_s_own_directory() {
        let identity = |edit: Edit<'_>, variables: &[(&str, &str)], build: &str| {
            let (mut facts, mut options) = (facts(), BuildOptions::default());
            edit(&mut facts, &mut options);
            facts.scratch = format!("/store/tmp/{build}").into();
            let mut host = Host::read();
            host.env = variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
            let plan = plan(&facts, &options, build);
            super::identity(&host, &facts, &options, &plan)
        };
        let nothing: Edit<'_> = &|_, _| {};
        let before = identity(nothing, &[], "one");
        assert_eq!(before, identity(nothing, &[("TERM", "dumb"), ("CARGO", "/c"), ("PATH", "/p")], "two"));
        assert_eq!(before, identity(&|facts, _| facts.stored.clear(), &[], "one"), "the store");
        assert_eq!(before, identity(&|_, options| options.check = true, &[], "one"));
        let edits: [(&str, Edit<'_>); 6] = [
            ("an argument", &|_, options| options.sets.push("*.args.A=1".into())),
            ("the base image", &|facts, _| {
                facts.base.as_mut().expect("a base image").image = "other:1".into();
            }),
            ("the declaration", &|facts, _| facts.declaration.whole.digest = "other".into()),
            ("the engine", &|facts, _| facts.engine.server = "99".into()),
            ("packages", &|facts, _| drop(facts.packages.insert("app".into(), "php=9".into()))),
            ("a secret", &|_, options| options.secrets.push("id=x,src=y".into())),
        ];
        for (what, edit) in edits {
            assert_ne!(before, identity(edit, &[], "one"), "{what}");
        }
        assert_ne!(before, identity(nothing, &[("SOURCE_DATE_EPOCH", "0")], "one"));
        let mut host = Host::read();
        host.env = [("BUILDX_GIT_LABELS".to_owned(), "1".to_owned())].into();
        assert!(excluded_variable(&host).is_some());
    }
}
