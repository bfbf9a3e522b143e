//! The steps of a build as a graph. Each step has the input of BuildKit's cache key: current files,
//! arguments, instructions, mounts, images, and the steps that it is based on or reads from. Two
//! digests summarize this input. Steps with equal `key`s have one result in BuildKit. `soft`
//! excludes the content of other stages, which BuildKit compares: steps with equal `soft` have one
//! result if that content is the same.

mod builder;
mod images;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::context::{Digests, Input};
use super::dockerfile::{Dockerfile, Inputs, Instruction};
use super::ignore::Ignore;
use crate::redact::Redactor;
pub(crate) use images::{KnownImage, images, inherit};

/// The prefix of a part's name that is what a step reads from a server; the value is its version.
pub(crate) const URL: &str = "url ";

/// Facts about inputs that are not on this machine's disk.
#[derive(Clone, Copy)]
pub(crate) struct RemoteFacts<'a> {
    /// Images by name. A missing image is identified by its name only.
    pub images: &'a BTreeMap<String, KnownImage>,
    /// Versions of files and Git repositories on servers by URL. A result with the same version as
    /// before is the same.
    pub versions: &'a BTreeMap<String, String>,
}

/// One target of a build, as it is passed to BuildKit.
pub(crate) struct TargetFacts {
    pub name: String,
    pub file: Dockerfile,
    /// Its inputs in addition to the Dockerfile.
    pub inputs: Inputs,
    /// The main context, whose name is empty, and the named ones.
    pub contexts: BTreeMap<String, ImagePlace>,
    /// Additional inputs of each of its RUNs: network, `/dev/shm`, limits.
    pub run: BTreeMap<String, String>,
    /// Whether their keys differ from call to call.
    pub run_is_open: bool,
    /// Whether the builder compares the content of the root of a RUN with a secret.
    pub compares_roots: bool,
    /// The stages whose steps run whatever is there, all where the list is empty.
    pub ignores_cache: Option<Vec<String>>,
}

/// The kind of a context.
pub(crate) enum ImagePlace {
    /// A directory of this machine, with its ignore rules.
    Directory(PathBuf, Ignore),
    /// The result of another target of the build.
    Target(String),
    /// An image or another remote source.
    Elsewhere(String),
}

/// One step and its inputs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GraphStep {
    pub target: String,
    /// The stage, as BuildKit prints it.
    pub stage: String,
    /// The line of its instruction, counted from 0.
    pub line: usize,
    /// The instruction in one line.
    pub text: String,
    /// The digest of its inputs.
    pub key: String,
    /// The digest without the content of other stages.
    pub soft: String,
    /// The same as `key`, but for modes of files that a checkout has by its umask.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub any_mode: String,
    /// Its inputs by name, with secrets redacted.
    pub parts: BTreeMap<String, String>,
    /// The files of contexts that it reads.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<Input>,
    /// Those of them that BuildKit may know with another mode or other extended attributes, with
    /// the state that it then has (`forecast::unnoticed`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unnoticed: BTreeMap<String, String>,
    /// The size of those files in bytes.
    #[serde(default)]
    pub bytes: u64,
    /// The largest top-level entry of the context, such as `vendor`, with its size in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub largest: Option<(String, u64)>,
    /// The steps that it is based on: one, or two if one was linked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<usize>,
    /// The steps whose results it reads.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub draws: Vec<usize>,
    /// Whether it reads content that is unknown in advance: of a server without a known version.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_open: bool,
    /// Whether BuildKit compares the content of its root, as of a stage that it reads.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub compares_root: bool,
    /// Whether it runs whatever is there: BuildKit's own `--no-cache`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_forced: bool,
}

impl GraphStep {
    /// Redacts the parts that are shown and recorded. Its digests stay.
    pub(crate) fn redact(&mut self, redactor: &Redactor) {
        self.text = redactor.text(&self.text).into_owned();
        let parts = std::mem::take(&mut self.parts);
        let redact = |(name, value): (String, String)| {
            let name = redactor.text(&name).into_owned();
            (name, redactor.text(&value).into_owned())
        };
        self.parts = parts.into_iter().map(redact).collect();
    }

    /// Returns what it reads from servers: URLs and their versions, which are empty if unknown.
    pub(crate) fn remotes(&self) -> impl Iterator<Item = (&str, &str)> {
        self.parts.iter().filter_map(|(name, value)| Some((name.strip_prefix(URL)?, value.as_str())))
    }

    /// Returns all steps that it depends on: those that it is based on, then those that it reads
    /// from.
    pub(crate) fn needs(&self) -> impl Iterator<Item = usize> {
        self.parents.iter().chain(&self.draws).copied()
    }
}

/// The keys of the steps whose results are layers on an image: each starts from one at last.
pub(crate) fn on_images(graph: &[GraphStep]) -> BTreeSet<&str> {
    let mut on_image = Vec::with_capacity(graph.len());
    // Parents come first in a graph.
    for step in graph {
        let is_on = step.parts.contains_key("base") || step.parents.iter().any(|parent| on_image[*parent]);
        on_image.push(is_on);
    }
    graph.iter().zip(on_image).filter(|(_, is_on)| *is_on).map(|(step, _)| step.key.as_str()).collect()
}

