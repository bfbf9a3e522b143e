//! A copy of the images with separate names, and its builds with xtask and with plain buildx, on
//! any engine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use walkdir::WalkDir;

use super::cases::{BASE, Edit};
use crate::layout::Layout;
use crate::process::collect::Collect;
use crate::process::signals;

/// The name of the image that plain bake builds.
const PLAIN: &str = "plain";

/// A machine: an engine and its store.
pub(super) struct Home {
    /// The variables that direct commands to it; none for the user's own engine.
    pub env: Vec<(&'static str, String)>,
    pub store: PathBuf,
}

/// The time of a build in seconds.
#[derive(Clone, Copy)]
pub(super) struct Time {
    /// Until the image exists.
    pub build: f64,
    /// With its saves.
    pub total: f64,
}

/// The copy. Its images are removed on drop. Its cache mounts stay until the builder's own limit
/// removes them.
pub(super) struct Copy {
    root: PathBuf,
    dir: tempfile::TempDir,
    id: String,
}

impl Copy {
    /// Copies the sources of the images. Cache mounts and images of the copy have separate names.
    pub(super) fn new(root: &Path) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("durango-bench-").tempdir()?;
        for room in Layout::image_rooms() {
            copy(&root.join(room), &dir.path().join(room))
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
        Ok(Self { root: root.to_path_buf(), dir, id })
    }

    /// Returns a file of the copy's directory.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Returns its declaration.
    pub(super) fn compose(&self) -> PathBuf {
        self.path("builder/compose.yaml")
    }

    /// Makes an edit and returns its command-line arguments.
    pub(super) fn edit(&self, edit: Edit) -> Result<Vec<&'static str>> {
        match edit {
            Edit::Append(file, text) => {
                let path = self.path(file);
                let content = fs::read_to_string(&path)?;
                fs::write(&path, content + text)?;
                Ok(Vec::new())
            }
            Edit::Arg(arg) => Ok(vec!["--build-arg", arg]),
            Edit::None => Ok(Vec::new()),
            Edit::Checked => Ok(vec!["--check"]),
        }
    }

    /// Builds after an edit, which is reverted in any case.
    pub(super) fn edited<T>(&self, edit: Edit, build: impl FnOnce(&[&str]) -> Result<T>) -> Result<T> {
        let args = self.edit(edit)?;
        let built = build(&args);
        self.undo(edit)?;
        built
    }

    /// Reverts an edit.
    fn undo(&self, edit: Edit) -> Result<()> {
        if let Edit::Append(file, text) = edit {
            let path = self.path(file);
            let content = fs::read_to_string(&path)?;
            fs::write(&path, content.strip_suffix(text).unwrap_or(&content))?;
        }
        Ok(())
    }

    /// Builds with `cargo xtask`, as users do.
    pub(super) fn xtask(&self, home: &Home, target: &str, args: &[&str]) -> Result<Time> {
        let mut all = vec!["build", target, "--json", "--progress", "quiet"];
        let compose = self.compose().display().to_string();
        all.extend(["--file", &compose]);
        let rights = self.rights();
        all.extend(rights.iter().flat_map(|right| ["--allow", right.as_str()]));
        all.extend(args);
        let started = Instant::now();
        let output = self.command(home, &all)?;
        let total = started.elapsed().as_secs_f64();
        let report: serde_json::Value =
            serde_json::from_slice(&output).context("failed to read the build's JSON")?;
        let saving = report["cache"]["save_seconds"].as_f64().unwrap_or(0.0);
        Ok(Time { build: total - saving, total })
    }

    /// Returns `cargo xtask` with these arguments on that machine.
    pub(super) fn command(&self, home: &Home, args: &[&str]) -> Result<Vec<u8>> {
        let mut command = Command::new("cargo");
        command.arg("xtask").args(args).arg("--cache-dir").arg(&home.store).current_dir(&self.root);
        run(on(home, command))
    }

    /// Returns the rights that the copy's declaration needs, because it is not the project's own.
    fn rights(&self) -> Vec<String> {
        let bundle = std::env::var("SSL_CERT_FILE").ok();
        let all = [Some(self.dir.path().display().to_string()), bundle];
        all.into_iter().flatten().map(|path| format!("fs.read={path}")).collect()
    }

