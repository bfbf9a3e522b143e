//! The benchmark: builds a copy of the images cold, with cache mounts of its own, edits the copy and builds again. Nothing of
//! the user's is edited, and no number is kept: all ratios are of one run on one machine.

mod cases;
pub mod machine;

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde::Serialize;
use walkdir::WalkDir;

use crate::cli::Session;
use crate::exec::signals;
use crate::layout::Layout;
use crate::report::text::seconds;
pub use cases::CASES;
use cases::{BASE, Case, Edit, RUNTIME};

/// How often the runs that take under a second are repeated; the median counts.
const REPEATS: usize = 7;

/// One line of the result.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// The case.
    pub name: String,
    /// What it is compared with.
    pub against: String,
    /// How long it took, in seconds, to the image.
    pub seconds: f64,
    /// How long it took with the save of its layers.
    pub with_save: f64,
    /// How long the other took.
    pub reference: f64,
    /// The ratio of the two.
    pub ratio: f64,
    /// What it may be.
    pub limit: f64,
    /// Whether it is.
    pub within: bool,
}

/// A copy of the images and a store, both thrown away at the end.
pub struct Bench<'a> {
    session: &'a Session,
    dir: tempfile::TempDir,
}

impl<'a> Bench<'a> {
    /// Copies what is built from; cache mounts and images of the copy have names of their own.
    pub fn new(session: &'a Session) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("durango-bench-").tempdir()?;
        for room in Layout::image_rooms() {
            copy(&session.layout.root.join(room), &dir.path().join(room))
                .with_context(|| format!("failed to copy `{room}`"))?;
        }
        let id =
            dir.path().file_name().map_or_else(String::new, |name| name.to_string_lossy().to_lowercase());
        for file in WalkDir::new(dir.path()).into_iter().flatten().filter(|file| file.file_type().is_file()) {
            let Ok(text) = fs::read_to_string(file.path()) else { continue };
            let own = text
                .replace("id=durango-", &format!("id={id}-"))
                .replace("durango/frankenphp", &format!("{id}/frankenphp"));
            if own != text {
                fs::write(file.path(), own)?;
            }
        }
        Ok(Self { session, dir })
    }

    /// Runs the named cases, or all.
    pub fn run(&self, names: &[String]) -> Result<Vec<Row>> {
        eprintln!("cold build: no layers, empty cache mounts, nothing saved before");
        let cold = self.xtask(BASE, &["--no-cache"])?;
        eprintln!("  {} (and {} to save its layers)", seconds(cold.build), seconds(cold.total - cold.build));
        let mut rows = Vec::new();
        let mut primed = false;
        for case in CASES.iter().filter(|case| names.is_empty() || names.iter().any(|name| name == case.name))
        {
            if case.target == RUNTIME && !primed {
                self.xtask(RUNTIME, &[])?;
                primed = true;
            }
            eprintln!("{}", case.name);
            rows.push(self.case(case, cold.build)?);
        }
        Ok(rows)
    }

    fn case(&self, case: &Case, cold: f64) -> Result<Row> {
        if matches!(case.edit, Edit::None) {
            return self.unchanged(case);
        }
        let arg = match case.edit {
            Edit::Append(file, text) => {
                let path = self.dir.path().join(file);
                let content = fs::read_to_string(&path)?;
                fs::write(&path, content + text)?;
                None
            }
            Edit::Arg(arg) => Some(arg),
            Edit::None => None,
        };
        let args: Vec<&str> = arg.iter().flat_map(|arg| ["--build-arg", arg]).collect();
        let time = self.xtask(case.target, &args)?;
        let ratio = time.build / cold;
        Ok(Row {
            name: case.name.into(),
            against: "cold".into(),
            seconds: time.build,
            with_save: time.total,
            reference: cold,
            ratio,
            limit: case.limit,
            within: ratio <= case.limit,
        })
    }

    /// Alternately, so that a noisy neighbour hits both.
    fn unchanged(&self, case: &Case) -> Result<Row> {
        self.bake()?;
        self.xtask(case.target, &[])?;
        let (mut ours, mut plain) = (Vec::new(), Vec::new());
        for _ in 0..REPEATS {
            plain.push(self.bake()?);
            ours.push(self.xtask(case.target, &[])?.total);
        }
        let (ours, plain) = (median(ours), median(plain));
        Ok(Row {
            name: case.name.into(),
            against: "docker buildx bake".into(),
            seconds: ours,
            with_save: ours,
            reference: plain,
            ratio: ours / plain,
            limit: case.limit,
            within: ours <= (plain * case.limit).max(plain + 0.15),
        })
    }

