//! The versions of Debian packages that a Dockerfile installs. By convention a stage with
//! `ARG PACKAGES` writes a file with one `NAME=VERSION` per line, which the installing steps read.
//! A stage `packages` has that file as `/packages`, and may have [`super::release_files`]. The
//! answer itself is the value of the argument: as long as it is the same, nothing runs.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};

use super::Target;
use super::dockerfile::{Dockerfile, Inputs};

/// The build argument.
pub(crate) const ARG: &str = "PACKAGES";
/// The stage, and the file in it.
pub(crate) const STAGE: &str = "packages";

/// The number of packages in a reason.
const NAMED: usize = 3;

/// Returns whether a target installs packages by this convention and leaves their versions to
/// xtask. A value of the user takes precedence.
pub(crate) fn is_asked_for(target: &Target, file: &Dockerfile, inputs: &Inputs) -> bool {
    let is_open = target.args.get(ARG).is_some_and(|value| value.as_deref().unwrap_or_default().is_empty());
    let Some(goal) = file.goal(inputs).filter(|_| is_open) else { return false };
    let Some(answer) = file.stage(STAGE, file.stages.len(), inputs) else { return false };
    let takes = |stage: &usize| {
        let mut args = file.stages[*stage].instructions.iter().filter(|one| one.keyword == "ARG");
        args.any(|arg| arg.rest.split_whitespace().any(|word| word.split('=').next() == Some(ARG)))
    };
    let built = file.needs(goal, inputs);
    file.needs(answer, inputs).intersection(&built).any(takes)
}

/// Parses the file of the stage and returns the value of the argument: `NAME/VERSION`, separated by
/// spaces. With `=`, records would redact the version of `base-passwd`.
pub(crate) fn value(text: &str) -> Result<String> {
    let mut lines = BTreeSet::new();
    for line in text.lines() {
        match line.split_once('=') {
            Some((name, version)) if is_word(name) && is_word(version) => lines.insert(line),
            _ => bail!("the list of packages has a line that is not NAME=VERSION: `{line}`"),
        };
    }
    if lines.is_empty() {
        bail!("the list of packages is empty");
    }
    Ok(lines.into_iter().collect::<Vec<_>>().join(" ").replace('=', "/"))
}

/// Returns whether a text is a value of the argument.
pub(crate) fn is_value(text: &str) -> bool {
    list(text).is_some_and(|list| list.iter().all(|(name, version)| is_word(name) && is_word(version)))
}

/// Returns whether a word has only characters of Debian names and versions.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|char| char.is_ascii_alphanumeric() || ".+-~:_".contains(char))
}

/// Returns the difference between two values of the argument, or `None` if one of them is not a
/// list.
pub(crate) fn changes(before: &str, after: &str) -> Option<String> {
    let (old, new) = (list(before)?, list(after)?);
    if old.is_empty() {
        return Some("the versions were unknown before".into());
    }
    let names: BTreeSet<&str> = old.keys().chain(new.keys()).copied().collect();
    let about = |name: &&str| match (old.get(name), new.get(name)) {
        (Some(old), Some(new)) if old != new => Some(format!("{name} {old} -> {new}")),
        (None, Some(new)) => Some(format!("{name} {new} is new")),
        (Some(old), None) => Some(format!("{name} {old} is removed")),
        _ => None,
    };
    let mut found: Vec<String> = names.iter().filter_map(about).collect();
    let more = found.len().saturating_sub(NAMED);
    found.truncate(NAMED);
    if more > 0 {
        found.push(format!("and {more} more"));
    }
    Some(found.join(", "))
}

fn list(value: &str) -> Option<BTreeMap<&str, &str>> {
    value.split_whitespace().map(|word| word.split_once('/')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "ARG LINK=shared\nFROM debian AS resolve\nARG PACKAGES\nRUN resolve\n\
        FROM scratch AS packages\nCOPY --from=resolve /packages /\nFROM debian AS one-shared\n\
        RUN --mount=type=bind,from=resolve,source=/packages,target=/p install\nFROM scratch AS one-static\nFROM one-${LINK}\n";

    fn asked(arg: Option<Option<&str>>, link: &str) -> bool {
        let mut target = Target::default();
        if let Some(value) = arg {
            target.args.insert(ARG.into(), value.map(str::to_owned));
        }
        let args = [("LINK".to_owned(), link.to_owned())].into();
        let inputs = Inputs { args, ..Inputs::default() };
        is_asked_for(&target, &Dockerfile::parse(FILE.as_bytes()), &inputs)
    }

    #[test]
    fn a_target_is_asked_for_that_declares_the_argument_and_reaches_the_stage() {
        assert!(asked(Some(None), "shared"));
        assert!(asked(Some(Some("")), "shared"));
        assert!(!asked(Some(Some("2026-11-26")), "shared"), "the user's own value stays");
        assert!(!asked(None, "shared"));
        assert!(!asked(Some(None), "static"), "the stage is not built");
    }

    #[test]
    fn a_list_is_sorted_and_each_line_is_checked() {
        assert_eq!(value("b=2:1.0-1\na=1+deb13u1\nb=2:1.0-1\n").unwrap(), "a/1+deb13u1 b/2:1.0-1");
        for text in ["", "a", "a=", "=1", "a=1 b=2", "a=$(x)", "a=1\n\u{1b}[2Jb=2"] {
            assert!(value(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_value_that_an_import_brought_is_checked() {
        for (text, is_good) in
            [("", true), ("a/1 b/2:1~x+y", true), ("a=1", false), ("a/$(x)", false), ("a/1,b", false)]
        {
            assert_eq!(is_value(text), is_good, "{text}");
        }
    }

    #[test]
    fn changes_name_packages_and_both_versions() {
        assert_eq!(changes("a/1 b/2", "a/1 b/2+deb13u1").unwrap(), "b 2 -> 2+deb13u1");
        assert_eq!(changes("a/1 b/2", "b/2 c/3").unwrap(), "a 1 is removed, c 3 is new");
        assert_eq!(
            changes("a/1 b/1 c/1 d/1 e/1", "a/2 b/2 c/2 d/2 e/2").unwrap(),
            "a 1 -> 2, b 1 -> 2, c 1 -> 2, and 2 more"
        );
        assert_eq!(changes("", "a/1").unwrap(), "the versions were unknown before");
        assert_eq!(changes("monday", "tuesday"), None);
    }
}
