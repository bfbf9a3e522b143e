//! The history of builds: `builds/<id>/` with `plan.json`, `build.log` and `outcome.json` for the
//! newest builds, each small ([`log`]) and redacted. [`read`] reads them.

pub(crate) mod find;
pub(crate) mod forgotten;
pub(crate) mod inputs;
pub(crate) mod killed;
pub(crate) mod log;
pub(crate) mod own_steps;
pub(crate) mod places;
pub(crate) mod read;
pub(crate) mod record_ids;
pub(crate) mod steps;

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::files::{self, Durability};
use crate::json::SCHEMA;
use crate::layout::Layout;
use crate::outcome::BuildReport;
use crate::plan::build::Plan;
use crate::project::graph::GraphStep;
use crate::redact::Redactor;
use crate::store::contents;
use crate::store::lock;
use crate::text::one_line;
use inputs::BuildInputs;
use log::Log;
use record_ids::RecordIds;
use steps::{BuildSteps, StepOutcome};

/// The maximum number of builds.
const KEEP: usize = 50;
/// The maximum total size in bytes: about forty builds of maximum size.
const ROOM: u64 = 8_000_000;
/// The maximum length of an output line in characters; the log has longer ones.
const LINE: usize = 500;

/// The record of a running build. After a failed write the record is abandoned, and the build
/// continues.
pub(crate) struct Record {
    dir: PathBuf,
    log: Log,
    redactor: Redactor,
    /// Why nothing more is written.
    problem: RefCell<Option<String>>,
    /// Marks the record as being written.
    _held: Option<fs::File>,
}

impl Record {
    /// Opens the record and writes the plan to it. Removes the oldest records.
    pub(crate) fn open(layout: &Layout, plan: &Plan, redactor: Redactor) -> Self {
        let dir = layout.build(&plan.build);
        let made = files::make_dir(&layout.builds()).and_then(|()| files::make_new_dir(&dir));
        let held = lock::hold(&dir);
        let (log, problem) = (Log::new(dir.join("build.log"), redactor.clone()), RefCell::default());
        let record = Self { dir, log, redactor, problem, _held: held };
        record.note(made);
        record.write("plan.json", plan);
        for old in superseded(sizes(&layout.builds()), KEEP, ROOM) {
            let _ = fs::remove_dir_all(layout.build(&old));
        }
        record
    }

    /// Returns why the record or its log is not complete, if it isn't.
    pub(crate) fn problem(&self) -> Option<String> {
        let own = self
            .problem
            .borrow()
            .as_ref()
            .map(|problem| format!("the record `{}` is not complete: {problem}", self.dir.display()));
        own.or_else(|| self.log.problem())
    }

    /// Returns the log for the output of the build's steps.
    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    /// Writes the inputs and outcomes of its steps.
    pub(crate) fn steps(&self, steps: &BuildSteps, graph: &[GraphStep]) {
        self.write("graph.json", &graph);
        self.write("steps.json", &BuildSteps { schema: SCHEMA, ..steps.clone() });
    }

    /// Writes what it was made of and what it made.
    pub(crate) fn inputs(&self, inputs: &BuildInputs) {
        self.write(inputs::FILE, inputs);
    }

    /// Takes over the steps of the build that it would repeat, none of which runs.
    pub(crate) fn repeats(&self, layout: &Layout, build: &str) {
        let (Some(graph), Some(steps)) = (steps::graph(layout, build), steps::of(layout, build)) else {
            return;
        };
        let outcomes = steps.steps.into_iter().map(|step| StepOutcome { ran: None, ..step });
        let id = self.dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let record_ids = RecordIds::default();
        self.steps(&BuildSteps { build: id, steps: outcomes.collect(), record_ids, ..steps }, &graph);
    }

    /// Writes the outcome.
    pub(crate) fn close(&self, report: &BuildReport) {
        let mut report = report.clone();
        let lines = report.failure.iter_mut().flat_map(|failure| &mut failure.output);
        lines.for_each(|line| *line = one_line(line, LINE));
        self.write("outcome.json", &report);
    }

    fn write(&self, name: &str, document: &impl serde::Serialize) {
        if self.problem.borrow().is_none() {
            self.note(write(&self.dir.join(name), document, &self.redactor));
        }
    }

    /// Keeps the first error.
    fn note(&self, result: io::Result<()>) {
        if let Err(error) = result {
            self.problem.borrow_mut().get_or_insert_with(|| error.to_string());
        }
    }
}

fn write(path: &Path, document: &impl serde::Serialize, redactor: &Redactor) -> io::Result<()> {
    let value = redactor.document(document).map_err(io::Error::other)?;
    files::write(path, &serde_json::to_vec(&value)?, Durability::Quick)
}

/// Returns the ids of completed builds, with the size of each record.
fn sizes(dir: &Path) -> Vec<(String, u64)> {
    let size = |path: &Path| {
        walkdir::WalkDir::new(path)
            .into_iter()
            .flatten()
            .filter_map(|e| e.metadata().ok())
            .map(|m| m.len())
            .sum()
    };
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let builds = entries.filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())));
    builds
        .filter(|(name, path)| contents::is_id(name) && !contents::is_held(path))
        .map(|(name, path)| (name, size(&path)))
        .collect()
}

/// Returns all but the newest `keep` within `room`. Ids sort by time.
fn superseded(mut builds: Vec<(String, u64)>, keep: usize, room: u64) -> Vec<String> {
    builds.sort();
    let mut left = room;
    let mut is_kept = |(index, (_, bytes)): &(usize, (String, u64))| {
        let fits = *index < keep && *bytes <= left;
        left = if fits { left - bytes } else { 0 };
        fits
    };
    let newest_first = builds.into_iter().rev().enumerate();
    newest_first.filter(|build| !is_kept(build)).map(|(_, (id, _))| id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build_id::{begun, new_id};
    use jiff::Timestamp;

    #[test]
    fn ids_sort_by_time_and_the_oldest_go() {
        let at = |second: i64| new_id(Timestamp::from_second(second).expect("in range"), 0x1f00_0000);
        assert_eq!(at(0), "19700101-000000-000001f0");
        assert_eq!(begun(&at(86_399)), Timestamp::from_second(86_399).ok());
        assert_eq!(begun("19701301-000000-1f"), None);
        let of = |seconds: &[i64], bytes: u64| seconds.iter().map(|second| (at(*second), bytes)).collect();
        assert_eq!(superseded(of(&[90, 10, 50], 1), 2, 100), [at(10)]);
        assert_eq!(superseded(of(&[90, 10, 50], 40), 9, 100), [at(10)]);
        assert_eq!(superseded(of(&[90, 10, 50], 60), 9, 100), [at(50), at(10)]);
        assert!(superseded(of(&[1], 1), 2, 100).is_empty());
    }
}