    fn compose(&self) -> PathBuf {
        self.dir.path().join("builder/compose.yaml")
    }

    /// A build by `cargo xtask`, as users call it.
    fn xtask(&self, target: &str, args: &[&str]) -> Result<Time> {
        let mut command = Command::new("cargo");
        command
            .args(["xtask", "build", target, "--json", "--progress", "quiet", "--file"])
            .arg(self.compose());
        command.arg("--cache-dir").arg(self.dir.path().join("store")).args(args);
        command.current_dir(&self.session.layout.root);
        let started = Instant::now();
        let output = run(command)?;
        let total = started.elapsed().as_secs_f64();
        let report: serde_json::Value =
            serde_json::from_slice(&output).context("failed to read the build's JSON")?;
        let saving = report["cache"]["save_seconds"].as_f64().unwrap_or(0.0);
        Ok(Time { build: total - saving, total })
    }

    /// The same without us, and without attestations, which xtask leaves out too.
    fn bake(&self) -> Result<f64> {
        let base = self.base_image()?;
        let mut command = Command::new("docker");
        command.args(["buildx", "bake", "--progress", "quiet", "-f"]).arg(self.compose()).arg(BASE);
        command
            .env("BUILDX_NO_DEFAULT_ATTESTATIONS", "1")
            .env("BASE_IMAGE", base)
            .current_dir(self.dir.path().join("builder"));
        let started = Instant::now();
        run(command)?;
        Ok(started.elapsed().as_secs_f64())
    }

    /// The base image that xtask chose for the copy.
    fn base_image(&self) -> Result<String> {
        let mut command = Command::new("cargo");
        command
            .args(["xtask", "plan", BASE, "--file"])
            .arg(self.compose())
            .current_dir(&self.session.layout.root);
        let plan = String::from_utf8(run(command)?)?;
        let found =
            plan.split_once(".args.BASE_IMAGE=").and_then(|(_, rest)| rest.split([' ', '\'', '\n']).next());
        Ok(found.context("the plan names no base image")?.to_owned())
    }
}

/// Copies a folder; links stay links (`builder/builder` is one to its own folder).
fn copy(from: &Path, to: &Path) -> Result<()> {
    for entry in WalkDir::new(from) {
        let entry = entry?;
        let target = to.join(entry.path().strip_prefix(from)?);
        if entry.file_type().is_dir() {
            fs::create_dir_all(target)?;
        } else if entry.path_is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(entry.path())?, target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// What names the copy's images and cache mounts.
fn id(dir: &Path) -> String {
    dir.file_name().map_or_else(String::new, |name| name.to_string_lossy().to_lowercase())
}

/// The copy's images go with it; its cache mounts stay until the builder's own limit takes them.
impl Drop for Bench<'_> {
    fn drop(&mut self) {
        let id = id(self.dir.path());
        let images = ["frankenphp", "frankenphp-base"].map(|name| format!("{id}/{name}:latest"));
        let _ = Command::new("docker").args(["image", "rm", "--force"]).args(images).output();
    }
}

struct Time {
    build: f64,
    total: f64,
}

fn run(mut command: Command) -> Result<Vec<u8>> {
    signals::check()?;
    let output = command.stdin(Stdio::null()).output().context("failed to start a build")?;
    if !output.status.success() {
        bail!("a build of the benchmark failed:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(output.stdout)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// The rows as text.
pub fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<12} {:>9} {:>10} {:>10}  {:>7} {:>7}\n",
        "case", "time", "with save", "reference", "ratio", "limit"
    );
    for row in rows {
        let verdict = if row.within { "ok" } else { "OVER" };
        let _ = writeln!(
            text,
            "{:<12} {:>9} {:>10} {:>10}  {:>7.3} {:>7.3}  {verdict} (of {})",
            row.name,
            seconds(row.seconds),
            seconds(row.with_save),
            seconds(row.reference),
            row.ratio,
            row.limit,
            row.against
        );
    }
    text
}
