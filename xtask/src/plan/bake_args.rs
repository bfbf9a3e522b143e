//! The calls of `docker buildx bake`: the common part of the build and its saves, and the build's
//! own part.

use std::collections::BTreeMap;
use std::path::Path;

use super::arguments::Arguments;
use super::build_facts::BuildFacts;
use super::fresh::Fresh;
use super::options::BuildOptions;
use super::outputs::{output_sets, says_output};
use super::planned_target::PlannedTarget;
use super::registry_state::RegistryRead;
use super::right::Right;
use crate::base_image::Base;
use crate::engine::Version;
use crate::project::overrides::{self, is_by_variable};
use crate::project::{Target, packages};
use crate::step::Command;
use crate::text::csv;

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
            let declared = declared.cache_from.iter().map(csv::line).map(from);
            sets.extend(declared.filter(|set| !is_by_variable(set)));
            sets.extend(target.read.iter().map(|dir| local_setting("src", dir)).map(from));
            sets.extend(target.remote.iter().map(RegistryRead::cache_from).map(from));
        }
    }
    sets.extend(fresh.sets.iter().cloned());
    command.args(sets.into_iter().flat_map(|set| ["--set".to_owned(), set]))
}

/// The same call without some of the saved results that BuildKit is shown.
pub(crate) fn without_results(command: &Command, dirs: &[&Path]) -> Command {
    let sources: Vec<String> =
        dirs.iter().map(|dir| format!(".cache-from={}", local_setting("src", dir))).collect();
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
    command.buildx_program.clone_from(&facts.engine.buildx_program);
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
        let declared = declared.secret.iter().map(csv::line);
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
pub(super) fn is_builds_own(set: &str) -> bool {
    says_output(set) || ["cache-to", "tags", "no-cache", "no-cache-filter"].contains(&key_of(set))
}

/// Returns the key of a `--set`: `args` of `app.args.VERSION+=1`.
pub(super) fn key_of(set: &str) -> &str {
    let field = set.split('=').next().unwrap_or_default();
    field.split('.').nth(1).unwrap_or_default().trim_end_matches('+')
}

/// Returns `type=local` with a directory, quoted if a comma or a quote would end the field.
pub(crate) fn local_setting(field: &str, dir: &Path) -> String {
    format!("type=local,{}", csv::quoted(&format!("{field}={}", dir.display())))
}
