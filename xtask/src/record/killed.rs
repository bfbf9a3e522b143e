//! Reconstructs a build that was killed before its outcome was written: the targets from its plan,
//! the steps from its log.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use jiff::Timestamp;
use serde::Deserialize;

use crate::build_id::begun;
use crate::files;
use crate::json::SCHEMA;
use crate::outcome::{BuildReport, BuildResult, CacheReport, StepReport, TargetReport};
use crate::plan::mounts::dockerfile::is_own_stage;
use crate::progress::step_name::{StepName, step_name};
use crate::text::round;
use crate::text::{one_line, without_mount_flags};

/// The relevant part of a plan.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Plan {
    targets: Vec<Target>,
    warnings: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Target {
    name: String,
    image: Option<String>,
}

/// Returns the report of the build in this directory.
pub(crate) fn report(dir: &Path, id: &str) -> BuildReport {
    let plan: Plan = files::read(&dir.join("plan.json"))
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok())
        .unwrap_or_default();
    let log = dir.join("build.log");
    let last = fs::metadata(&log).and_then(|meta| meta.modified()).ok();
    let last = last.and_then(|time| Timestamp::try_from(time).ok());
    let seconds =
        begun(id).zip(last).map_or(0.0, |(begun, last)| last.duration_since(begun).as_secs_f64().max(0.0));
    let names: Vec<String> = plan.targets.iter().map(|target| target.name.clone()).collect();
    let (steps, running) = steps(&files::read_text(&log).unwrap_or_default(), &names);
    let mut warnings = plan.warnings;
    warnings.push("the build was killed: this outcome is from its plan and its log".into());
    warnings.extend(running.iter().map(|step| format!("running when it was killed: {step}")));
    let target = |target: Target| TargetReport { name: target.name, image: target.image, digest: None };
    BuildReport {
        schema: SCHEMA,
        build: id.to_owned(),
        result: BuildResult::Interrupted,
        bake_called: true,
        same_as: None,
        seconds: round(seconds),
        record_seconds: 0.0,
        targets: plan.targets.into_iter().map(target).collect(),
        steps,
        cache: CacheReport::default(),
        failure: None,
        warnings,
    }
}

/// Returns steps that ended, and the names of those that had started.
pub(crate) fn steps(log: &str, targets: &[String]) -> (Vec<StepReport>, Vec<String>) {
    let mut steps: Vec<StepReport> = Vec::new();
    let mut running: BTreeMap<&str, StepName> = BTreeMap::new();
    let is_step = |label: &StepName| !label.instruction.starts_with("FROM ") && !is_own_stage(&label.stage);
    let known = |name: &str| step_name(name, targets).filter(is_step);
    for line in log.lines() {
        let Some((name, (cached, seconds))) = ended(line) else {
            // A line of output begins with its step's place, as the step's own name does.
            if let Some(label) = known(line).filter(|_| !running.contains_key(place(line))) {
                running.insert(place(line), label);
            }
            continue;
        };
        running.remove(place(name));
        let Some(label) = known(name) else { continue };
        let target = label.target.or_else(|| targets.first().cloned()).unwrap_or_default();
        let (stage, instruction, number) = (label.stage, label.instruction, label.number);
        let is_same = |step: &StepReport| {
            (&step.target, &step.stage, &step.instruction, step.number)
                == (&target, &stage, &instruction, number)
        };
        // A later call finds cached what an earlier one ran.
        if !steps.iter().any(is_same) {
            let (started, needs, cause) = (None, Vec::new(), None);
            steps.push(StepReport {
                target,
                stage,
                instruction,
                number,
                cached,
                seconds,
                started,
                needs,
                cause,
            });
        }
    }
    let name = |label: &StepName| {
        format!("{}: {}", label.stage, one_line(&without_mount_flags(&label.instruction), 100))
    };
    (steps, running.values().map(name).collect())
}

/// Returns `[php 2/3`, which two steps of a call never share.
fn place(line: &str) -> &str {
    line.split(']').next().unwrap_or_default()
}

/// Parses the end of a step, `NAME -- cached` or `NAME -- 9.9 s`.
fn ended(line: &str) -> Option<(&str, (bool, f64))> {
    let (name, how) = line.rsplit_once(" -- ")?;
    if how == "cached" {
        return Some((name, (true, 0.0)));
    }
    let (seconds, _) = how.split_once(" s").filter(|(_, rest)| rest.is_empty() || rest.starts_with(' '))?;
    Some((name, (false, seconds.parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_tells_what_ended_and_what_ran() {
        let log = "[internal] load build definition from x\n[internal] load build definition from x -- 0.1 s\n\
            [lib 1/2] FROM x -- cached\n[lib 2/2] RUN a -- b\n[lib 2/2] made 2 s\n[lib 2/2] RUN a -- b -- 1.5 s\n\
            [2/3] COPY a b -- cached\n[2/3] COPY a b -- 2.0 s\n[3/3] RUN make\n[3/3] half\n[durango-0 2/2] RUN tar\n";
        let (steps, running) = steps(log, &["app".to_owned()]);
        let seen: Vec<_> = steps
            .iter()
            .map(|step| (step.stage.as_str(), step.instruction.as_str(), step.cached, step.seconds))
            .collect();
        assert_eq!(seen, [("lib", "RUN a -- b", false, 1.5), ("stage-0", "COPY a b", true, 0.0)]);
        assert_eq!(running, ["stage-0: RUN make"]);
    }

    #[test]
    fn an_empty_directory_is_an_unknown_build() {
        let dir = tempfile::tempdir().expect("a directory");
        let report = report(dir.path(), "20261125-074743-1fc");
        assert_eq!((report.result, report.steps.len(), report.seconds), (BuildResult::Interrupted, 0, 0.0));
    }
}
