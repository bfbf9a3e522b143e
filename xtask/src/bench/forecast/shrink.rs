//! A wrong forecast with as little as shows it: lines, files and arguments are left out as long as
//! it stays wrong.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::compare::compare;
use super::project::{Project, copy_context};
use super::target::Target;
use super::{Before, files};
use crate::process::signals;
use crate::process::stdio::errln;

/// The maximum number of smaller projects that are tried.
const TRIES: usize = 60;

/// A target with its context before and after an edit.
struct Pair {
    targets: [Target; 2],
    contexts: tempfile::TempDir,
}

/// Prints the smallest project that is still wrong, and keeps its files before and after the edit.
pub(super) fn print(project: &Project, before: &Before) -> Result<()> {
    let name = &before.target.name;
    let Some(after) = project.targets.iter().find(|target| target.name == *name) else { return Ok(()) };
    if after.contexts.contains_key("other") {
        errln!("{}", project.show()?);
        return Ok(());
    }
    let contexts = tempfile::Builder::new().prefix("durango-forecast-").tempdir()?;
    copy_context(&before.context.path().join("context"), &contexts.path().join("0"))?;
    copy_context(&project.context(name), &contexts.path().join("1"))?;
    let mut pair = Pair { targets: [before.target.clone(), after.clone()], contexts };
    if pair.is_wrong(project)?.is_none() {
        errln!("the edit alone shows nothing: a build before it matters");
        return Ok(());
    }
    let mut tries = 0;
    let mut index = 0;
    while tries < TRIES {
        signals::check()?;
        let Some(smaller) = pair.without(index)? else { break };
        tries += 1;
        if smaller.is_wrong(project)?.is_some() { pair = smaller } else { index += 1 }
    }
    if let Some(text) = pair.is_wrong(project)? {
        errln!("{text}\nits files, before and after the edit: {}", pair.keep(project)?.display());
    }
    Ok(())
}

impl Pair {
    /// Builds what was before, then forecasts and builds what is after; the text of the case where
    /// that is wrong.
    fn is_wrong(&self, project: &Project) -> Result<Option<String>> {
        let mut small = Project::of(&self.targets[0], &self.contexts.path().join("0"), project)?;
        small.set_apart();
        small.write()?;
        if small.xtask("build")?["result"] == "failed" {
            return Ok(None);
        }
        let mut text = format!("BEFORE\n{}", small.show()?);
        let context = small.context(&self.targets[1].name);
        fs::remove_dir_all(&context)?;
        copy_context(&self.contexts.path().join("1"), &context)?;
        small.targets[0].clone_from(&self.targets[1]);
        small.set_apart();
        small.write()?;
        let (plan, report) = (small.xtask("plan")?, small.xtask("build")?);
        let outcome = compare(&self.targets[1].name, &plan, &report);
        text += &format!("AFTER\n{}{outcome:#?}", small.show()?);
        let is_wrong = outcome.is_wrong() || !outcome.early.is_empty();
        Ok((report["result"] != "failed" && is_wrong).then_some(text))
    }

    /// Writes both projects to directories that stay.
    fn keep(&self, project: &Project) -> Result<PathBuf> {
        let kept = tempfile::Builder::new().prefix("durango-forecast-wrong-").tempdir()?.keep();
        for (side, (target, name)) in self.targets.iter().zip(["before", "after"]).enumerate() {
            let context = self.contexts.path().join(side.to_string());
            let small = Project::of(target, &context, project)?;
            small.write()?;
            copy_context(small.dir(), &kept.join(name))?;
        }
        Ok(kept)
    }

    /// The pair without its part of a number: a line of the Dockerfile, a line of the ignore file,
    /// an argument, a file.
    fn without(&self, number: usize) -> Result<Option<Self>> {
        let contexts = tempfile::Builder::new().prefix("durango-forecast-").tempdir()?;
        for side in ["0", "1"] {
            copy_context(&self.contexts.path().join(side), &contexts.path().join(side))?;
        }
        let mut smaller = Self { targets: self.targets.clone(), contexts };
        let lines: Vec<String> = self.targets[1]
            .model
            .stages
            .iter()
            .flat_map(|stage| stage.lines.iter().skip(1).cloned())
            .collect();
        let names: Vec<String> = self.targets[1].args.keys().cloned().collect();
        let all = files::list(&self.contexts.path().join("1"), false);
        let ignore = &self.targets[1].ignore;
        let mut rest = number;
        for (kind, list) in [lines.as_slice(), ignore, &names, &all].into_iter().enumerate() {
            if let Some(part) = list.get(rest) {
                smaller.targets.iter_mut().for_each(|target| remove(target, kind, part));
                for side in ["0", "1"] {
                    let path = smaller.contexts.path().join(side).join(part);
                    if kind == 3 && path.symlink_metadata().is_ok() {
                        fs::remove_file(Path::new(&path))?;
                    }
                }
                return Ok(Some(smaller));
            }
            rest -= list.len();
        }
        Ok(None)
    }
}

fn remove(target: &mut Target, kind: usize, part: &str) {
    match kind {
        0 => target.model.stages.iter_mut().for_each(|stage| stage.lines.retain(|line| line != part)),
        1 => target.ignore.retain(|line| line != part),
        2 => drop(target.args.remove(part)),
        _ => {}
    }
}