/// Returns for each step the first one that is the same vertex in BuildKit. Stages that begin alike
/// share their first vertices, and BuildKit shows each under the name of any of them.
pub(crate) fn first_twins(graph: &[GraphStep]) -> Vec<usize> {
    let mut firsts: Vec<usize> = Vec::with_capacity(graph.len());
    let mut seen = BTreeMap::new();
    // Dependencies come first in a graph.
    for (at, step) in graph.iter().enumerate() {
        let needs: Vec<Option<usize>> = step.needs().map(|needed| firsts.get(needed).copied()).collect();
        // The id of a cache mount is in the vertex of its RUN, but not in the key.
        let is_run = step.text.get(..3).is_some_and(|word| word.eq_ignore_ascii_case("run"));
        let text = if is_run { step.text.as_str() } else { "" };
        let first = *seen.entry((&step.target, &step.key, text, needs)).or_insert(at);
        firsts.push(first);
    }
    firsts
}

/// Returns the step of a target with this name in BuildKit. Of several that match alike, the first.
pub(crate) fn find(
    graph: &[GraphStep],
    files: &BTreeMap<String, Dockerfile>,
    target: &str,
    name: (&str, &str),
) -> Option<usize> {
    find_all(graph, files, target, name).into_iter().next()
}

/// Returns all steps of a target that match a name in BuildKit alike, in order.
pub(crate) fn find_all(
    graph: &[GraphStep],
    files: &BTreeMap<String, Dockerfile>,
    target: &str,
    (stage, instruction): (&str, &str),
) -> Vec<usize> {
    let Some(file) = files.get(target) else { return Vec::new() };
    let printed = file.stage_of(stage);
    let of = |found: &Instruction| {
        let is_there = |step: &GraphStep| {
            (step.target.as_str(), step.stage.as_str(), step.line) == (target, printed, found.line)
        };
        // ONBUILDs of an image have the line of their FROM. A redacted text differs from that of
        // the file.
        let same_text = graph.iter().position(|step| is_there(step) && step.text == found.text);
        same_text.or_else(|| graph.iter().position(is_there))
    };
    let mut found: Vec<usize> = file.find_all(stage, instruction).into_iter().filter_map(of).collect();
    let mut seen = BTreeSet::new();
    found.retain(|at| seen.insert(*at));
    found
}

/// Returns the graph of a build.
pub(crate) fn graph(
    targets: &[TargetFacts],
    remote: RemoteFacts<'_>,
    digests: &mut Digests,
) -> Vec<GraphStep> {
    builder::steps(targets, remote, digests)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_on_an_image_differ_from_those_on_scratch() {
        let step = |key: &str, parents: &[usize], draws: &[usize]| GraphStep {
            key: key.into(),
            parents: parents.to_vec(),
            draws: draws.to_vec(),
            ..GraphStep::default()
        };
        let mut graph = vec![step("first", &[], &[]), step("second", &[0], &[]), step("linked", &[], &[])];
        graph.extend([step("merged", &[1, 2], &[]), step("copied", &[], &[3]), step("after", &[4], &[])]);
        graph[0].parts.insert("base".into(), "debian".into());
        let found: Vec<&str> = on_images(&graph).into_iter().collect();
        assert_eq!(found, ["first", "merged", "second"]);
    }

    #[test]
    fn a_context_on_a_server_is_known_only_by_a_commit() {
        let is_open = |text: &str, source: &str| {
            let contexts = [("repo".to_owned(), ImagePlace::Elsewhere(source.to_owned()))];
            let facts = TargetFacts {
                name: "app".into(),
                file: Dockerfile::parse(text.as_bytes()),
                inputs: Inputs { contexts: BTreeSet::from(["repo".to_owned()]), ..Inputs::default() },
                contexts: contexts.into(),
                run: BTreeMap::new(),
                run_is_open: false,
                compares_roots: false,
                ignores_cache: None,
            };
            let (images, versions) = Default::default();
            let remote = RemoteFacts { images: &images, versions: &versions };
            graph(&[facts], remote, &mut Digests::default())[0].is_open
        };
        let commit = format!("https://x.example/y.git#{}", "0a".repeat(20));
        for text in ["FROM scratch\nCOPY --from=repo a b\n", "FROM repo\nCOPY --from=repo a b\n"] {
            for source in ["git://x.example/y#main", "https://x.example/y.tar", "ci@x.example:y.git"] {
                assert!(is_open(text, source), "{source}");
            }
            for source in [commit.as_str(), "docker-image://x/y:z", "an image@sha256:1"] {
                assert!(!is_open(text, source), "{source}");
            }
        }
    }

    #[test]
    fn stages_that_begin_alike_share_their_first_vertices() {
        let step = |key: &str, text: &str, parents: &[usize]| GraphStep {
            key: key.into(),
            text: text.into(),
            parents: parents.to_vec(),
            ..GraphStep::default()
        };
        let mut graph = vec![step("w", "WORKDIR /a", &[]), step("c", "COPY a b", &[0])];
        graph.extend([
            step("w", "WORKDIR /a", &[]),
            step("c", "COPY  a b", &[2]),
            step("d", "COPY c d", &[3]),
        ]);
        assert_eq!(first_twins(&graph), [0, 1, 0, 1, 4]);
        let mut other = vec![step("r", "RUN --mount=type=cache,id=a,target=/c make", &[])];
        other.push(step("r", "RUN --mount=type=cache,id=b,target=/c make", &[]));
        other.extend([step("n", "COPY a b", &[0]), step("n", "COPY a b", &[1])]);
        assert_eq!(first_twins(&other), [0, 1, 2, 3], "another cache mount is another vertex");
        other[1].target = "other".into();
        other[1].text = other[0].text.clone();
        assert_eq!(first_twins(&other)[1], 1, "each target shows its own");
    }
}
