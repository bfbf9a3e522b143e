//! A project with every kind of input that a build may have.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::super::copy::run;
use super::inputs;

use crate::process::collect::Collect;

/// The base image that the engine has.
pub(super) fn base_image() -> Result<String> {
    let dir = tempfile::Builder::new().prefix("durango-idle-").tempdir()?;
    let file = dir.path().join("compose.yaml");
    fs::write(&file, "services: {app: {build: {context: ., args: {BASE_IMAGE: 'debian:13-slim'}}}}\n")?;
    fs::write(dir.path().join("Dockerfile"), "ARG BASE_IMAGE\nFROM $BASE_IMAGE\n")?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["plan", "app", "--file"]).arg(&file).arg("--cache-dir").arg(dir.path().join("store"));
    let plan = String::from_utf8(run(command)?)?;
    let found =
        plan.split_once(".args.BASE_IMAGE=").and_then(|(_, rest)| rest.split([' ', '\'', '\n']).next());
    Ok(found.context("the plan names no base image")?.to_owned())
}

/// A project in a directory; its images go with it.
pub(super) struct Project {
    dir: tempfile::TempDir,
    /// The prefix of its images.
    pub(super) name: String,
    /// The images that its base may be.
    pub(super) bases: [String; 2],
    /// The environment of builds.
    pub(super) env: BTreeMap<&'static str, String>,
    /// Options of builds.
    pub(super) options: Vec<String>,
    /// The mask of new files.
    pub(super) umask: &'static str,
    /// How many edits were made: no two have the same content.
    pub(super) edits: usize,
}

impl Project {
    pub(super) fn new(base: &str) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("durango-idle-").tempdir()?;
        let name =
            dir.path().file_name().map_or_else(String::new, |name| name.to_string_lossy().to_lowercase());
        let project = Self {
            dir,
            bases: [base.to_owned(), format!("{name}/other-base")],
            name,
            env: BTreeMap::new(),
            options: Vec::new(),
            umask: "022",
            edits: 0,
        };
        for (file, text) in inputs::files(&project.name, &project.base(), &project.name) {
            project.write(file, &text)?;
        }
        project.write("override.yaml", "services:\n  app:\n    build:\n      args:\n        FIXED: two\n")?;
        project.write("other/Dockerfile", &format!("FROM {base}\nRUN echo {} >/other\n", project.name))?;
        std::os::unix::fs::symlink("src/a.txt", project.path("app/link"))?;
        let other = project.path("other").display().to_string();
        let tags = format!("{}/other-base", project.name);
        project.docker(&["buildx", "build", "--load", "--provenance=false", "-t", &tags, &other])?;
        project.tag_base(0)?;
        Ok(project)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.path(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        Ok(fs::write(path, text)?)
    }

    /// The name of its base image. The engine keeps the repositories that an image was ever in as
    /// one label of at most 4,096 bytes, and cannot read the image under another one beyond that.
    /// So the repository never changes, only the tag.
    pub(super) fn base(&self) -> String {
        format!("durango-idle/base:{}", self.name)
    }

    /// Gives the base another image.
    pub(super) fn tag_base(&self, which: usize) -> Result<()> {
        self.docker(&["tag", &self.bases[which], &self.base()])
    }

    pub(super) fn docker(&self, args: &[&str]) -> Result<()> {
        let mut command = Command::new("docker");
        command.args(args);
        run(command).map(drop)
    }

    /// The ids of its images; of one that is gone none.
    pub(super) fn images(&self) -> Result<Vec<String>> {
        let [app, lower] = ["app", "lower"].map(|name| format!("{}/{name}", self.name));
        let names = [app, lower, self.base()];
        let mut command = Command::new("docker");
        command.args(["image", "inspect", "--format", "{{.Id}}"]).args(names);
        // One that `--tag` has left without its name is not there.
        let output = command.collect_output()?;
        Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
    }

    /// Builds; the report, also of a build that failed.
    pub(super) fn build(&self, args: &[&str]) -> Result<Value> {
        let program = std::env::current_exe()?.display().to_string();
        let files = ["build", "app", "--json", "-v", "--file"].map(str::to_owned);
        let store = self.path("store").display().to_string();
        let words = files
            .into_iter()
            .chain([self.path("compose.yaml").display().to_string(), "--cache-dir".into(), store])
            .chain(args.iter().map(ToString::to_string))
            .chain(self.options.iter().cloned());
        let mut command = Command::new("sh");
        command.args(["-c", "umask \"$1\"; shift; exec \"$@\"", "sh", self.umask, &program]).args(words);
        command.envs(&self.env);
        command.env_remove("GITHUB_STEP_SUMMARY");
        let output = command.collect_output()?;
        let words = String::from_utf8_lossy(&output.stderr);
        let mut report: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        if report["build"].is_null() {
            bail!("the build printed no report:\n{words}");
        }
        let asked = words.lines().filter(|line| line.starts_with("BuildKit is asked"));
        report["asked"] = asked.collect::<Vec<_>>().join("; ").into();
        Ok(report)
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let names = ["app", "app:2", "lower", "lower:kept", "other-base"];
        let names = names.map(|name| format!("{}/{name}", self.name));
        for name in names.into_iter().chain([self.base()]) {
            let _ = Command::new("docker").args(["image", "rm", "--force", &name]).collect_output();
        }
    }
}
