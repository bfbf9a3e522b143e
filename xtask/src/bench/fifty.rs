//! Many builds of small images with an edit before each, with a budget of a third of their results:
//! the size of the store after each, and the maximum at any time.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;
use walkdir::WalkDir;

use super::cases::{Case, Kind};
use super::copy::run;
use super::row::{Unit, seconds};
use super::{Bench, Row};
use crate::process::stdio::errln;
use crate::text::size::show;

/// The number of services, which take turns: three generations of each exceed the budget.
const IMAGES: usize = 10;
/// The incompressible bytes that each build adds.
const NOISE: u64 = 4 << 20;

/// A project of small images with its own store.
struct Project {
    dir: tempfile::TempDir,
    name: String,
    budget: u64,
}

impl Bench<'_> {
    /// Builds, and prints the size after each.
    pub(super) fn many(&self, case: &Case) -> Result<Vec<Row>> {
        let Kind::Many(builds) = case.kind else { return Ok(Vec::new()) };
        let project = Project::new(builds)?;
        errln!("{}: {builds} builds under a budget of {}", case.name, show(project.budget));
        let started = Instant::now();
        let (peak, over) = (AtomicU64::new(0), AtomicBool::new(false));
        let built = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    peak.fetch_max(size(&project.store()), Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(10));
                }
            });
            let built = (0..builds).try_for_each(|build| project.step(build));
            over.store(true, Ordering::Relaxed);
            built
        });
        built?;
        project.xtask(&["cache", "verify"])?;
        #[expect(clippy::cast_precision_loss, reason = "sizes far below 2^53")]
        let (peak, budget) = (peak.into_inner() as f64 / 1e6, project.budget as f64 / 1e6);
        errln!("  at most {peak:.1} of {budget:.1} MB at any time; the store is sound");
        errln!("  in {}", seconds(started.elapsed().as_secs_f64()));
        Ok(vec![Row::ratio(case.name, "the budget", peak, budget, case.limit).unit(Unit::Megabytes)])
    }
}

impl Project {
    fn new(builds: usize) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("durango-bench-").tempdir()?;
        let name =
            dir.path().file_name().map_or_else(String::new, |name| name.to_string_lossy().to_lowercase());
        let service = |image: usize| {
            format!(
                "  s{image}:\n    image: {name}/s{image}\n    build: {{context: ., dockerfile: {image}.Dockerfile}}\n"
            )
        };
        let services: String = (0..IMAGES).map(service).collect();
        fs::write(dir.path().join("compose.yaml"), format!("services:\n{services}"))?;
        (0..IMAGES).try_for_each(|image| {
            fs::write(dir.path().join(format!("{image}.Dockerfile")), "FROM scratch\n")
        })?;
        let budget = builds as u64 * NOISE / 3;
        Ok(Self { dir, name, budget })
    }

    fn store(&self) -> std::path::PathBuf {
        self.dir.path().join("store")
    }

    /// Edits one image's Dockerfile and the file that it copies, and builds it.
    fn step(&self, build: usize) -> Result<()> {
        let image = build % IMAGES;
        let noise = File::open("/dev/urandom").context("failed to open `/dev/urandom`")?;
        let mut file = File::create(self.dir.path().join(format!("noise-{image}")))?;
        io::copy(&mut noise.take(NOISE), &mut file)?;
        let text = format!("FROM scratch\n# {build}\nCOPY noise-{image} /noise\n");
        fs::write(self.dir.path().join(format!("{image}.Dockerfile")), text)?;
        let compose = self.dir.path().join("compose.yaml").display().to_string();
        let target = format!("s{image}");
        let output = self.xtask(&["build", &target, "--json", "--progress", "quiet", "--file", &compose])?;
        let report: Value = serde_json::from_slice(&output).context("failed to read the build's JSON")?;
        let saved = report["cache"]["saved"].as_str();
        // A store that saves nothing any more stays small, too.
        let saved =
            saved.with_context(|| format!("build {} was not saved: {}", build + 1, report["warnings"]))?;
        errln!("  {:>2} {target}: {:>8}, saved {saved}", build + 1, show(size(&self.store())));
        Ok(())
    }

    fn xtask(&self, args: &[&str]) -> Result<Vec<u8>> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(args).arg("--cache-dir").arg(self.store()).current_dir(self.dir.path());
        command.env("DURANGO_CACHE_BUDGET", self.budget.to_string());
        run(command)
    }
}

/// Returns the size of a directory and counts a hard-linked file once. Independent of the store's
/// own code, so that a wrong count shows.
pub(super) fn size(dir: &Path) -> u64 {
    let files = WalkDir::new(dir).into_iter().flatten().filter_map(|entry| entry.metadata().ok());
    let files = files.filter(fs::Metadata::is_file).map(|meta| (meta.ino(), meta.len()));
    files.collect::<BTreeMap<_, _>>().values().sum()
}

/// Removes the images of the project.
impl Drop for Project {
    fn drop(&mut self) {
        let mut command = Command::new("docker");
        command.args(["image", "rm", "--force"]);
        command.args((0..IMAGES).map(|image| format!("{}/s{image}", self.name)));
        let _ = run(command);
    }
}
