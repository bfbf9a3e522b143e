//! Random edits of a target.

use std::path::Path;

use anyhow::Result;

use super::bases::Bases;
use super::dockerfile::Around;
use super::files;
use super::frontend::Frontend;
use super::instruction::instruction;
use super::server;
use super::target::Target;
use crate::bench::random::Random;

/// An edit that was made.
#[derive(Debug, Clone)]
pub(super) struct Edit {
    /// A description of the edit.
    pub(super) what: String,
    /// The reasons that a forecast may name.
    pub(super) reasons: &'static [&'static str],
}

/// Patterns that come into an ignore file, or go.
const PATTERNS: &[&str] = &[
    "*.md",
    "sub/deep",
    "!sub/deep/c.txt",
    "**/e.md",
    "other",
    "!other/y.txt",
    "#odd",
    "[a-b].txt",
    "sub",
    "!**/*.txt",
];

/// Settings of RUNs with values, some of which are equal to BuildKit. Not every buildx knows the
/// last ones.
const SETTINGS: &[(&str, &[&str])] = &[
    ("shm-size", &["64m", "65536k", "67108864", "65m", "66m", "0"]),
    ("ulimits", &["nofile=1000:1000", "nofile=1000", "nofile=1000:2000"]),
    ("network", &["none", "default"]),
    ("extra-hosts", &["a=10.0.0.1", "a=10.0.0.2", "b=10.0.0.1"]),
];

/// Makes a random edit.
pub(super) fn edit(
    target: &mut Target,
    context: &Path,
    stamp: &str,
    (bases, flags): (&Bases, Frontend),
    random: &mut Random,
) -> Result<Edit> {
    let made = |what: String, reasons: &'static [&'static str]| Ok(Edit { what, reasons });
    target.no_cache = false;
    match random.below(28) {
        0..=8 => made(files::edit(context, stamp, random)?, &["file"]),
        9 | 10 => {
            let pattern = random.of(PATTERNS).to_owned();
            match target.ignore.iter().position(|line| *line == pattern) {
                Some(at) => drop(target.ignore.remove(at)),
                None => target.ignore.push(pattern.clone()),
            }
            made(format!("ignore file: {pattern}"), &["file"])
        }
        11 | 12 => {
            let name = random.of(&["A", "A", "U", "B", "G", "none"]).to_owned();
            let value = if name == "U" { "0" } else { random.of(&["one", "two", "three"]) }.to_owned();
            let what = format!("argument {name}={value}");
            if target.args.get(&name) == Some(&value) {
                target.args.remove(&name);
            } else {
                target.args.insert(name, value);
            }
            made(what, &["arg", "instruction", "file", "mount"])
        }
        13 | 16 => {
            let known = if flags.settings { SETTINGS } else { &SETTINGS[..2] };
            let (name, values) = known[random.below(known.len())];
            let value = random.of(values);
            if target.run.insert(name, value) == Some(value) {
                target.run.remove(name);
            }
            made(format!("{name} {:?}", target.run.get(name)), &["mount"])
        }
        14 => {
            target.has_own_ignore = !target.has_own_ignore;
            made("where the ignore file is".to_owned(), &["file"])
        }
        17 => {
            target.label = Some(stamp.to_owned());
            made("a label of the image".to_owned(), &[])
        }
        18 => {
            target.no_cache = true;
            made("no-cache".to_owned(), &["fresh"])
        }
        19 => {
            let count = target.model.stages.len();
            target.stage = (!random.once_in(2)).then(|| format!("s{}", random.below(count)));
            made(format!("the stage {:?}", target.stage), &["instruction", "file", "arg", "base", "mount"])
        }
        20 if target.contexts.contains_key("extra") => {
            let extra = context.with_file_name(format!("{}-extra", target.name));
            let name = random.of(&["x", "sub/y.txt", "new", "no.md"]);
            files::write(&extra.join(name), &format!("{stamp}\n"))?;
            made(format!("content of extra/{name}"), &["file"])
        }
        21 => {
            let head = &mut target.model.head;
            let lines = head.iter_mut().filter(|line| line.starts_with("ARG BASE="));
            for line in lines {
                let other =
                    if *line == format!("ARG BASE={}", bases.first) { &bases.second } else { &bases.first };
                *line = format!("ARG BASE={other}");
            }
            made("the base image".to_owned(), &["base", "instruction", "file"])
        }
        22 => {
            let secret = context.with_file_name("secret");
            files::write(&secret, stamp)?;
            made("the secret".to_owned(), &[])
        }
        15 => {
            let wanted = random.of(&["Dockerfile", "dockerfile", "other.Dockerfile"]);
            wanted.clone_into(&mut target.file);
            made(format!("Dockerfile named {wanted}"), &["file"])
        }
        _ => Ok(Edit {
            what: dockerfile(target, context, flags, random),
            reasons: &["instruction", "arg", "file", "mount", "base"],
        }),
    }
}

/// Changes the Dockerfile.
fn dockerfile(target: &mut Target, context: &Path, flags: Frontend, random: &mut Random) -> String {
    let index = random.below(target.model.stages.len());
    let contexts: Vec<&'static str> = target.contexts.keys().copied().collect();
    let files = files::list(context, false);
    let (before, rest) = target.model.stages.split_at_mut(index);
    let stage = &mut rest[0];
    let around = Around { files, flags, contexts: &contexts, stages: before, has_shell: stage.has_shell };
    // The first instruction sets the project apart.
    let at = 1 + random.below(stage.lines.len().saturating_sub(1));
    match random.below(6) {
        0 if stage.lines.len() > 2 => format!("removed `{}`", stage.lines.remove(at)),
        1 => {
            let line = instruction(&around, random);
            let what = format!("added `{line}`");
            stage.lines.insert(at.min(stage.lines.len()), line);
            what
        }
        2 if at + 1 < stage.lines.len() => {
            stage.lines.swap(at, at + 1);
            format!("swapped `{}` and the next", stage.lines[at])
        }
        3 if stage.lines.iter().any(|line| line.contains("/stays ")) => {
            let line = stage.lines.iter_mut().find(|line| line.contains("/stays "));
            let directory = random.of(server::DIRECTORIES);
            line.map_or_else(String::new, |line| {
                let before = line.clone();
                let start = before.find("://127.0.0.1:").map_or(0, |at| at + 13);
                let path = before[start..].find('/').map_or(start, |at| start + at);
                let end = before.find("stays ").unwrap_or(path);
                *line = format!("{}/{directory}{}", &before[..path], &before[end..]);
                format!("`{before}` became `{line}`")
            })
        }
        4 if at < stage.lines.len() => {
            let spaced = stage.lines[at].replacen(' ', "  ", 1);
            format!("spaces in `{}`", std::mem::replace(&mut stage.lines[at], spaced))
        }
        _ if at < stage.lines.len() => {
            let line = instruction(&around, random);
            format!("`{}` became `{line}`", std::mem::replace(&mut stage.lines[at], line.clone()))
        }
        _ => "nothing".to_owned(),
    }
}
