//! Builds the graph: stage by stage, each once, its dependencies first.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use super::{GraphStep, ImagePlace, RemoteFacts, TargetFacts, URL};
use crate::project::context::{ContentDigest, Contexts, Digests, Input, Selected};
use crate::project::dockerfile::steps::{DockerfileStep, From, Read, Selector};
use crate::project::dockerfile::{Base, content_name, has_commit};
use crate::project::remote::is_remote;
use crate::project::run_settings::HOSTS;
use crate::redact::is_secret;

/// Returns the steps of all targets in dependency order.
pub(super) fn steps(
    targets: &[TargetFacts],
    remote: RemoteFacts<'_>,
    digests: &mut Digests,
) -> Vec<GraphStep> {
    let mut builder = Builder {
        targets,
        remote,
        digests,
        contexts: Contexts::default(),
        steps: Vec::new(),
        ends: BTreeMap::new(),
        open: BTreeSet::new(),
    };
    for (index, target) in targets.iter().enumerate() {
        if let Some(goal) = target.file.goal(&target.inputs) {
            builder.end(index, goal);
        }
    }
    builder.steps
}

/// The result of a stage.
#[derive(Clone)]
struct End {
    steps: Vec<usize>,
    key: String,
    soft: String,
    any_mode: String,
    image: Option<String>,
}

struct Builder<'a> {
    targets: &'a [TargetFacts],
    remote: RemoteFacts<'a>,
    digests: &'a mut Digests,
    contexts: Contexts,
    steps: Vec<GraphStep>,
    ends: BTreeMap<(usize, usize), End>,
    /// Stages in progress: a mount may name one that is based on it.
    open: BTreeSet<(usize, usize)>,
}

impl<'a> Builder<'a> {
    fn end(&mut self, target: usize, stage: usize) -> End {
        if let Some(end) = self.ends.get(&(target, stage)) {
            return end.clone();
        }
        if !self.open.insert((target, stage)) {
            return image("a circle");
        }
        let facts: &'a TargetFacts = &self.targets[target];
        let mut end = match facts.file.base(stage, &facts.inputs) {
            Base::Scratch => End { image: None, ..image("scratch") },
            Base::Stage(base) => self.end(target, base),
            Base::Foreign(name) => self.named(target, &name),
        };
        for step in facts.file.steps(stage, &facts.inputs) {
            end = self.step(target, stage, step, &end);
        }
        self.ends.insert((target, stage), end.clone());
        end
    }

    /// Returns the result of a named context or an image.
    fn named(&mut self, target: usize, name: &str) -> End {
        let facts: &'a TargetFacts = &self.targets[target];
        match facts.contexts.get(&name.to_ascii_lowercase()) {
            Some(ImagePlace::Target(other)) => {
                let index = self.targets.iter().position(|known| known.name == *other);
                let goal = index.and_then(|index| {
                    let facts = &self.targets[index];
                    Some((index, facts.file.goal(&facts.inputs)?))
                });
                goal.map_or_else(|| image(other), |(index, goal)| self.end(index, goal))
            }
            Some(ImagePlace::Elsewhere(source)) => {
                self.image(source.strip_prefix("docker-image://").unwrap_or(source))
            }
            Some(ImagePlace::Directory(dir, _)) => image(&dir.display().to_string()),
            None => self.image(name),
        }
    }

    fn image(&self, name: &str) -> End {
        match self.remote.images.get(name) {
            Some(known) => image(&format!("{name}@{}", known.digest)),
            None => image(name),
        }
    }

    fn step(&mut self, target: usize, stage: usize, step: DockerfileStep, before: &End) -> End {
        let facts: &'a TargetFacts = &self.targets[target];
        let mut made = GraphStep {
            target: facts.name.clone(),
            stage: facts.file.stages[stage].name.clone(),
            line: step.line,
            parents: if step.is_linked { Vec::new() } else { before.steps.clone() },
            parts: step.parts.into_iter().map(|(name, value)| hide(name, value)).collect(),
            text: step.text,
            ..GraphStep::default()
        };
        if step.keyword == "RUN" {
            // A RUN's own network takes precedence over the target's.
            let has_network = made.parts.contains_key("option network");
            let counts = |(name, _): &(&String, &String)| !(has_network && *name == "network");
            let settings = facts.run.iter().filter(counts);
            made.parts.extend(settings.map(|(name, value)| (name.clone(), value.clone())));
            made.is_open = facts.run_is_open;
            made.compares_root = facts.compares_roots && has_secret(&made);
        }
        let is_in = |stages: &Vec<String>| {
            stages.is_empty() || stages.iter().any(|stage| stage.eq_ignore_ascii_case(&made.stage))
        };
        made.is_forced = facts.ignores_cache.as_ref().is_some_and(is_in);
        if let Some(image) = &before.image {
            made.is_open |= is_remote(image) && !has_commit(image);
            made.parts.insert("base".into(), image.clone());
        }
        let (mut hard, mut soft, mut any_mode) = (Vec::new(), Vec::new(), Vec::new());
        for read in &step.reads {
            let (end, content) = self.read(target, read, &mut made);
            hard.push(content.full);
            soft.push(content.plain);
            any_mode.push(content.any_mode);
            if let Some(end) = end {
                hard.push(end.key);
                any_mode.push(end.any_mode);
                soft.push(end.image.unwrap_or_default());
                made.draws.extend(end.steps);
            }
        }
        let own = own(&step.keyword, &step.operation, &made);
        // A linked step is made independently of its parents, and its layer is put on top of them.
        let under = |before: &str| if step.is_linked { String::new() } else { before.to_owned() };
        made.key = hash([own.clone(), under(&before.key)].into_iter().chain(hard));
        made.any_mode = hash([own.clone(), under(&before.any_mode)].into_iter().chain(any_mode));
        let root =
            if made.compares_root { before.image.clone().unwrap_or_default() } else { under(&before.soft) };
        made.soft = hash([own, root].into_iter().chain(soft));
        let above = |before: &str, key: &str| {
            if step.is_linked {
                hash([before.to_owned(), key.to_owned()].into_iter())
            } else {
                key.to_owned()
            }
        };
        let below = if step.is_linked { before.steps.clone() } else { Vec::new() };
        let end = End {
            key: above(&before.key, &made.key),
            soft: above(&before.soft, &made.soft),
            any_mode: above(&before.any_mode, &made.any_mode),
            steps: below.into_iter().chain([self.steps.len()]).collect(),
            image: None,
        };
        self.steps.push(made);
        end
    }

