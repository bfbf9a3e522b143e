//! The calls of `docker buildx bake`: the common part of the build and its saves, and the build's
//! own part.

use std::collections::BTreeMap;
use std::path::Path;

use super::allow::Right;
use super::arguments::Arguments;
use super::build::{BuildFacts, PlannedTarget};
use super::fresh::Fresh;
use super::options::BuildOptions;
use super::registry_state::RegistryRead;
use crate::base_image::Base;
use crate::engine::{Driver, Version};
use crate::project::overrides::{self, is_by_variable};
use crate::project::{Target, packages};
use crate::step::Command;

/// Returns the build's own call.
pub(crate) fn bake(facts: &BuildFacts, options: &BuildOptions, common: &Command, metadata: &Path) -> Command {
    let mut bake = common.clone().args(["--metadata-file", &metadata.display().to_string()]);
    bake.inherits_stdout = options.writes_stdout();
    bake.args(output_sets(facts, options)).args(facts.names.iter().cloned())
}

/// Returns the common part of the build and each save: files, builder, contexts, arguments, caches
/// to read. With the same values a save finds all results of the build.
pub(crate) fn common(
    facts: &BuildFacts,
    options: &BuildOptions,
    targets: &[PlannedTarget],
    fresh: &Fresh,
) -> Command {
    let inline = fresh.inline.iter().flat_map(|file| ["-f".to_owned(), file.display().to_string()]);
    let packages =
        super::packages::file(facts).map(|(path, _)| ["-f".to_owned(), path.display().to_string()]);
    let command = bare(facts, options).args(inline).args(packages.into_iter().flatten());
    let is_shared = |set: &&String| !is_builds_own(set) && !is_by_variable(set);
    let mut sets: Vec<String> = options.sets.iter().filter(is_shared).cloned().collect();
    for target in targets {
        let declared = &facts.declaration.targets[&target.name];
        sets.extend(target_sets(facts, options, &target.name, declared));
        if !target.read.is_empty() || !target.remote.is_empty() {
            let from = |source: String| format!("{}.cache-from={source}", target.name);
            // A cache whose declaration contains a secret is only read if there is no other:
            // `--set` would show it to other users.
            let declared = declared.cache_from.iter().map(to_csv).map(from);
            sets.extend(declared.filter(|set| !is_by_variable(set)));
            sets.extend(target.read.iter().map(|dir| local_cache("src", dir)).map(from));
            sets.extend(target.remote.iter().map(RegistryRead::cache_from).map(from));
        }
    }
    sets.extend(fresh.sets.iter().cloned());
    command.args(sets.into_iter().flat_map(|set| ["--set".to_owned(), set]))
}

/// The same call without some of the saved results that BuildKit is shown.
pub(crate) fn without_results(command: &Command, dirs: &[&Path]) -> Command {
    let sources: Vec<String> =
        dirs.iter().map(|dir| format!(".cache-from={}", local_cache("src", dir))).collect();
    let is_left_out = |arg: &String| sources.iter().any(|source| arg.ends_with(source.as_str()));
    let mut argv = Vec::with_capacity(command.argv.len());
    for arg in &command.argv {
        if is_left_out(arg) {
            // `--set` goes with its value.
            argv.pop();
        } else {
            argv.push(arg.clone());
        }
    }
    Command { argv, ..command.clone() }
}

/// Returns a call of bake with the declaration's files and the settings that are passed through
/// variables.
pub(crate) fn bare(facts: &BuildFacts, options: &BuildOptions) -> Command {
    let mut command = Command::new(["docker", "buildx", "--builder", &facts.engine.builder, "bake"]);
    for file in &facts.declaration.files {
        command = command.args(["-f", &file.display().to_string()]);
    }
    command = command.args(["--progress", "rawjson"]).args(allowed(facts)).cwd(&facts.declaration.dir);
    command.env = environment(facts);
    command.secret_env = facts.secrets.contents();
    Arguments::of(&facts.declaration, &options.sets, &facts.scratch).apply(command)
}

/// Returns the settings of one target's build in addition to the declaration, as (KEY, VALUE).
pub(crate) fn owner_sets(facts: &BuildFacts, options: &BuildOptions, name: &str) -> Vec<(String, String)> {
    let by_variable = options.sets.iter().filter(|set| is_by_variable(set));
    let mut all: Vec<_> = by_variable.filter_map(|set| for_owner(set, name)).collect();
    all.extend(transfer_sets(facts, options, name));
    all
}

