//! The history of builds: `builds/<id>/` with `plan.json`, `build.log` and `outcome.json`, the newest few of them.

pub mod steps;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use jiff::Timestamp;

use crate::layout::Layout;
use crate::plan::build::Plan;
use crate::report::BuildReport;

/// How many builds are kept.
const KEEP: usize = 50;

/// A build's id: when it started and which process ran it, so that ids sort by time and two builds never share one.
pub fn new_id(now: Timestamp, process: u32) -> String {
    format!("{}-{process:x}", now.strftime("%Y%m%d-%H%M%S"))
}

/// The record of one build while it runs.
pub struct Record {
    dir: PathBuf,
    /// Tells others that it is being written.
    _held: Option<fs::File>,
}

impl Record {
    /// Opens the record and writes the plan into it; the oldest records go.
    pub fn open(layout: &Layout, plan: &Plan) -> Result<Self> {
        let dir = layout.build(&plan.build);
        fs::create_dir_all(&dir).with_context(|| {
            format!("failed to make `{}`\nname a folder that can be written with --cache-dir", dir.display())
        })?;
        fs::write(dir.join("plan.json"), serde_json::to_vec_pretty(plan)?)?;
        for old in superseded(names(&layout.builds()), KEEP) {
            let _ = fs::remove_dir_all(layout.build(&old));
        }
        Ok(Self { _held: crate::exec::lock::hold(&dir), dir })
    }

    /// Where the whole output of the build's steps goes.
    pub fn log(&self) -> PathBuf {
        self.dir.join("build.log")
    }

    /// Writes what came of it.
    pub fn close(&self, report: &BuildReport) -> Result<()> {
        Ok(fs::write(self.dir.join("outcome.json"), serde_json::to_vec_pretty(report)?)?)
    }
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// All but the newest `keep`; ids sort by time.
fn superseded(mut ids: Vec<String>, keep: usize) -> Vec<String> {
    ids.sort();
    ids.truncate(ids.len().saturating_sub(keep));
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time_and_the_oldest_go() {
        let at = |second: i64| new_id(Timestamp::from_second(second).expect("in range"), 0x1f);
        assert_eq!(at(0), "19700101-000000-1f");
        assert_eq!(superseded(vec![at(90), at(10), at(50)], 2), [at(10)]);
        assert!(superseded(vec![at(1)], 2).is_empty());
    }
}