    /// Adds what a step reads from a server. Its version is in the key, but another version may
    /// have the same result, since BuildKit compares the content.
    fn served(&self, url: &str, is_pinned: bool, made: &mut GraphStep) -> ContentDigest {
        let version = self.remote.versions.get(url).filter(|_| !is_pinned);
        made.is_open |= !is_pinned && version.is_none();
        let version = version.cloned().unwrap_or_default();
        made.parts.insert(format!("{URL}{url}"), version.clone());
        ContentDigest { full: version.clone(), any_mode: version, plain: String::new() }
    }

    /// Adds the content that a step reads. Returns the result of a stage or an image, and the
    /// digest of a context's content.
    fn read(&mut self, target: usize, read: &Read, made: &mut GraphStep) -> (Option<End>, ContentDigest) {
        let facts: &'a TargetFacts = &self.targets[target];
        let none = ContentDigest::default();
        let (context, name) = match &read.from {
            From::Stage(stage) => return (Some(self.end(target, *stage)), none),
            From::Remote { url, is_pinned } => return (None, self.served(url, *is_pinned, made)),
            From::Context => (facts.contexts.get(""), ""),
            From::Name(name) => (facts.contexts.get(&name.to_ascii_lowercase()), name.as_str()),
        };
        match context {
            Some(ImagePlace::Directory(dir, ignore)) => {
                let all = [Selector { path: "/".to_owned(), ..Selector::default() }];
                let (selectors, excludes) = if read.is_open {
                    (&all[..], &[][..])
                } else {
                    (&read.selectors[..], &read.excludes[..])
                };
                let selected = self.contexts.select((dir, ignore), selectors, excludes, self.digests);
                let Selected { files, digest, bytes, largest } = selected;
                made.bytes += bytes;
                made.largest = made.largest.take().into_iter().chain(largest).max_by_key(|(_, bytes)| *bytes);
                let prefix = if name.is_empty() { String::new() } else { format!("{name}:") };
                made.files.extend(
                    files.into_iter().map(|file| Input { path: prefix.clone() + &file.path, ..file }),
                );
                // If the paths are unknown, a change may be outside of them.
                let plain = if read.is_open { String::new() } else { digest.plain };
                (None, ContentDigest { plain, ..digest })
            }
            Some(ImagePlace::Elsewhere(source)) if name.is_empty() || is_remote(source) => {
                (None, self.served(source, has_commit(source), made))
            }
            _ => {
                let end = self.named(target, name);
                if let Some(image) = &end.image {
                    made.parts.insert(format!("image {name}"), image.clone());
                }
                (Some(end), none)
            }
        }
    }
}

fn image(name: &str) -> End {
    let name = name.to_owned();
    End {
        steps: Vec::new(),
        key: name.clone(),
        soft: name.clone(),
        any_mode: name.clone(),
        image: Some(name),
    }
}

/// Returns whether a RUN has a secret or an SSH agent, and cannot write to a context.
fn has_secret(step: &GraphStep) -> bool {
    let is_secret = |name: &String| name.starts_with("mount secret ") || name.starts_with("mount ssh ");
    let is_writable = |(name, options): (&String, &String)| {
        name.starts_with("mount bind ") && options.split(", ").any(|option| option == "rw")
    };
    step.parts.keys().any(is_secret) && !step.parts.iter().any(is_writable)
}

/// Returns a step's own digest: without content, and without the steps that it is based on or reads
/// from.
fn own(keyword: &str, operation: &[String], step: &GraphStep) -> String {
    // Parts outside the step itself: common settings of a target's RUNs, images, and URLs.
    // The size by which a step runs again replaces the declared one.
    let size = if step.parts.contains_key("fresh") { "fresh" } else { "shm-size" };
    let outer = ["network", "ulimits", HOSTS, size];
    let parts = step
        .parts
        .iter()
        .filter(|(name, _)| (keyword == "RUN" && outer.contains(&name.as_str())) || name.starts_with(URL))
        .flat_map(|(name, value)| match name.strip_prefix(URL) {
            // Its version is content.
            Some(url) => [format!("{URL}{}", content_name(url)), String::new()],
            None => [name.clone(), value.clone()],
        });
    hash([keyword.to_owned(), operation.len().to_string()].into_iter().chain(operation.to_vec()).chain(parts))
}

fn hash(parts: impl Iterator<Item = String>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    format!("{:x}", hash.finalize())[..20].to_owned()
}

/// Replaces a value that may be a password by two bytes of its digest: they show a difference, but
/// are too few to test guesses.
fn hide(name: String, value: String) -> (String, String) {
    let variable = name.strip_prefix("arg ").or(name.strip_prefix("env "));
    if variable.is_some_and(is_secret) {
        let digest = &hash(std::iter::once(value))[..4];
        return (name, format!("(hidden {digest})"));
    }
    (name, value)
}

#[cfg(test)]
#[path = "builder_tests.rs"]
mod tests;
