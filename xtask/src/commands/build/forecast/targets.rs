//! The targets of a build as they are passed to BuildKit: the declaration, with the plan's
//! additions.

use std::path::Path;

use crate::files;
use crate::plan::build::Plan;
use crate::plan::build_facts::BuildFacts;
use crate::plan::options::BuildOptions;
use crate::plan::{bake_args, fresh};
use crate::project::dockerfile::{Dockerfile, mounts};
use crate::project::graph::{ImagePlace, TargetFacts};
use crate::project::inputs;
use crate::project::overrides::is_for;
use crate::project::remote::is_remote;
use crate::project::run_settings::{has_several_hosts, run_settings};

/// Returns all targets with a local Dockerfile.
pub(super) fn targets(facts: &BuildFacts, options: &BuildOptions, plan: &Plan) -> Vec<TargetFacts> {
    facts.names.iter().filter_map(|name| target(facts, options, Some(plan), name)).collect()
}

/// Returns a target as it is passed to BuildKit, or `None` if its Dockerfile is remote. Without a
/// plan, no step runs again on request.
pub(super) fn target(
    facts: &BuildFacts,
    options: &BuildOptions,
    plan: Option<&Plan>,
    name: &str,
) -> Option<TargetFacts> {
    let mut declared = facts.declaration.targets[name].clone();
    for (key, value) in bake_args::owner_sets(facts, options, name) {
        if let Some(arg) = key.strip_prefix("args.") {
            declared.args.insert(arg.to_owned(), Some(value));
        } else if let Some(context) = key.strip_prefix("contexts.") {
            declared.contexts.insert(context.to_owned(), value);
        }
    }
    let source = facts.fresh.get(name)?.source.as_ref()?;
    let file = match plan.and_then(|plan| plan.dockerfiles.get(name)) {
        Some(text) => Dockerfile::parse(text.as_bytes()),
        None => source.file.clone(),
    };
    let platform = declared.platforms.first().unwrap_or(&facts.engine.platform).clone();
    let mut run = run_settings(&declared);
    // The size of `/dev/shm` differs with each request to run again, and from the declared one.
    let size = plan.and_then(|plan| fresh::shm_size(&plan.fresh, name));
    run.extend(size.map(|bytes| ("fresh".to_owned(), bytes.to_string())));
    let main = ("", declared.context.as_deref().unwrap_or("."));
    let named = declared.contexts.iter().map(|(context, source)| (context.as_str(), source.as_str()));
    let contexts = std::iter::once(main)
        .chain(named)
        .map(|(context, source)| (context.to_ascii_lowercase(), place(facts, name, context, source)));
    let is_set = |key: &str| options.sets.iter().any(|set| is_for(set, key, name));
    let is_forced = declared.no_cache == Some(true) && is_set("no-cache");
    let stages = || is_set("no-cache-filter").then(|| declared.no_cache_filter.clone());
    let ignores_cache = if is_forced { Some(Vec::new()) } else { stages().filter(|all| !all.is_empty()) };
    let capabilities = facts.engine.capabilities();
    let mut inputs = mounts::inputs(&declared, &platform, &facts.engine.platform);
    inputs.leaves_directories_undated = !capabilities.dates_directories;
    Some(TargetFacts {
        name: name.to_owned(),
        file,
        inputs,
        contexts: contexts.collect(),
        run,
        run_is_open: has_several_hosts(&declared) && !capabilities.sorts_extra_hosts,
        compares_roots: capabilities.compares_roots,
        ignores_cache,
    })
}

fn place(facts: &BuildFacts, target: &str, context: &str, source: &str) -> ImagePlace {
    if let Some(owner) = source.strip_prefix("target:") {
        return ImagePlace::Target(owner.to_owned());
    }
    if let Some(layout) = source.strip_prefix("oci-layout://") {
        return ImagePlace::Elsewhere(laid_out(layout).unwrap_or_else(|| source.to_owned()));
    }
    let dir = facts.declaration.dir.join(source);
    if source.contains("://") || is_remote(source) || !dir.is_dir() {
        return ImagePlace::Elsewhere(source.to_owned());
    }
    let declared = &facts.declaration.targets[target];
    let ignore = inputs::ignore(&facts.declaration, declared, &dir, context);
    ImagePlace::Directory(dir, ignore)
}

/// Returns the digest of an image in the layout `DIR:TAG`.
fn laid_out(source: &str) -> Option<String> {
    let dir = source.rsplit_once(':').map_or(source, |(dir, _)| dir);
    let index: serde_json::Value =
        serde_json::from_slice(&files::read(&Path::new(dir).join("index.json")).ok()?).ok()?;
    Some(format!("an image@{}", index["manifests"][0]["digest"].as_str()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::build;
    use crate::plan::fresh::choose;
    use crate::plan::fresh::tests::with_fresh;

    /// No file of these facts is on this machine, so nothing can be read again.
    #[test]
    fn forecast_takes_the_dockerfiles_that_the_plan_was_made_of() {
        let mut facts = with_fresh();
        choose(&["make app".into()], &mut facts.fresh).expect("a step of both");
        facts.fresh.get_mut("base").expect("known").chosen.clear();
        let options = BuildOptions::default();
        let plan = build::plan(&facts, &options, "id");
        let targets = targets(&facts, &options, &plan);
        let texts = |name: &str| {
            let target = targets.iter().find(|target| target.name == name).expect("a target");
            format!("{:?}", target.file)
        };
        let source = facts.fresh["base"].source.as_ref().expect("a Dockerfile");
        assert_eq!(texts("base"), format!("{:?}", source.file));
        assert_eq!(texts("app"), format!("{:?}", Dockerfile::parse(plan.dockerfiles["app"].as_bytes())));
        assert_ne!(texts("app"), texts("base"), "the app's RUN runs again");
    }
}