    /// Returns the base image that xtask chose for the copy.
    pub(super) fn base_image(&self, home: &Home) -> Result<String> {
        let compose = self.compose().display().to_string();
        let mut args = vec!["plan", BASE, "--file", &compose];
        let rights = self.rights();
        args.extend(rights.iter().flat_map(|right| ["--allow", right.as_str()]));
        let plan = String::from_utf8(self.command(home, &args)?)?;
        let found =
            plan.split_once(".args.BASE_IMAGE=").and_then(|(_, rest)| rest.split([' ', '\'', '\n']).next());
        Ok(found.context("the plan names no base image")?.to_owned())
    }

    /// Builds without xtask, and without attestations, which xtask leaves out too. The image has a
    /// tag of its own: in place of xtask's image it would give xtask's next build something to do.
    /// Returns seconds.
    pub(super) fn bake(&self, home: &Home, base: &str, sets: &[&str]) -> Result<f64> {
        let mut command = Command::new("docker");
        command.args(["buildx", "bake", "--progress", "quiet", "-f"]).arg(self.compose()).arg(BASE);
        command.args(["--set", &format!("{BASE}.tags={}/{PLAIN}", self.id)]);
        command.args(sets.iter().flat_map(|set| ["--set", set]));
        command
            .env("BUILDX_NO_DEFAULT_ATTESTATIONS", "1")
            // Since 0.20, bake asks before it reads files outside its directory.
            .env("BUILDX_BAKE_ENTITLEMENTS_FS", "0")
            .env("BASE_IMAGE", base)
            .env("DURANGO_CA_BUNDLE", std::env::var("SSL_CERT_FILE").unwrap_or_else(|_| "/dev/null".into()))
            .current_dir(self.path("builder"));
        let started = Instant::now();
        run(on(home, command))?;
        Ok(started.elapsed().as_secs_f64())
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let images =
            ["frankenphp", "frankenphp-base", PLAIN].map(|name| format!("{}/{name}:latest", self.id));
        let _ = Command::new("docker").args(["image", "rm", "--force"]).args(images).collect_output();
    }
}

pub(super) fn on(home: &Home, mut command: Command) -> Command {
    if !home.env.is_empty() {
        command.envs(home.env.iter().cloned()).env_remove("DOCKER_CONTEXT");
    }
    command
}

/// Runs a command to its end and returns its stdout.
pub(super) fn run(mut command: Command) -> Result<Vec<u8>> {
    signals::check()?;
    // Builds of a benchmark don't belong in the summary of a CI job.
    command.env_remove("GITHUB_STEP_SUMMARY");
    let output = command.collect_output().context("failed to start a build")?;
    signals::check_child(output.status)?;
    if !output.status.success() {
        bail!("a build of the benchmark failed:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(output.stdout)
}

/// Runs an xtask command to its end and returns its JSON, even of a failed build.
pub(super) fn run_for_json(mut command: Command) -> Result<serde_json::Value> {
    signals::check()?;
    command.env_remove("GITHUB_STEP_SUMMARY");
    let output = command.collect_output().context("failed to start xtask")?;
    serde_json::from_slice(&output.stdout).with_context(|| {
        format!("failed to read the JSON of `{command:?}`:\n{}", String::from_utf8_lossy(&output.stderr))
    })
}

/// Runs a command to its end and returns the peak memory of its own process in MB.
pub(super) fn peak_memory(mut command: Command) -> Result<f64> {
    command.env_remove("GITHUB_STEP_SUMMARY");
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let mut peak = 0;
    let status = loop {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let high = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = high.and_then(|text| text.trim().trim_end_matches(" kB").parse::<u64>().ok());
        peak = peak.max(kib.unwrap_or(0));
        if let Some(status) = child.try_wait()? {
            break status;
        }
        signals::check()?;
        std::thread::sleep(Duration::from_millis(20));
    };
    if !status.success() {
        bail!("`{command:?}` failed ({status})");
    }
    Ok(peak as f64 / 1024.0)
}

/// Copies a directory and keeps links (`builder/builder` is a link to its own directory).
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
