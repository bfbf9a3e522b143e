//! COPY and ADD: the files that they read, and the operation that BuildKit compares. Of a path in a
//! context only the last part is in the operation; the rest is compared by content.

use super::lexer::heredoc;
use super::scope::clean;
use super::shell::Lexer;
use super::steps::{DockerfileStep, From, Read, Reader, Selector};
use super::{Heredoc, Instruction, expand};
use crate::project::remote::is_remote;

/// Returns the step of a COPY or an ADD.
pub(super) fn step(reader: &Reader<'_>, instruction: &Instruction) -> DockerfileStep {
    let words: Vec<String> = serde_json::from_str(&instruction.rest)
        .unwrap_or_else(|_| expand::fields(&instruction.rest).into_iter().map(str::to_owned).collect());
    let (target, sources) = words.split_last().map_or(("", &[][..]), |(last, rest)| (last.as_str(), rest));
    let expanded_flags = ["chown", "chmod", "checksum"];
    let value = |name: &str, value: &str| {
        if expanded_flags.contains(&name) { reader.expand(value).text } else { value.to_owned() }
    };
    let flags: Vec<(&str, String)> =
        instruction.flags.iter().map(|(name, text)| (name.as_str(), value(name, text))).collect();
    let flag =
        |name: &str| flags.iter().rev().find(|(known, _)| *known == name).map(|(_, value)| value.as_str());
    let is_set = |name: &str| flag(name).is_some_and(|value| value != "false");
    let all = Sources::new(reader, instruction, sources);
    let shown = instruction.flags.iter().filter(|(name, _)| name != "from");
    let shown = shown.map(|(name, value)| format!("--{name}={value}"));
    let mut step = reader.step(instruction, shown.chain(words.iter().cloned()).collect::<Vec<_>>().join(" "));
    let target = reader.expand(target).text;
    let workdir = reader.scope.given().find(|(kind, _, _)| *kind == "workdir");
    if let Some((kind, _, path)) = workdir.filter(|_| !target.starts_with('/')) {
        step.parts.insert(kind.to_owned(), path);
    }
    reader.name_variables(&mut step);
    let excludes: Vec<String> =
        flags.iter().filter(|(name, _)| *name == "exclude").map(|(_, value)| value.clone()).collect();
    let is_add = instruction.keyword == "ADD";
    step.is_linked = is_set("link") && flag("chmod").is_none_or(str::is_empty);
    step.operation = vec![
        destination(reader, &target),
        flag("chown").unwrap_or_default().to_owned(),
        mode(flag("chmod").unwrap_or_default()),
        excludes.join("\n"),
        format!("unpack {}", flag("unpack").map_or(is_add, |value| value != "false")),
        flag("keep-git-dir").unwrap_or_default().to_owned(),
        flag("checksum").unwrap_or_default().to_owned(),
    ];
    for (document, text) in &all.documents {
        step.operation.extend([format!("<<{document}"), text.clone()]);
    }
    for document in &instruction.heredocs {
        step.parts.insert(format!("heredoc {}", document.name), document.text());
    }
    let checksum = flag("checksum").is_some_and(|value| !value.is_empty());
    for url in all.remotes {
        step.operation.push(content_name(&url).to_owned());
        let is_pinned = checksum || has_commit(&url);
        let from = From::Remote { url, is_pinned };
        step.reads.push(Read { from, selectors: Vec::new(), excludes: Vec::new(), is_open: false });
    }
    if !all.paths.is_empty() {
        let has_parents = is_set("parents");
        let selectors: Vec<Selector> = all.paths.iter().map(|path| selector(path, has_parents)).collect();
        for one in &selectors {
            let base = clean(&format!("/{}", one.path));
            step.operation.push(base.rsplit('/').next().unwrap_or_default().to_owned());
            step.operation.extend(one.include.clone());
        }
        let from = flag("from").map_or(From::Context, |name| reader.from(name));
        step.reads.push(Read { from, selectors, excludes, is_open: all.is_open });
    }
    step
}

/// The sources by type.
#[derive(Default)]
struct Sources {
    paths: Vec<String>,
    remotes: Vec<String>,
    documents: Vec<(String, String)>,
    /// Whether a path depends on unknown values.
    is_open: bool,
}

impl Sources {
    fn new(reader: &Reader<'_>, instruction: &Instruction, sources: &[String]) -> Self {
        let mut found = Self::default();
        for word in sources {
            if let Some(name) = heredoc(word).map(|document| document.name) {
                let document = instruction.heredocs.iter().rev().find(|one| one.name == name);
                let text = document.map(Heredoc::text).unwrap_or_default();
                let expands = document.is_some_and(|one| one.expands);
                let text = if expands { reader.expand_by(Lexer::heredoc(), &text).text } else { text };
                found.documents.push((name, text));
                continue;
            }
            let expanded = reader.expand(word);
            if instruction.keyword == "ADD" && is_remote(&expanded.text) {
                found.remotes.push(expanded.text);
            } else {
                found.is_open |= !expanded.unknown.is_empty();
                found.paths.push(expanded.text);
            }
        }
        found
    }
}

/// Returns a source as BuildKit selects it. `--parents` copies from the root, or from before `/./`.
fn selector(path: &str, has_parents: bool) -> Selector {
    if !has_parents {
        return Selector { path: path.to_owned(), is_pattern: true, include: None };
    }
    let (root, pattern) = path.split_once("/./").unwrap_or(("/", path));
    let pattern = clean(&format!("/{pattern}"));
    let include = Some(pattern.trim_start_matches('/').to_owned());
    Selector { path: root.to_owned(), is_pattern: true, include }
}

/// Returns the destination, with a trailing slash kept.
fn destination(reader: &Reader<'_>, target: &str) -> String {
    let ends_in_slash = target.ends_with('/') || target.is_empty() || target.ends_with("/.") || target == ".";
    let path = reader.scope.absolute(target).unwrap_or_else(|| target.to_owned());
    if ends_in_slash && !path.ends_with('/') { path + "/" } else { path }
}

/// Normalizes a mode: `0644` is `644`.
fn mode(text: &str) -> String {
    u32::from_str_radix(text, 8).map_or_else(|_| text.to_owned(), |mode| format!("{mode:o}"))
}

/// Returns the part of a URL that is in BuildKit's key: the name of a file, because its content is
/// compared, wherever it is from. A Git repository has all of its URL here, though only its commit
/// and directory are in the key.
pub(in crate::project) fn content_name(url: &str) -> &str {
    let path = url.split(['#', '?']).next().unwrap_or_default();
    let place = path.strip_prefix("https://").or_else(|| path.strip_prefix("http://"));
    let Some(place) = place.filter(|place| !place.ends_with(".git")) else { return url };
    let name = place.split_once('/').map_or("", |(_, path)| path.trim_end_matches('/'));
    match name.rsplit('/').next() {
        None | Some("" | "." | "..") => url,
        Some(name) => name,
    }
}

/// Returns whether a Git source has a full commit hash.
pub(in crate::project) fn has_commit(url: &str) -> bool {
    let rest = url.split_once('#').or_else(|| url.split_once('?')).map_or("", |(_, rest)| rest);
    let mut parts = rest.split([':', '&', '=', '#']);
    parts.any(|part| part.len() == 40 && part.chars().all(|c| c.is_ascii_hexdigit()))
}
