//! The differences of one step between two builds, in words.

use std::collections::BTreeMap;

use crate::outcome::{Cause, CauseKind};
use crate::project::context::Input;
use crate::project::graph::{GraphStep, URL};
use crate::project::packages;

/// Returns the differences of a step itself, the most important first.
pub(super) fn differences(old: &GraphStep, new: &GraphStep) -> Vec<Cause> {
    if keyword(&old.text) != keyword(&new.text) {
        return vec![command(Some(&old.text), Some(&new.text))];
    }
    let mut found: Vec<Cause> = Vec::new();
    let has_other_size = old.parts.get("shm-size") != new.parts.get("shm-size");
    let names = old.parts.keys().chain(new.parts.keys()).collect::<std::collections::BTreeSet<_>>();
    for name in names {
        let (before, after) = (old.parts.get(name), new.parts.get(name));
        // An added or removed variable is more important.
        let is_sorted_alike = || {
            let sorted = |order: Option<&String>| {
                let mut names: Vec<String> =
                    order.into_iter().flat_map(|names| names.split(' ')).map(str::to_owned).collect();
                names.sort();
                names
            };
            sorted(before) == sorted(after)
        };
        // A declared size is part of the size by which a step runs again.
        if name == "fresh" && has_other_size {
            continue;
        }
        // An unknown version is no difference.
        let is_unknown = |version: &&String| name.starts_with(URL) && version.is_empty();
        if before.zip(after).is_some_and(|(old, new)| is_unknown(&old) || is_unknown(&new)) {
            continue;
        }
        if before != after && (name != "order" || is_sorted_alike()) {
            found.push(part(name, before.map(String::as_str), after.map(String::as_str)));
        }
    }
    found.extend(files(&old.files, &new.files));
    found.sort_by_key(|cause| match cause.kind {
        CauseKind::Fresh if *cause == fresh() => 0,
        CauseKind::Fresh => 6,
        CauseKind::Base => 1,
        CauseKind::Instruction => 2,
        CauseKind::Arg | CauseKind::Package => 3,
        CauseKind::Mount => 4,
        _ => 5,
    });
    found
}

/// Returns the first word of an instruction.
fn keyword(text: &str) -> String {
    text.split_whitespace().next().unwrap_or_default().to_ascii_uppercase()
}

/// The maximum length of a shown value.
const SHOWN: usize = 60;

fn part(name: &str, before: Option<&str>, after: Option<&str>) -> Cause {
    let (kind, rest) = name.split_once(' ').unwrap_or((name, ""));
    let (kind, what) = match kind {
        "arg" if rest == "DURANGO_FRESH" => return fresh_part(after),
        "arg" if rest == packages::ARG => {
            match packages::changes(before.unwrap_or_default(), after.unwrap_or_default()) {
                Some(detail) => return Cause { kind: CauseKind::Package, detail },
                None => (CauseKind::Arg, rest.to_owned()),
            }
        }
        "fresh" => return fresh_part(after),
        "base" => (CauseKind::Base, "the base image".to_owned()),
        "image" => (CauseKind::Base, format!("the image {rest}")),
        "arg" => (CauseKind::Arg, rest.to_owned()),
        "env" => (CauseKind::Instruction, format!("ENV {rest}")),
        "mount" => (CauseKind::Mount, format!("the {rest} mount")),
        "command" => return command(before, after),
        "heredoc" => return command(before, after),
        "order" => (CauseKind::Instruction, "the order of ARGs and ENVs".to_owned()),
        "workdir" | "user" | "shell" => (CauseKind::Instruction, kind.to_ascii_uppercase()),
        "url" => {
            let what = match (before, after) {
                (Some(_), Some(_)) => "the server has another version",
                (None, _) => "it is new",
                (_, None) => "it is removed",
            };
            return Cause { kind: CauseKind::File, detail: format!("{rest}: {what}") };
        }
        "option" => (CauseKind::Instruction, format!("--{rest}")),
        _ => (CauseKind::Mount, name.to_owned()),
    };
    let short = |value: &str| {
        let line: String = value.chars().take(SHOWN).collect();
        if line.len() < value.len() { format!("`{line}...`") } else { format!("`{line}`") }
    };
    let detail = match (before, after) {
        (Some(before), Some(after)) if before.starts_with("(hidden") || after.starts_with("(hidden") => {
            format!("{what}: changed value")
        }
        (Some(before), Some(after)) => format!("{what}: {} -> {}", short(before), short(after)),
        (None, Some(after)) if after.starts_with("(hidden") => format!("{what} is new"),
        (None, Some(after)) => format!("{what} is new: {}", short(after)),
        (Some(_), None) => format!("{what} is removed"),
        (None, None) => what,
    };
    Cause { kind, detail }
}

