//! Random projects and random edits: what a forecast says against what BuildKit does. Each round
//! edits every target of a project, plans and builds once, and compares step by step. The first
//! edit that goes wrong is made small and printed.

mod compare;
mod dockerfile;
mod edit;
mod files;
mod project;

mod shrink;

use anyhow::{Result, bail};
use serde_json::Value;

use super::cases::Case;
use super::random::Random;
use super::row::Unit;
use super::{Bench, Row};
use crate::process::signals;
use crate::process::stdio::errln;
use compare::{Outcome, compare};
use dockerfile::Flags;
use edit::{Edit, edit};
use project::{Project, Target, copy_context};

/// How much is tried.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ForecastOptions {
    /// As many edits at least.
    pub edits: usize,
    /// What the choices follow from.
    pub seed: u64,
}

/// Targets of a project.
const TARGETS: usize = 8;
/// Rounds of edits of one project.
const ROUNDS: usize = 12;
/// As many wrong edits are printed.
const SHOWN: usize = 10;

/// What came of all edits.
#[derive(Default)]
struct Totals {
    edits: usize,
    refused: usize,
    steps: usize,
    decided: usize,
    right: usize,
    open: usize,
    missed: usize,
    unnamed: usize,
    /// Edits after which a step ran, and those of them whose reason was forecast, and named.
    reasons: usize,
    forecast: usize,
    named: usize,
    wrong: usize,
}

impl Bench {
    /// Random edits until there are enough of them.
    pub(super) fn forecast(&self, case: &Case, options: ForecastOptions) -> Result<Vec<Row>> {
        let base = self.copy.base_image(&self.here)?;
        let flags = flags(&base)?;
        errln!("{}: {} edits, seed {}, {flags:?}", case.name, options.edits, options.seed);
        let mut totals = Totals::default();
        let mut number = options.seed;
        while totals.edits < options.edits {
            let mut random = Random::new(number);
            number = number.wrapping_add(1);
            let mut project = Project::new(&base, TARGETS, flags, &mut random)?;
            project.write()?;
            let first = project.xtask("build")?;
            if first["result"] != "built" {
                errln!("  a project that does not build: {}", first["failure"]);
                totals.refused += 1;
                if totals.refused > 20 + options.edits / 4 {
                    bail!("most random projects do not build");
                }
                continue;
            }
            for round in 0..ROUNDS {
                signals::check()?;
                totals.round(&mut project, round, flags, &mut random)?;
            }
            errln!(
                "  {} edits, {} refused: {} steps, {} of {} right, {} open, {} ran in spite of `cached`, {} named differently",
                totals.edits,
                totals.refused,
                totals.steps,
                totals.right,
                totals.decided,
                totals.open,
                totals.missed,
                totals.unnamed
            );
        }
        Ok(totals.rows(case))
    }
}

/// The flags that the engine's frontend knows: it builds a file that has them.
fn flags(base: &str) -> Result<Flags> {
    let knows = |flag: &str| -> Result<bool> {
        let mut project = Project::new(base, 1, Flags::default(), &mut Random::new(1))?;
        project.targets[0].model.stages[0].lines = vec![format!("COPY {flag} a* /x/")];
        project.targets[0].model.stages.truncate(1);
        project.write()?;
        Ok(project.xtask("build")?["result"] == "built")
    };
    Ok(Flags { exclude: knows("--exclude=x")?, parents: knows("--parents")? })
}

/// A target as it was before an edit.
struct Before {
    target: Target,
    context: tempfile::TempDir,
    edit: Edit,
}

impl Totals {
    /// Edits every target, plans, builds and compares.
    fn round(
        &mut self,
        project: &mut Project,
        round: usize,
        flags: Flags,
        random: &mut Random,
    ) -> Result<()> {
        let mut before = Vec::new();
        for index in 0..project.targets.len() {
            let context = project.context(&project.targets[index].name);
            let target = project.targets[index].clone();
            let saved = tempfile::Builder::new().prefix("durango-forecast-").tempdir()?;
            copy_context(&context, &saved.path().join("context"))?;
            let stamp = format!("{} {round}", saved.path().display());
            let edit = edit(&mut project.targets[index], &context, &stamp, flags, random)?;
            before.push(Before { target, context: saved, edit });
        }
        project.write()?;
        let (plan, report) = (project.xtask("plan")?, project.xtask("build")?);
        if report["result"] == "failed" {
            return self.take_back(project, &before, &report);
        }
        for before in &before {
            let outcome = compare(&before.target.name, &plan, &report);
            self.add(&outcome, &before.edit);
            if outcome.is_wrong() {
                self.wrong += 1;
                if self.wrong <= SHOWN {
                    errln!("wrong: {} ({})\n{outcome:#?}", before.target.name, before.edit.what);
                    shrink::print(project, before)?;
                }
            }
        }
        Ok(())
    }

    /// Takes the edits of a round back that BuildKit refused: of the target that failed, else all.
    fn take_back(&mut self, project: &mut Project, before: &[Before], report: &Value) -> Result<()> {
        self.refused += before.len();
        let failed = report["failure"]["target"].as_str();
        let is_known = before.iter().any(|one| Some(one.target.name.as_str()) == failed);
        for before in before.iter().filter(|one| !is_known || Some(one.target.name.as_str()) == failed) {
            let context = project.context(&before.target.name);
            std::fs::remove_dir_all(&context)?;
            copy_context(&before.context.path().join("context"), &context)?;
            if let Some(target) = project.targets.iter_mut().find(|one| one.name == before.target.name) {
                target.clone_from(&before.target);
            }
        }
        project.write()?;
        // What ran meanwhile is there for the next round.
        project.xtask("build").map(drop)
    }

    fn add(&mut self, outcome: &Outcome, edit: &Edit) {
        self.edits += 1;
        self.steps += outcome.steps;
        self.decided += outcome.decided;
        self.right += outcome.right;
        self.open += outcome.open;
        self.missed += outcome.missed.len();
        self.unnamed += outcome.unnamed.len();
        for step in &outcome.early {
            errln!("  forecast to run, but cached after {}: {}", edit.what, step.replace('\n', "\\n"));
        }
        if let Some((plan, report)) = &outcome.reasons {
            let is_one = |text: &String| edit.reasons.iter().any(|kind| text.split(' ').next() == Some(kind));
            self.reasons += 1;
            self.forecast += usize::from(is_one(plan));
            self.named += usize::from(is_one(report));
            if !is_one(plan) || !is_one(report) {
                errln!("  reason after {}: plan `{plan}`, build `{report}`", edit.what);
            }
        }
    }

    fn rows(&self, case: &Case) -> Vec<Row> {
        #[expect(clippy::cast_precision_loss, reason = "some ten thousand steps")]
        let row = |name: &str, against: &str, part: usize, whole: usize, limit: f64| {
            Row::ratio(&format!("{}: {name}", case.name), against, part as f64, whole.max(1) as f64, limit)
                .unit(Unit::Count)
        };
        vec![
            row("ran in spite of `cached`", "steps", self.missed, self.steps, 0.0),
            row("wrong", "steps decided", self.decided - self.right, self.decided, 0.01),
            row("if changed", "all steps", self.open, self.steps, 0.1),
            row("reasons not forecast", "edits", self.reasons - self.forecast, self.reasons, 0.03),
            row("reasons not named", "edits", self.reasons - self.named, self.reasons, 0.03),
            row("named differently", "steps", self.unnamed, self.steps, 0.0),
        ]
    }
}
