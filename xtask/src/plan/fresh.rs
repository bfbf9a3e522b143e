//! Steps that run again and keep their cache mounts, which BuildKit's own `--no-cache` empties. For
//! all steps of a target, its `/dev/shm` is some bytes larger: this size is part of every RUN's
//! key, of ONBUILD's too, with every driver. For some steps, a copy of the Dockerfile in the
//! build's temporary directory has an ARG before them. The store records these changes, and every
//! later build repeats them, or it would find the results from before. COPY and ADD need no change,
//! because BuildKit compares the files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::Serialize;

use super::build_facts::{BuildFacts, FreshFacts};
use super::options::BuildOptions;
use crate::error::usage;
use crate::project::dockerfile::selector::{StepSelector, with_arguments};
use crate::project::overrides::is_for;
use crate::step::Step;
use crate::store::fresh::{FreshFile, Nonce, Remembered, Spot};
use crate::store::sealed;
use crate::text::{size, suggestion};

/// The planned changes of one target.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct FreshTarget {
    pub target: String,
    /// The size of its `/dev/shm` in bytes, if all of its steps were run again.
    pub shm_size: Option<u64>,
    /// Stages and steps that were run again.
    pub spots: Vec<Spot>,
}

/// The planned changes of all targets.
#[derive(Debug, Default)]
pub(crate) struct Fresh {
    /// By target, for the plan's document.
    pub targets: Vec<FreshTarget>,
    /// Dockerfiles with added ARGs, by target.
    pub texts: BTreeMap<String, String>,
    /// The steps that write them.
    pub prepare: Vec<Step>,
    /// `--set` values.
    pub sets: Vec<String>,
    /// An additional file for bake, because inline Dockerfiles cannot be set otherwise.
    pub inline: Option<PathBuf>,
    /// Steps that update the store after a successful build.
    pub remember: Vec<Step>,
    pub warnings: Vec<String>,
}

const NOT_REMEMBERED: &str = "the steps that are run again are not recorded, because the store is \
 ignored: the next build may use the results from before";

/// Docker's default for a container.
const DEFAULT_SHM: u64 = 64 << 20;

/// Resolves the arguments of `--fresh` in each target. An argument without a match in any target is
/// an error with a suggestion.
pub(crate) fn choose(words: &[String], targets: &mut BTreeMap<String, FreshFacts>) -> Result<()> {
    for word in words {
        let (mut found, mut others) = (false, Vec::new());
        for facts in targets.values_mut() {
            let Some(source) = &facts.source else { continue };
            match source.file.word(word, &facts.inputs) {
                StepSelector::Stage(stage) => facts.chosen.push((stage, None)),
                StepSelector::Run(stage, text) => facts.chosen.push((stage, Some(text))),
                other => {
                    others.push(other);
                    continue;
                }
            }
            found = true;
        }
        if !found {
            return Err(refuse(word, &others));
        }
    }
    Ok(())
}

fn refuse(word: &str, others: &[StepSelector]) -> anyhow::Error {
    let several: Vec<&str> = others
        .iter()
        .filter_map(|other| if let StepSelector::Several(several) = other { Some(several) } else { None })
        .flatten()
        .map(String::as_str)
        .collect();
    if !several.is_empty() {
        return usage(format!("`--fresh {word}` matches several steps\nname one of: {}", several.join("; ")));
    }
    if let Some(text) = others
        .iter()
        .find_map(|other| if let StepSelector::NoCommand(text) = other { Some(text) } else { None })
    {
        return usage(format!(
            "`{text}` runs no command, so `--fresh` has nothing to run again: BuildKit compares files by \
             their content\nname a stage or a RUN"
        ));
    }
    let mut known: Vec<&str> = Vec::new();
    for other in others {
        if let StepSelector::Unknown(names) = other {
            known.extend(names.iter().map(String::as_str));
        }
    }
    known.dedup();
    if known.is_empty() {
        return usage(format!(
            "`--fresh {word}` needs a Dockerfile on this machine\nuse --no-cache for all steps"
        ));
    }
    usage(format!(
        "no stage or RUN of the targets is `{word}`{}\navailable: {}",
        suggestion(word, known.iter().copied()),
        known.join("; ")
    ))
}

/// Plans the changes.
pub(crate) fn plan(facts: &BuildFacts, options: &BuildOptions) -> Fresh {
    let mut fresh = Fresh::default();
    let mut inline = serde_json::Map::new();
    let mut files: BTreeMap<&Path, FreshFile> = BTreeMap::new();
    for (name, known) in &facts.fresh {
        fresh.warnings.extend(known.warning.clone());
        let mut remembered = known.file.platforms.get(&known.platform).cloned().unwrap_or_default();
        let declared = fresh.declared(facts, options, name);
        let is_asked = ask(&mut remembered, known, options.no_cache || declared.all, &facts.nonce);
        if declared.ask(&mut remembered, known, &facts.nonce) || is_asked {
            fresh.warnings.extend(known.path.is_none().then(|| NOT_REMEMBERED.to_owned()));
            if let Some(path) = &known.path {
                let file = files.entry(path).or_insert_with(|| known.file.clone());
                file.platforms.insert(known.platform.clone(), remembered.clone());
            }
        }
        let shm_size = remembered.all.as_ref().map(|nonce| {
            let declared = facts.declaration.targets[name].shm_size.as_deref().and_then(size::parse_memory);
            declared.unwrap_or(DEFAULT_SHM) + u64::from(nonce.value)
        });
        fresh.sets.extend(shm_size.map(|bytes| format!("{name}.shm-size={bytes}")));
        let insertions = insertions(known, &remembered);
        if let Some(source) = known.source.as_ref().filter(|_| !insertions.is_empty()) {
            let text = with_arguments(&source.text, &insertions);
            fresh.texts.insert(name.clone(), text.clone());
            match &source.path {
                Some(path) => fresh.copy(&facts.scratch, name, path, &text, source.ignore.as_deref()),
                None => {
                    // bake interpolates `${` and `%{` in JSON.
                    let text = text.replace("${", "$${").replace("%{", "%%{");
                    inline.insert(name.clone(), serde_json::json!({ "dockerfile-inline": text }));
                }
            }
        }
        if shm_size.is_some() || !insertions.is_empty() {
            fresh.targets.push(FreshTarget { target: name.clone(), shm_size, spots: remembered.spots });
        }
    }
    if !inline.is_empty() {
        let path = facts.scratch.join("fresh/inline.json");
        let text = serde_json::json!({ "target": inline }).to_string();
        fresh.prepare.push(Step::write_private(path.clone(), text));
        fresh.inline = Some(path);
    }
    fresh.remember = files.into_iter().map(|(path, file)| remember(path, &file)).collect();
    fresh
}