/// Returns them without those that [`bare`] passes through variables, for a call whose target
/// inherits from this one.
pub(crate) fn transfer_sets(facts: &BuildFacts, options: &BuildOptions, name: &str) -> Vec<(String, String)> {
    let mut own = target_sets(facts, options, name, &facts.declaration.targets[name]);
    own.extend(facts.packages.get(name).map(|versions| format!("{name}.args.{}={versions}", packages::ARG)));
    let given = options.sets.iter().filter(|set| !is_by_variable(set));
    given.chain(&own).filter_map(|set| for_owner(set, name)).collect()
}

fn for_owner(set: &str, name: &str) -> Option<(String, String)> {
    let (field, value) = set.split_once('=')?;
    let (pattern, key) = field.split_once('.')?;
    let is_for = overrides::is_match(pattern, name) && !is_builds_own(set);
    is_for.then(|| (key.trim_end_matches('+').to_owned(), value.to_owned()))
}

/// Returns the replacement for an image that the builder doesn't see.
pub(crate) fn tools_context(facts: &BuildFacts, base: &Base) -> Option<String> {
    (base.local && !facts.engine.capabilities().sees_local_images).then(|| oci_layout(facts, base))
}

fn oci_layout(facts: &BuildFacts, base: &Base) -> String {
    let dir = base.kept.as_ref().map_or_else(|| facts.scratch.join("base"), |kept| kept.dir.clone());
    let tag = base.image.rsplit_once(':').map_or("latest", |(_, tag)| tag);
    format!("oci-layout://{}:{tag}", dir.display())
}

/// Turns BuildKit on, and attestations off unless requested: with the default provenance each
/// cached build has a different digest (measured). From 0.20 on, bake asks about paths outside its
/// directory. Our own declaration has such paths and needs no permission.
fn environment(facts: &BuildFacts) -> BTreeMap<String, String> {
    let mut fixed = vec![("DOCKER_BUILDKIT", "1"), ("BUILDX_NO_DEFAULT_ATTESTATIONS", "1")];
    if facts.granted.is_none() {
        fixed.push(("BUILDX_BAKE_ENTITLEMENTS_FS", "0"));
    }
    let mut env = facts.secrets.paths();
    env.extend(fixed.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())));
    env
}

/// The oldest buildx whose bake supports rights to paths.
const KNOWS_ALLOW: Version = Version(0, 18);

/// Returns the `--allow` options for a foreign declaration: the user's rights, and the build's own
/// files.
fn allowed(facts: &BuildFacts) -> Vec<String> {
    let Some(granted) = facts.granted.as_ref().filter(|_| facts.engine.buildx >= KNOWS_ALLOW) else {
        return Vec::new();
    };
    let bases = [&facts.base, &facts.tools].into_iter().flatten().filter_map(|base| base.kept.as_ref());
    let scratch = [Right::Read(facts.scratch.clone()), Right::Write(facts.scratch.clone())];
    let own = bases.map(|kept| Right::Read(kept.dir.clone())).chain(scratch);
    let mut rights: Vec<String> =
        granted.iter().cloned().chain(own).map(|right| right.to_bake_option()).collect();
    rights.sort();
    rights.dedup();
    rights.into_iter().flat_map(|right| ["--allow".to_owned(), right]).collect()
}

/// Returns the settings of one target in addition to the declaration.
fn target_sets(facts: &BuildFacts, options: &BuildOptions, name: &str, declared: &Target) -> Vec<String> {
    let links =
        facts.declaration.links(declared).filter(|(_, owner)| facts.names.iter().any(|other| other == owner));
    let mut sets: Vec<String> =
        links.map(|(context, owner)| format!("{name}.contexts.{context}=target:{owner}")).collect();
    sets.extend(base_sets(facts, name));
    if let Some(app) = options.app.as_ref().filter(|_| declared.contexts.contains_key("app")) {
        sets.push(format!("{name}.contexts.app={}", app.display()));
    }
    if options.locked && declared.args.contains_key("LOCKED") {
        sets.push(format!("{name}.args.LOCKED=1"));
    }
    if !options.secrets.is_empty() {
        let declared = declared.secret.iter().map(to_csv);
        sets.extend(
            declared.chain(options.secrets.iter().cloned()).map(|spec| format!("{name}.secrets={spec}")),
        );
    }
    sets
}

