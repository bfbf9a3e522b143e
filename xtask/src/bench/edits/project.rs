//! The edited project, in a separate directory with its own store.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context, Result};
use serde_json::Value;
use xshell::{Shell, cmd};

use super::table::{Change, Edit};
use crate::bench::copy::run;
use crate::engine::disk_usage::{self, Which};
use crate::process::collect::Collect;

const FILES: &[(&str, &str)] = &[
    ("one.Dockerfile", include_str!("one.Dockerfile")),
    ("two.Dockerfile", include_str!("two.Dockerfile")),
    ("three.Dockerfile", include_str!("three.Dockerfile")),
    (".dockerignore", "*.log\nstore\n.git\n"),
    ("one/go.mod", "m\n"),
    ("one/go.sum", "s\n"),
    ("one/src/a.txt", "a\n"),
    ("one/src/b.txt", "b\n"),
    ("one/docs/a.md", "some words\n"),
    ("one/docs/b.md", "words\n"),
    ("one/app.ini", "x=1\n"),
    ("two/trigger", "t\n"),
    ("two/bound/x", "x\n"),
    ("two/linked", "l @SALT@\n"),
    ("assets/logo", "l\n"),
    ("ignored.log", "l\n"),
];

pub(super) struct Project {
    dir: tempfile::TempDir,
    /// The prefix of its images' names, which separates its steps from other runs.
    name: String,
    base: String,
}

impl Project {
    pub(super) fn new(base: &str) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("durango-bench-").tempdir()?;
        let name =
            dir.path().file_name().map_or_else(String::new, |name| name.to_string_lossy().to_lowercase());
        let project = Self { dir, name, base: base.to_owned() };
        for (file, text) in FILES {
            project.write(file, text)?;
        }
        project.write("compose.yaml", &project.compose())?;
        project.other_base()?;
        Ok(project)
    }

    fn compose(&self) -> String {
        let (name, base) = (&self.name, &self.base);
        let service = |target: &str, more: &str| {
            format!(
                "  {target}:\n    image: {name}/{target}\n    build:\n      context: .\n      dockerfile: {target}.Dockerfile\n      args:\n        \
                 BASE_IMAGE: {base}\n        OTHER_IMAGE: {name}/other:1\n        SALT: {name}\n{more}"
            )
        };
        let contexts = format!(
            "      additional_contexts:\n        library: docker-image://{name}/one\n        assets: assets\n"
        );
        format!("services:\n{}{}{}", service("one", ""), service("two", ""), service("three", &contexts))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap_or(self.dir.path()))?;
        Ok(fs::write(path, text.replace("@SALT@", &self.name))?)
    }

    pub(super) fn edit(&self, edit: &Edit) -> Result<()> {
        edit.changes.iter().try_for_each(|change| match change {
            Change::Write(file, text) => self.write(file, text),
            Change::Replace(file, from, to) => {
                let text = fs::read_to_string(self.path(file))?;
                self.write(file, &text.replacen(from, to, 1))
            }
            Change::Remove(file) => Ok(fs::remove_file(self.path(file))?),
            Change::Mode(file, mode) => {
                Ok(fs::set_permissions(self.path(file), fs::Permissions::from_mode(*mode))?)
            }
            Change::Touch(file) => Ok(fs::File::open(self.path(file))?.set_modified(SystemTime::UNIX_EPOCH)?),
            Change::OtherBase => self.other_base(),
            Change::Drop(text) => self.lose(text),
        })
    }

    /// Creates an image of the daemon that is different each time.
    fn other_base(&self) -> Result<()> {
        let stamp = format!("{:?}", SystemTime::now());
        self.write("other/stamp", &stamp)?;
        self.write("other/Dockerfile", &format!("FROM {}\nCOPY stamp /stamp\n", self.base))?;
        let mut command = Command::new("docker");
        command.args([
            "buildx",
            "build",
            "--quiet",
            "--load",
            "-t",
            &format!("{}/other:1", self.name),
            "other",
        ]);
        command.env("BUILDX_NO_DEFAULT_ATTESTATIONS", "1").current_dir(self.dir.path());
        run(command).map(drop)
    }

    /// Removes only this project's results from the builder: no other build has their commands
    /// during the benchmark.
    fn lose(&self, text: &str) -> Result<()> {
        let sh = Shell::new()?;
        let builder = "default";
        for record in disk_usage::read(&sh, builder, Which::Results)? {
            if record.description.contains(text) && record.kind == "regular" {
                let filter = format!("id={}", record.id);
                cmd!(sh, "docker buildx --builder {builder} prune --force --filter {filter}")
                    .quiet()
                    .ignore_stdout()
                    .run()?;
            }
        }
        Ok(())
    }

    /// Returns the forecast of `plan` for an edit.
    pub(super) fn plan(&self, edit: &Edit) -> Result<Value> {
        self.xtask("plan", edit)
    }

    /// Builds and returns the report.
    pub(super) fn build(&self, edit: &Edit) -> Result<Value> {
        self.xtask("build", edit)
    }

    fn xtask(&self, word: &str, edit: &Edit) -> Result<Value> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([word, "one", "two", "three", "--json", "--file"]).arg(self.path("compose.yaml"));
        command
            .args(["--no-save", "--progress", "quiet", "--cache-dir"])
            .arg(self.path("store"))
            .args(edit.args);
        let output = run(command)?;
        serde_json::from_slice(&output).with_context(|| format!("failed to read the JSON of `{word}`"))
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let images = ["one", "two", "three", "other:1"].map(|image| format!("{}/{image}", self.name));
        let _ = Command::new("docker").args(["image", "rm", "--force"]).args(images).collect_output();
    }
}
