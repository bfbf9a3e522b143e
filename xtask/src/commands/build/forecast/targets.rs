//! The targets of a build as they are handed to BuildKit: the declaration, and what the plan adds to it.

use std::collections::BTreeMap;
use std::path::Path;

use crate::plan::build::BuildFacts;
use crate::plan::options::BuildOptions;
use crate::plan::{bake_args, fresh};
use crate::project::dockerfile::{Dockerfile, mounts};
use crate::project::graph::{ImagePlace, TargetFacts};
use crate::project::inputs;

/// All of them but those whose Dockerfile is elsewhere.
pub(super) fn targets(facts: &BuildFacts, options: &BuildOptions) -> Vec<TargetFacts> {
    let fresh = fresh::plan(facts, options);
    facts.names.iter().filter_map(|name| target(facts, options, &fresh, name)).collect()
}

/// A target as it is handed to BuildKit; nothing where its Dockerfile is elsewhere.
fn target(
    facts: &BuildFacts,
    options: &BuildOptions,
    fresh: &fresh::Fresh,
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
    let text = fresh
        .texts
        .get(name)
        .cloned()
        .or_else(|| Some(facts.fresh.get(name)?.source.as_ref()?.text.clone()))?;
    let platform = declared.platforms.first().unwrap_or(&facts.engine.platform).clone();
    let mut run = BTreeMap::new();
    run.extend(declared.network.clone().map(|network| ("network".to_owned(), network)));
    run.extend(declared.ulimits.as_ref().map(|limits| ("ulimits".to_owned(), limits.to_string())));
    run.extend(declared.extra_hosts.as_ref().map(|hosts| ("extra hosts".to_owned(), hosts.to_string())));
    match fresh.shm_size(name) {
        Some(bytes) => run.insert("fresh".to_owned(), bytes.to_string()),
        None => declared.shm_size.clone().and_then(|size| run.insert("shm-size".to_owned(), size)),
    };
    let main = ("", declared.context.as_deref().unwrap_or("."));
    let named = declared.contexts.iter().map(|(context, source)| (context.as_str(), source.as_str()));
    let contexts = std::iter::once(main)
        .chain(named)
        .map(|(context, source)| (context.to_ascii_lowercase(), place(facts, name, context, source)));
    Some(TargetFacts {
        name: name.to_owned(),
        file: Dockerfile::parse(text.as_bytes()),
        inputs: mounts::inputs(&declared, &platform, &facts.engine.platform),
        contexts: contexts.collect(),
        run,
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
    if source.contains("://") || !dir.is_dir() {
        return ImagePlace::Elsewhere(source.to_owned());
    }
    let declared = &facts.declaration.targets[target];
    let ignore = inputs::ignore(&facts.declaration, declared, &dir, context);
    ImagePlace::Directory(dir, ignore)
}

/// The digest of an image that is laid out in `DIR:TAG`.
fn laid_out(source: &str) -> Option<String> {
    let dir = source.rsplit_once(':').map_or(source, |(dir, _)| dir);
    let index: serde_json::Value =
        serde_json::from_slice(&std::fs::read(Path::new(dir).join("index.json")).ok()?).ok()?;
    Some(format!("an image@{}", index["manifests"][0]["digest"].as_str()?))
}