/// Returns the settings that replace the declared base image.
pub(crate) fn base_sets(facts: &BuildFacts, name: &str) -> Vec<String> {
    let declared = &facts.declaration.targets[name];
    let mut sets = Vec::new();
    if let Some(base) = facts.base.as_ref().filter(|base| declared.is_based_on(&base.pinned)) {
        sets.push(format!("{name}.args.BASE_IMAGE={}", base.image));
        if base.local && !facts.engine.capabilities().sees_local_images {
            sets.push(format!("{name}.contexts.{}={}", base.image, oci_layout(facts, base)));
        }
    }
    sets
}

/// Returns whether a `--set` is for the build only: it sets an output or ignores the cache. A save
/// has its own output, and reuses all results of the build.
fn is_builds_own(set: &str) -> bool {
    says_output(set) || ["cache-to", "tags", "no-cache", "no-cache-filter"].contains(&key_of(set))
}

/// Returns whether a `--set` sets an output.
fn says_output(set: &str) -> bool {
    ["output", "push", "load"].contains(&key_of(set))
}

/// Returns the key of a `--set`: `args` of `app.args.VERSION+=1`.
fn key_of(set: &str) -> &str {
    let field = set.split('=').next().unwrap_or_default();
    field.split('.').nth(1).unwrap_or_default().trim_end_matches('+')
}

/// Returns tags and outputs, which a save leaves out.
fn output_sets(facts: &BuildFacts, options: &BuildOptions) -> Vec<String> {
    let main = &facts.names[0];
    let tags = options.tags.iter().map(|tag| format!("{main}.tags={tag}"));
    let is_unnamed = |name: &&String| options.chosen_tag(name, *name == main).is_none();
    let compose_names = facts
        .names
        .iter()
        .filter(is_unnamed)
        .filter_map(|name| Some(format!("{name}.tags={}", facts.declaration.compose_names.get(name)?)));
    let outputs = options.outputs.iter().map(|output| format!("{main}.output={output}"));
    // bake's own --push would also push the targets that the requested ones are based on, under any
    // name that they have.
    let pushed = facts.names.iter().take(facts.requested).filter(|_| options.push);
    let types = if facts.engine.capabilities().uses_oci_media_types { ",oci-mediatypes=true" } else { "" };
    let pushed = pushed.map(|name| format!("{name}.output=type=image,push=true{types}"));
    let kept = unplaced(facts, options)
        .filter_map(|name| Some(format!("{name}.output={}", default_output(facts, name)?)));
    let given = options.sets.iter().filter(|set| is_builds_own(set) && !is_by_variable(set)).cloned();
    let all = given.chain(tags).chain(compose_names).chain(outputs).chain(pushed).chain(kept);
    all.flat_map(|set| ["--set".to_owned(), set]).collect()
}

/// Returns targets without an output.
fn unplaced<'a>(facts: &'a BuildFacts, options: &'a BuildOptions) -> impl Iterator<Item = &'a String> {
    let placed_by_set = options.sets.iter().any(|set| says_output(set));
    let placed = if options.push { facts.requested } else { usize::from(!options.outputs.is_empty()) };
    // Other drivers would only load the base targets of the requested images, next to an image that
    // goes to another output.
    let count =
        if placed > 0 && facts.engine.driver != Driver::Docker { facts.requested } else { usize::MAX };
    let declared = |name: &&String| !facts.declaration.targets[*name].output.is_empty();
    facts.names.iter().take(count).skip(placed).filter(move |name| !placed_by_set && !declared(name))
}

/// Returns the default output: the engine, where users expect the image. `None` leaves it to
/// buildx.
fn default_output(facts: &BuildFacts, name: &str) -> Option<&'static str> {
    if facts.engine.driver == Driver::Docker {
        // Docker's own media types have none for zstd, the compression of layers in a store.
        // `docker commit` refuses such images.
        return facts.engine.capabilities().uses_oci_media_types.then_some("type=image,oci-mediatypes=true");
    }
    can_load(facts, &facts.declaration.targets[name]).then_some("type=docker")
}

/// Returns whether the engine can load a result of another driver. Its classic store has no
/// manifest lists, which several platforms and attestations need, and buildx then refuses the whole
/// build.
fn can_load(facts: &BuildFacts, target: &Target) -> bool {
    !facts.engine.capabilities().classic_image_store || !target.makes_manifest_list()
}

/// Warns about results that stay in the builder.
pub(crate) fn unloaded(facts: &BuildFacts, options: &BuildOptions) -> Option<String> {
    let is_elsewhere = facts.engine.driver != Driver::Docker;
    let names = unplaced(facts, options)
        .filter(|name| is_elsewhere && !can_load(facts, &facts.declaration.targets[*name]))
        .map(|name| format!("`{name}`"));
    let names = names.collect::<Vec<_>>().join(", ");
    (!names.is_empty()).then(|| {
        format!(
            "the result of {names} stays in the builder `{}`: the engine's classic image store does not \
             support several platforms or attestations; push it with --push, write it with --output, or \
             run `cargo xtask setup` to turn on the containerd image store",
            facts.engine.builder
        )
    })
}

