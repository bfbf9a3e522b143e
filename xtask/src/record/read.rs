//! Reads recorded builds. Later and earlier versions than the writer read a record: unknown fields
//! are ignored, missing ones have defaults, and an unreadable record is reported as such.

use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde_json::Value;

use super::killed;
use crate::build_id::begun;
use crate::files;
use crate::json::SCHEMA;
use crate::layout::Layout;
use crate::outcome::BuildReport;
use crate::store::contents;
use crate::store::entry::subdirectories;

/// The maximum size of an outcome in bytes.
const LARGEST: u64 = 4 << 20;

/// One build.
#[derive(Debug, Clone)]
pub(crate) struct Past {
    pub id: String,
    pub dir: PathBuf,
    /// The start time.
    pub begun: Option<Timestamp>,
    pub state: RecordState,
}

/// The state of a recorded build.
#[derive(Debug, Clone)]
pub(crate) enum RecordState {
    /// The build has ended. A killed one is reconstructed from its plan and its log.
    Ended(Box<BuildReport>),
    /// The build is still running.
    Running,
    /// Its outcome cannot be read, with the reason.
    Unreadable(String),
}

impl Past {
    /// Returns the report, if it ended and can be read.
    pub(crate) fn report(&self) -> Option<&BuildReport> {
        match &self.state {
            RecordState::Ended(report) => Some(report),
            RecordState::Running | RecordState::Unreadable(_) => None,
        }
    }

    /// Returns the path of its log.
    pub(crate) fn log(&self) -> PathBuf {
        self.dir.join("build.log")
    }
}

/// Returns every recorded build, the oldest first.
pub(crate) fn all(layout: &Layout) -> Vec<Past> {
    let mut builds: Vec<Past> = subdirectories(&layout.builds()).into_iter().filter_map(one).collect();
    builds.sort_by(|a, b| a.id.cmp(&b.id));
    builds
}

/// Returns the build of a record's directory.
fn one(dir: PathBuf) -> Option<Past> {
    let id = dir.file_name()?.to_str().filter(|name| contents::is_id(name))?.to_owned();
    let state = match outcome(&dir) {
        Some(state) => state,
        None if contents::is_held(&dir) => RecordState::Running,
        // The build may have ended since: it writes its outcome before it releases its directory.
        None => outcome(&dir).unwrap_or_else(|| RecordState::Ended(Box::new(killed::report(&dir, &id)))),
    };
    Some(Past { begun: begun(&id), id, dir, state })
}

/// Returns `None` if there is none.
fn outcome(dir: &Path) -> Option<RecordState> {
    let path = dir.join("outcome.json");
    let meta = fs::metadata(&path).ok()?;
    let text = if meta.len() > LARGEST {
        Err("it is too large".to_owned())
    } else {
        files::read(&path).map_err(|e| e.to_string())
    };
    Some(match text.and_then(|text| parse(&text)) {
        Ok(report) => RecordState::Ended(Box::new(report)),
        Err(why) => RecordState::Unreadable(why),
    })
}

pub(crate) fn parse(text: &[u8]) -> Result<BuildReport, String> {
    let value: Value = serde_json::from_slice(text).map_err(|error| format!("it is not JSON: {error}"))?;
    match value["schema"].as_u64() {
        Some(schema) if schema > u64::from(SCHEMA) => {
            Err(format!("a newer version wrote it (schema {schema}, this version supports {SCHEMA})"))
        }
        _ => serde_json::from_value(value).map_err(|error| error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::BuildResult;

    #[test]
    fn older_and_newer_records_are_read_and_others_are_errors() {
        let older = br#"{"schema":1,"build":"a","result":"built","seconds":1.5,"steps":[{"target":"app","stage":"s",
            "instruction":"RUN x","cached":false,"seconds":1.0,"cause":null}],"cache":{"mounts":[{"id":"m"}]}}"#;
        let report = parse(older).expect("older");
        assert_eq!(
            (report.result, report.steps[0].started, report.cache.mounts[0].bytes),
            (BuildResult::Built, None, 0)
        );
        let newer = br#"{"schema":1,"build":"a","result":"cached","seconds":1,"steps":[{"target":"app","stage":"s","colour":1,
            "instruction":"RUN x","cached":false,"seconds":1.0,"cause":{"kind":"moon","detail":"full"}}],"more":[{}]}"#;
        assert_eq!(parse(newer).expect("newer").steps.len(), 1);
        for (text, why) in [
            ("{\"schema\":2}", "newer version wrote it (schema 2"),
            ("{", "not JSON"),
            ("{}", "missing field"),
            (r#"{"schema":1,"build":"a","result":"won","seconds":1}"#, "unknown variant `won`"),
        ] {
            let error = parse(text.as_bytes()).expect_err(text);
            assert!(error.contains(why), "{error}");
        }
    }
}
