//! Random projects and random edits: what a forecast says against what BuildKit does. Each round
//! edits every target of a project, plans and builds once, and compares step by step. The first
//! edit that goes wrong is made small and printed.

mod bases;
mod compare;
mod dockerfile;
mod edit;
mod files;
mod frontend;
mod instruction;
mod mounts;
mod project;
mod remote;
mod repository;
mod server;
mod shrink;
mod target;
mod totals;

use std::time::Instant;

use anyhow::{Result, bail};
use serde_json::Value;

use super::cases::Case;
use super::{Bench, Row};
use crate::bench::random::Random;
use crate::process::signals;
use crate::process::stdio::errln;
use bases::Bases;
use compare::compare;
use edit::{Edit, edit};
use frontend::Frontend;
use project::{Project, copy_context};
use repository::Repository;
use server::Server;
use target::Target;
use totals::Totals;

/// How much is tried.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ForecastOptions {
    /// The minimum number of edits.
    pub edits: usize,
    /// No new project is begun after so many minutes.
    pub minutes: Option<u64>,
    /// The seed of the random choices.
    pub seed: u64,
}

/// Targets of a project.
const TARGETS: usize = 16;
/// Rounds of edits of one project.
const ROUNDS: usize = 12;
/// The maximum number of wrong edits that are printed.
const SHOWN: usize = 10;
/// As often a round is built again without the edits that BuildKit refuses.
const RETRIES: usize = 6;

/// Servers and images that change without an edit of a project.
struct Remotes<'a> {
    server: Server,
    git: Option<Repository>,
    bases: &'a Bases,
}

impl Bench<'_> {
    /// Random edits until there are enough of them.
    pub(super) fn forecast(&self, case: &Case, options: ForecastOptions) -> Result<Vec<Row>> {
        let bases = Bases::new(self.copy.base_image(&self.here)?)?;
        let base = bases.first.as_str();
        let (server, git) = (Server::start()?, Repository::start()?);
        let flags = Frontend::of(base, &server, git.as_ref())?;
        let remotes = Remotes { server, git, bases: &bases };
        let edits = (options.edits < usize::MAX).then(|| format!("{} edits", options.edits));
        let minutes = options.minutes.map(|minutes| format!("{minutes} min"));
        let limit = edits.into_iter().chain(minutes).collect::<Vec<_>>().join(" or ");
        errln!("{}: {limit}, seed {}, {flags:?}", case.name, options.seed);
        // A limited time is for errors: other surprises are not made small.
        let mut totals = Totals::default();
        totals.shrinks_all = options.minutes.is_none();
        let mut number = options.seed;
        let begun = Instant::now();
        let is_over = || options.minutes.is_some_and(|limit| begun.elapsed().as_secs() >= limit * 60);
        // At least one round is compared, however slow the machine is.
        while totals.edits < options.edits && (totals.edits == 0 || !is_over()) {
            errln!("  seed {number}");
            let mut random = Random::new(number);
            number = number.wrapping_add(1);
            let mut project = Project::new(base, TARGETS, flags, &mut random)?;
            if !totals.is_built(&mut project, base, flags, &mut random)? {
                if totals.refused > 20 + options.edits.min(2000) / 4 {
                    bail!("most random projects do not build");
                }
                continue;
            }
            for round in 0..ROUNDS {
                signals::check()?;
                if round > 0 && is_over() {
                    break;
                }
                totals.round(&mut project, (round, &remotes), flags, &mut random)?;
            }
            errln!("  {}", totals.line());
        }
        totals.tell_open();
        Ok(totals.rows(case))
    }
}

/// The target that a failed build names: in its message, or in front of the step.
fn failed(report: &Value) -> Option<&str> {
    let text = |field: &str| report["failure"][field].as_str().unwrap_or_default();
    let named = text("message").strip_prefix("target ").and_then(|rest| Some(rest.split_once(':')?.0));
    named.or_else(|| text("step").strip_prefix('[')?.split(' ').next())
}

/// A target as it was before an edit.
struct Before {
    target: Target,
    context: tempfile::TempDir,
    edit: Edit,
}

impl Totals {
    /// Builds a new project; a target that BuildKit refuses is made again.
    fn is_built(
        &mut self,
        project: &mut Project,
        base: &str,
        flags: Frontend,
        random: &mut Random,
    ) -> Result<bool> {
        for _ in 0..TARGETS {
            project.write()?;
            let report = project.xtask("build")?;
            if report["result"] != "failed" {
                return Ok(true);
            }
            self.refused += 1;
            if !project.renew(failed(&report).unwrap_or_default(), base, flags, random) {
                errln!("  a project that does not build: {}", report["failure"]["message"]);
                return Ok(false);
            }
        }
        Ok(false)
    }

    /// Edits every target, plans, builds and compares. What BuildKit refuses is taken back, and the
    /// others are planned and built again after the build that failed.
    fn round(
        &mut self,
        project: &mut Project,
        (round, remotes): (usize, &Remotes<'_>),
        flags: Frontend,
        random: &mut Random,
    ) -> Result<()> {
        if random.once_in(3) {
            remotes.server.change();
        }
        if let Some(git) = remotes.git.as_ref().filter(|_| random.once_in(4)) {
            git.commit(&format!("{round} {}", random.below(usize::MAX)))?;
        }
        let mut before = Vec::new();
        for index in 0..project.targets.len() {
            let context = project.context(&project.targets[index].name);
            let target = project.targets[index].clone();
            let saved = tempfile::Builder::new().prefix("durango-forecast-").tempdir()?;
            copy_context(&context, &saved.path().join("context"))?;
            let stamp = format!("{} {round}", saved.path().display());
            let edit = edit(&mut project.targets[index], &context, &stamp, (remotes.bases, flags), random)?;
            before.push(Before { target, context: saved, edit });
        }
        for _ in 0..RETRIES {
            project.write()?;
            let (plan, report) = (project.xtask("plan")?, project.xtask("build")?);
            if report["result"] != "failed" {
                return self.compared(project, &before, &plan, &report);
            }
            self.take_back(project, &mut before, &report)?;
        }
        errln!("  a round that does not build");
        Ok(())
    }

    fn compared(&mut self, project: &Project, before: &[Before], plan: &Value, report: &Value) -> Result<()> {
        for before in before {
            let outcome = compare(&before.target.name, plan, report);
            self.add(&outcome, &before.edit);
            let is_early = self.shrinks_all && !outcome.early.is_empty();
            if outcome.is_wrong() || is_early {
                self.wrong += 1;
                // An early step must not hide an error.
                if outcome.is_wrong() || self.wrong <= SHOWN {
                    errln!("wrong: {} ({})\n{outcome:#?}", before.target.name, before.edit.what);
                    shrink::print(project, before)?;
                }
            }
        }
        Ok(())
    }

    /// Reverts the edits of a round that BuildKit refused: of the target that failed, else all.
    fn take_back(&mut self, project: &mut Project, before: &mut Vec<Before>, report: &Value) -> Result<()> {
        let failed = failed(report);
        let is_known = before.iter().any(|one| Some(one.target.name.as_str()) == failed);
        let is_refused = |one: &Before| !is_known || Some(one.target.name.as_str()) == failed;
        for before in before.iter().filter(|one| is_refused(one)) {
            let context = project.context(&before.target.name);
            std::fs::remove_dir_all(&context)?;
            copy_context(&before.context.path().join("context"), &context)?;
            if let Some(target) = project.targets.iter_mut().find(|one| one.name == before.target.name) {
                target.clone_from(&before.target);
            }
            self.refused += 1;
        }
        before.retain(|one| !is_refused(one));
        Ok(())
    }
}