/// Returns `type=local` with a directory, quoted if a comma or a quote would end the field.
pub(crate) fn local_cache(field: &str, dir: &Path) -> String {
    let value = format!("{field}={}", dir.display());
    let quoted = value.contains([',', '"']);
    let value = if quoted { format!("\"{}\"", value.replace('"', "\"\"")) } else { value };
    format!("type=local,{value}")
}

/// Returns a setting for `--set`. Newer versions of bake print it as an object.
pub(crate) fn to_csv(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Object(fields) => {
            let text =
                |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            fields.iter().map(|(name, value)| format!("{name}={}", text(value))).collect::<Vec<_>>().join(",")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::build::plan;
    use crate::plan::tests::facts;

    #[test]
    fn an_image_that_stays_in_the_engine_has_media_types_that_know_zstd() {
        let kept = |edit: &dyn Fn(&mut BuildFacts, &mut BuildOptions)| {
            let (mut facts, mut options) = (facts(), BuildOptions::default());
            edit(&mut facts, &mut options);
            let line = plan(&facts, &options, "id").bake.to_shell();
            ["app", "base"]
                .map(|name| line.contains(&format!("'{name}.output=type=image,oci-mediatypes=true'")))
        };
        assert_eq!(kept(&|_, _| {}), [true, true]);
        // An explicit output is the only one.
        assert_eq!(kept(&|_, options| options.outputs.push("type=local,dest=x".into())), [false, true]);
        assert_eq!(kept(&|_, options| options.sets.push("*.output=type=cacheonly".into())), [false, false]);
        let declare = |facts: &mut BuildFacts| {
            let base = facts.declaration.targets.get_mut("base").expect("a target");
            base.output.push("type=cacheonly".into());
        };
        assert_eq!(kept(&|facts, _| declare(facts)), [true, false]);
        // Another driver loads into the engine, which asks it for these types. The classic store
        // has its own.
        assert_eq!(kept(&|facts, _| facts.engine.driver = Driver::Remote), [false, false]);
        assert_eq!(kept(&|facts, _| facts.engine.containerd_store = false), [false, false]);
    }

    #[test]
    fn a_result_of_another_driver_is_loaded_where_the_engine_can_hold_it() {
        let loaded = |edit: &dyn Fn(&mut BuildFacts, &mut BuildOptions)| {
            let (mut facts, mut options) = (facts(), BuildOptions::default());
            facts.engine.driver = Driver::DockerContainer;
            facts.engine.containerd_store = false;
            edit(&mut facts, &mut options);
            let plan = plan(&facts, &options, "id");
            let line = plan.bake.to_shell();
            assert!(!line.contains("--load"), "{line}");
            let warnings = plan.warnings.into_iter().filter(|text| text.contains("stays in the builder"));
            let loads = |name| line.contains(&format!("{name}.output=type=docker"));
            (["app", "base"].map(loads), warnings.collect::<Vec<_>>())
        };
        let several = |facts: &mut BuildFacts| {
            let app = facts.declaration.targets.get_mut("app").expect("a target");
            app.platforms = vec!["linux/amd64".into(), "linux/arm64".into()];
        };
        assert_eq!(loaded(&|_, _| {}), ([true, true], vec![]));
        let (loads, warnings) = loaded(&|facts, _| several(facts));
        assert_eq!((loads, warnings.len()), ([false, true], 1));
        assert!(warnings[0].contains("`app`") && !warnings[0].contains("`base`"), "{warnings:?}");
        // The containerd store supports manifest lists, and a result with another output needs no
        // warning.
        let containerd = loaded(&|facts, _| {
            several(facts);
            facts.engine.containerd_store = true;
        });
        assert_eq!(containerd, ([true, true], vec![]));
        let pushed = loaded(&|facts, options| {
            several(facts);
            options.push = true;
        });
        assert_eq!(pushed, ([false, false], vec![]));
        // An output of one target has no effect on the others.
        let declared = loaded(&|facts, _| {
            let base = facts.declaration.targets.get_mut("base").expect("a target");
            base.output.push("type=cacheonly".into());
        });
        assert_eq!(declared, ([true, false], vec![]));
    }
}
