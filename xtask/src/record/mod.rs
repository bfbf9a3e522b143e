//! The history of builds: `builds/<id>/` with `plan.json`, `build.log` and `outcome.json`, the newest few of them, each of them small
//! ([`log`]) and redacted. [`read`] gives them back.

pub mod find;
pub mod killed;
pub mod log;
pub mod read;
pub mod steps;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::json::SCHEMA;
use crate::layout::Layout;
use crate::outcome::BuildReport;
use crate::plan::build::Plan;
use crate::project::graph::GraphStep;
use crate::redact::Redactor;
use crate::store::contents;
use crate::store::lock;
use crate::text::one_line;
use log::Log;
use steps::BuildSteps;

/// How many builds are kept,
const KEEP: usize = 50;
/// and how many bytes they may take: with every one at its largest, the newest forty or so.
const ROOM: u64 = 8_000_000;
/// A longer line of output than this is for the log, in characters.
const LINE: usize = 500;

/// The record of one build while it runs.
pub struct Record {
    dir: PathBuf,
    log: Log,
    redactor: Redactor,
    /// Tells others that it is being written.
    _held: Option<fs::File>,
}

impl Record {
    /// Opens the record and writes the plan into it; the oldest records go.
    pub(crate) fn open(layout: &Layout, plan: &Plan, redactor: Redactor) -> Result<Self> {
        let dir = layout.build(&plan.build);
        fs::create_dir_all(&dir).with_context(|| {
            format!("failed to make `{}`\nname a folder that can be written with --cache-dir", dir.display())
        })?;
        let held = lock::hold(&dir);
        write(&dir.join("plan.json"), plan, &redactor)?;
        for old in superseded(sizes(&layout.builds()), KEEP, ROOM) {
            let _ = fs::remove_dir_all(layout.build(&old));
        }
        Ok(Self { log: Log::new(dir.join("build.log"), redactor.clone()), _held: held, redactor, dir })
    }

    /// Where the output of the build's steps goes.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Writes what its steps were made of and what came of them.
    pub fn steps(&self, steps: &BuildSteps, graph: &[GraphStep]) -> Result<()> {
        write(&self.dir.join("graph.json"), &graph, &self.redactor)?;
        write(&self.dir.join("steps.json"), &BuildSteps { schema: SCHEMA, ..steps.clone() }, &self.redactor)
    }

    /// Writes what came of it.
    pub fn close(&self, report: &BuildReport) -> Result<()> {
        let mut report = report.clone();
        let lines = report.failure.iter_mut().flat_map(|failure| &mut failure.output);
        lines.for_each(|line| *line = one_line(line, LINE));
        write(&self.dir.join("outcome.json"), &report, &self.redactor)
    }
}

/// Beside and then renamed: what is read is whole.
fn write(path: &Path, document: &impl serde::Serialize, redactor: &Redactor) -> Result<()> {
    let value = redactor.document(document)?;
    let beside = path.with_extension("new");
    fs::write(&beside, serde_json::to_vec(&value)?)?;
    Ok(fs::rename(beside, path)?)
}

/// The ids of builds that have ended, with what each record takes.
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

/// All but the newest `keep`, and of those what does not fit into `room`; ids sort by time.
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
        let at = |second: i64| new_id(Timestamp::from_second(second).expect("in range"), 0x1f);
        assert_eq!(at(0), "19700101-000000-1f");
        assert_eq!(begun(&at(86_399)), Timestamp::from_second(86_399).ok());
        assert_eq!(begun("19701301-000000-1f"), None);
        let of = |seconds: &[i64], bytes: u64| seconds.iter().map(|second| (at(*second), bytes)).collect();
        assert_eq!(superseded(of(&[90, 10, 50], 1), 2, 100), [at(10)]);
        assert_eq!(superseded(of(&[90, 10, 50], 40), 9, 100), [at(10)]);
        assert_eq!(superseded(of(&[90, 10, 50], 60), 9, 100), [at(50), at(10)]);
        assert!(superseded(of(&[1], 1), 2, 100).is_empty());
    }
}
