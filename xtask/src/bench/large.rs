//! A context of many files: the time of `plan` at first and later, and the additional time of a
//! build for reasons and the record.

use std::fs;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::Value;

use super::cases::{Case, Kind};
use super::copy::run;
use super::{Bench, Row};
use crate::process::collect::Collect;
use crate::process::stdio::errln;

const DOCKERFILE: &str = "ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nCOPY src /src\nRUN ls /src | wc -l >/count\n";
/// The number of files in one directory.
const PER_DIRECTORY: usize = 100;
/// The number of measurements of warm runs. The shortest counts.
const TIMES: usize = 5;

struct Project {
    dir: tempfile::TempDir,
    name: String,
}

impl Bench<'_> {
    /// Returns three rows.
    pub(super) fn large(&self, case: &Case) -> Result<Vec<Row>> {
        let Kind::Large(files) = case.kind else { return Ok(Vec::new()) };
        errln!("{}", case.name);
        let project = Project::new(files, &self.copy.base_image(&self.here)?)?;
        let (cold, _) = project.xtask("plan", &["--json"])?;
        let shortest = |times: Vec<f64>| times.into_iter().fold(f64::INFINITY, f64::min);
        let warm =
            (0..TIMES).map(|_| Ok(project.xtask("plan", &["--json"])?.0)).collect::<Result<Vec<f64>>>()?;
        project.build()?;
        let builds = (0..TIMES).map(|_| project.build()).collect::<Result<Vec<Value>>>()?;
        let seconds = |report: &Value, field: &str| report[field].as_f64().unwrap_or(f64::NAN);
        let recording = shortest(builds.iter().map(|report| seconds(report, "record_seconds")).collect());
        let build = shortest(builds.iter().map(|report| seconds(report, "seconds")).collect());
        let name = |what: &str| format!("{}: {what}", case.name);
        Ok(vec![
            Row::ratio(&name("plan, cold"), "2 s", cold, 2.0, case.limit),
            Row::ratio(&name("plan, warm"), "0.5 s", shortest(warm), 0.5, case.limit),
            Row::ratio(&name("recording"), "1 % and 0.1 s", recording, 0.1 + 0.01 * build, case.limit),
        ])
    }
}

impl Project {
    fn new(files: usize, base: &str) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("durango-bench-").tempdir()?;
        let name =
            dir.path().file_name().map_or_else(String::new, |name| name.to_string_lossy().to_lowercase());
        for number in 0..files / PER_DIRECTORY {
            let path = dir.path().join(format!("src/{number}"));
            fs::create_dir_all(&path)?;
            for file in 0..PER_DIRECTORY {
                fs::write(
                    path.join(format!("{file}.php")),
                    format!("<?php // {number} {file}\n").repeat(40),
                )?;
            }
        }
        fs::write(dir.path().join("Dockerfile"), DOCKERFILE)?;
        let compose = format!(
            "services:\n  app:\n    image: {name}/app\n    build:\n      context: .\n      args: {{BASE_IMAGE: '{base}'}}\n"
        );
        fs::write(dir.path().join("compose.yaml"), compose)?;
        Ok(Self { dir, name })
    }

    fn build(&self) -> Result<Value> {
        serde_json::from_slice(&self.xtask("build", &["--json", "--no-save", "--progress", "quiet"])?.1)
            .context("failed to read the build's JSON")
    }

    /// Returns the seconds and the output.
    fn xtask(&self, word: &str, args: &[&str]) -> Result<(f64, Vec<u8>)> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([word, "app", "--file"]).arg(self.dir.path().join("compose.yaml")).args(args);
        command.arg("--cache-dir").arg(self.dir.path().join("store"));
        let started = Instant::now();
        let output = run(command)?;
        Ok((started.elapsed().as_secs_f64(), output))
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let image = format!("{}/app", self.name);
        let _ = Command::new("docker").args(["image", "rm", "--force", &image]).collect_output();
    }
}