/// A request to run again, or the result of an earlier one, which is not used by this build.
fn fresh_part(after: Option<&str>) -> Cause {
    let detail = "the earlier build was requested to run it again, and this one was not";
    after.map_or_else(|| Cause { kind: CauseKind::Fresh, detail: detail.into() }, |_| fresh())
}

pub(super) fn fresh() -> Cause {
    Cause { kind: CauseKind::Fresh, detail: "it was requested to run again".into() }
}

/// Returns the first line that differs.
fn command(before: Option<&str>, after: Option<&str>) -> Cause {
    let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
    let mut lines = before
        .lines()
        .map(Some)
        .chain(std::iter::repeat(None))
        .zip(after.lines().map(Some).chain(std::iter::repeat(None)));
    let detail = match lines
        .by_ref()
        .take(before.lines().count().max(after.lines().count()))
        .find(|(old, new)| old != new)
    {
        Some((Some(old), Some(new))) => {
            // From the first difference of the two lines.
            let same = old.chars().zip(new.chars()).take_while(|(a, b)| a == b).count().saturating_sub(12);
            let from = |line: &str| {
                let cut: String = line.chars().skip(same).take(SHOWN).collect();
                if same > 0 { format!("...{cut}") } else { cut }
            };
            format!("its text: `{}` -> `{}`", from(old.trim()), from(new.trim()))
        }
        Some((None, Some(new))) => {
            format!("its text has an addition: `{}`", new.trim().chars().take(SHOWN).collect::<String>())
        }
        Some((Some(old), None)) => {
            format!("its text has a removal: `{}`", old.trim().chars().take(SHOWN).collect::<String>())
        }
        _ => "its text".into(),
    };
    Cause { kind: CauseKind::Instruction, detail }
}

/// The number of named files.
pub(super) const NAMED: usize = 3;

fn files(before: &[Input], after: &[Input]) -> Option<Cause> {
    let map = |inputs: &[Input]| {
        inputs.iter().map(|input| (input.path.clone(), input.state.clone())).collect::<BTreeMap<_, _>>()
    };
    let (before, after) = (map(before), map(after));
    let mut changes: Vec<(u8, String)> = Vec::new();
    for path in before.keys().chain(after.keys()).collect::<std::collections::BTreeSet<_>>() {
        match (before.get(path), after.get(path)) {
            (Some(old), Some(new)) if old != new => {
                // A file is more informative than its directory.
                changes.push((u8::from(new.ends_with('/')), format!("{path}: {}", about(old, new))));
            }
            (None, Some(_)) => changes.push((0, format!("{path} is new"))),
            (Some(_), None) => changes.push((0, format!("{path} is removed"))),
            _ => {}
        }
    }
    changes.sort_by_key(|(rank, _)| *rank);
    let more = changes.len().saturating_sub(NAMED);
    let mut named: Vec<String> = changes.into_iter().take(NAMED).map(|(_, text)| text).collect();
    if more > 0 {
        named.push(format!("and {more} more"));
    }
    (!named.is_empty()).then(|| Cause { kind: CauseKind::File, detail: named.join(", ") })
}

/// Describes the change of a file.
fn about(old: &str, new: &str) -> String {
    let (old, old_xattrs) = old.split_once(" xattrs:").unwrap_or((old, ""));
    let (new, new_xattrs) = new.split_once(" xattrs:").unwrap_or((new, ""));
    if old == new && old_xattrs != new_xattrs {
        return "extended attributes changed".into();
    }
    let kind = |state: &str| match state {
        state if state.starts_with("->") => "a link".to_owned(),
        state if state.ends_with('/') => "a directory".to_owned(),
        state => state.split_once('|').map_or("a file".to_owned(), |(_, kind)| format!("a {kind}")),
    };
    if new.contains(" inside:") || old.contains(" inside:") {
        return "its content changed".into();
    }
    if kind(old) != kind(new) {
        return format!("{} now, {} before", kind(new), kind(old));
    }
    let content = |state: &'_ str| !state.contains('|');
    match (old.split_once(':').filter(|_| content(old)), new.split_once(':').filter(|_| content(new))) {
        (Some((old_mode, old_digest)), Some((new_mode, new_digest))) => {
            match (old_mode == new_mode, old_digest == new_digest) {
                (true, _) => "content changed".into(),
                (false, true) => format!("mode {old_mode} -> {new_mode}"),
                (false, false) => format!("content changed, mode {old_mode} -> {new_mode}"),
            }
        }
        _ if new.starts_with("->") => format!("now links to {}", &new[2..]),
        _ => {
            let mode = |state: &str| state.split(['/', '|']).next().unwrap_or_default().to_owned();
            format!("mode {} -> {}", mode(old), mode(new))
        }
    }
}