/// Adds the steps of this build. Returns whether there are any.
fn ask(remembered: &mut Remembered, known: &FreshFacts, no_cache: bool, nonce: &Nonce) -> bool {
    if no_cache {
        remembered.set_all(nonce.clone());
        return true;
    }
    // Spots that the Dockerfile no longer has are dropped. Until then they are harmless.
    if let Some(source) = known.source.as_ref().filter(|_| !known.chosen.is_empty()) {
        let is_there = |spot: &Spot| {
            !source.file.insertions(&spot.stage, spot.instruction.as_deref(), &known.inputs).is_empty()
        };
        remembered.spots.retain(is_there);
    }
    for (stage, instruction) in &known.chosen {
        let (stage, instruction) = (stage.clone(), instruction.clone());
        remembered.set_spot(Spot { stage, instruction, nonce: nonce.clone() });
    }
    !known.chosen.is_empty()
}

fn insertions(known: &FreshFacts, remembered: &Remembered) -> Vec<(usize, bool, u32)> {
    let Some(source) = known.source.as_ref().filter(|_| !remembered.spots.is_empty()) else {
        return Vec::new();
    };
    let lines = remembered.spots.iter().flat_map(|spot| {
        let found = source.file.insertions(&spot.stage, spot.instruction.as_deref(), &known.inputs);
        found.into_iter().map(|(line, is_onbuild)| (line, is_onbuild, spot.nonce.value))
    });
    lines.collect()
}

fn remember(path: &Path, file: &FreshFile) -> Step {
    let json = sealed::to_json(file).unwrap_or_default();
    Step::write_private(path, String::from_utf8_lossy(&json) + "\n")
}

/// Returns the size of a target's `/dev/shm` if all of its steps were run again.
pub(crate) fn shm_size(targets: &[FreshTarget], target: &str) -> Option<u64> {
    targets.iter().find(|known| known.target == target)?.shm_size
}

/// The declared equivalents of `--no-cache` and `--fresh`.
#[derive(Default)]
struct Declared<'a> {
    all: bool,
    stages: &'a [String],
}

/// The name of no stage: bake takes an empty list of `no-cache-filter` for all stages.
const NO_STAGE: &str = "durango-no-stage";

impl Declared<'_> {
    /// Adds the stages that are to run again; whether there are any.
    fn ask(&self, remembered: &mut Remembered, known: &FreshFacts, nonce: &Nonce) -> bool {
        let stages = self.stages.iter().map(|stage| stage.to_ascii_lowercase());
        let has_commands = |stage: &String| {
            let source = known.source.as_ref();
            source.is_some_and(|source| !source.file.insertions(stage, None, &known.inputs).is_empty())
        };
        let stages: Vec<String> = stages.filter(has_commands).collect();
        for stage in &stages {
            let spot = Spot { stage: stage.clone(), instruction: None, nonce: nonce.clone() };
            remembered.set_spot(spot);
        }
        !stages.is_empty()
    }
}

impl Fresh {
    /// Takes over `no-cache` and `no-cache-filter` of a declaration: BuildKit's own would empty
    /// cache mounts, and run in the save again. With `--set` they are bake's.
    fn declared<'a>(&mut self, facts: &'a BuildFacts, options: &BuildOptions, name: &str) -> Declared<'a> {
        let Some(target) = facts.declaration.targets.get(name) else { return Declared::default() };
        let is_set = |key: &str| options.sets.iter().any(|set| is_for(set, key, name));
        let has_source = facts.fresh.get(name).is_some_and(|known| known.source.is_some());
        let all = target.no_cache == Some(true) && !is_set("no-cache");
        let has_stages = has_source && !target.no_cache_filter.is_empty() && !is_set("no-cache-filter");
        self.sets.extend(all.then(|| format!("{name}.no-cache=false")));
        self.sets.extend(has_stages.then(|| format!("{name}.no-cache-filter={NO_STAGE}")));
        Declared { all, stages: if has_stages { &target.no_cache_filter } else { &[] } }
    }

    /// The copy keeps the file's name, which errors show.
    fn copy(&mut self, scratch: &Path, target: &str, path: &Path, text: &str, ignore: Option<&str>) {
        let Some(name) = path.file_name() else { return };
        let copy = scratch.join("fresh").join(target).join(name);
        self.sets.push(format!("{target}.dockerfile={}", copy.display()));
        if let Some(ignore) = ignore {
            let ignore_file = copy.with_file_name(format!("{}.dockerignore", name.to_string_lossy()));
            self.prepare.push(Step::write_private(ignore_file, ignore));
        }
        self.prepare.push(Step::write_private(copy, text));
    }
}

#[cfg(test)]
#[path = "fresh_tests.rs"]
pub(crate) mod tests;
