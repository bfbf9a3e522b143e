//! A context with many ignored files, of which exceptions bring some back: what an unchanged build
//! takes, against the same build without those files.

use std::fs;
use std::process::Command;
use std::time::Instant;

use anyhow::Result;

use super::cases::{Case, Kind};
use super::copy::run;
use super::{Bench, Row};
use crate::process::stdio::errln;

/// Files of one directory.
const DIRECTORY: usize = 100;
/// How often each build is timed; the shortest counts.
const TIMES: usize = 5;
const IGNORE: &str =
    "*.log\nvendor\nnode_modules\n!vendor/7/3.php\n!vendor/12/composer\n!node_modules/keep\n";

struct Project {
    dir: tempfile::TempDir,
}

impl Bench<'_> {
    /// One row.
    pub(super) fn ignored(&self, case: &Case) -> Result<Vec<Row>> {
        let Kind::Ignored(files) = case.kind else { return Ok(Vec::new()) };
        errln!("{}", case.name);
        let base = self.copy.base_image(&self.here)?;
        let (with, without) = (Project::new(files, &base)?, Project::new(0, &base)?);
        let (mut long, mut short) = (f64::INFINITY, f64::INFINITY);
        with.build()?;
        without.build()?;
        for _ in 0..TIMES {
            long = long.min(with.build()?);
            short = short.min(without.build()?);
        }
        Ok(vec![Row::ratio(case.name, "the same without them", long, short, case.limit)])
    }
}

impl Project {
    fn new(files: usize, base: &str) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("durango-bench-").tempdir()?;
        for directory in 0..files / DIRECTORY {
            let room = if directory % 2 == 0 { "vendor" } else { "node_modules" };
            let path = dir.path().join(room).join(directory.to_string());
            fs::create_dir_all(&path)?;
            for file in 0..DIRECTORY {
                fs::write(path.join(format!("{file}.php")), "x")?;
            }
        }
        let text = format!("FROM {base}\nCOPY . /src\nRUN ls -R /src >/list\n");
        fs::write(dir.path().join("Dockerfile"), text)?;
        fs::write(dir.path().join(".dockerignore"), IGNORE)?;
        fs::write(dir.path().join("compose.yaml"), "services:\n  app:\n    build: .\n")?;
        Ok(Self { dir })
    }

    /// Seconds.
    fn build(&self) -> Result<f64> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([
            "build",
            "app",
            "--no-save",
            "--progress",
            "quiet",
            "--set",
            "*.output=type=cacheonly",
        ]);
        command.arg("--file").arg(self.dir.path().join("compose.yaml"));
        command.arg("--cache-dir").arg(self.dir.path().join("store"));
        let started = Instant::now();
        run(command)?;
        Ok(started.elapsed().as_secs_f64())
    }
}
