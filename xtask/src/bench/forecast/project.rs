//! A project of several targets in one declaration, so that one build tells of several edits.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::Value;

use super::super::copy::run_for_json;
use super::dockerfile::Model;
use super::files;
use super::frontend::{Frontend, source};
use super::target::{Form, Target, declaration};
use crate::bench::random::Random;

/// A project in a directory with a store of its own.
pub(super) struct Project {
    dir: tempfile::TempDir,
    pub(super) form: Form,
    pub(super) targets: Vec<Target>,
}

impl Project {
    /// Makes a project of `count` targets.
    pub(super) fn new(base: &str, count: usize, flags: Frontend, random: &mut Random) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("durango-forecast-").tempdir()?;
        let salt =
            dir.path().file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let form = [Form::Compose, Form::Hcl, Form::Json][random.below(3)];
        let mut targets = Vec::new();
        for index in 0..count {
            let name = format!("t{index}");
            let context = dir.path().join(&name);
            fs::create_dir_all(&context)?;
            files::create(&context, &format!("{salt}-{index}"), random)?;
            let mut contexts = BTreeMap::new();
            if random.once_in(2) {
                let extra = dir.path().join(format!("{name}-extra"));
                files::write(&extra.join("x"), &format!("x {salt}\n"))?;
                files::write(&extra.join("sub/y.txt"), &format!("y {salt}\n"))?;
                files::write(&extra.join(".dockerignore"), "*.md\n")?;
                contexts.insert("extra", format!("{name}-extra"));
            }
            if let Some(port) = flags.git.filter(|_| random.once_in(8)) {
                contexts.insert("repo", source(port, random.of(&["main", "first"])));
            }
            if index > 0 && random.once_in(4) {
                contexts.insert("other", format!("target:t{}", random.below(index)));
            }
            let known: Vec<&'static str> = contexts.keys().copied().collect();
            let files = files::list(&context, false);
            let model = Model::new(base, &format!("{salt}-{index}"), (&files, &known), flags, random);
            let given: Vec<_> =
                [("A", "one"), ("U", "0")].into_iter().filter(|_| !random.once_in(3)).collect();
            let file = random.of(&["Dockerfile", "Dockerfile", "dockerfile", "other.Dockerfile"]);
            let ignore = ["*.log", "# none"].map(str::to_owned).to_vec();
            targets.push(Target {
                name,
                model,
                args: given.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
                ignore,
                file: file.to_owned(),
                has_own_ignore: random.once_in(3),
                contexts,
                is_matrix: form == Form::Hcl && random.once_in(3),
                is_inline: form != Form::Hcl && random.once_in(6),
                ..Target::default()
            });
        }
        Ok(Self { dir, form, targets })
    }

    /// Gives a target another Dockerfile; whether there is such a target.
    pub(super) fn renew(&mut self, name: &str, base: &str, flags: Frontend, random: &mut Random) -> bool {
        let salt = format!("{}-{}", self.dir.path().display(), random.below(usize::MAX)).replace('/', "");
        let files = files::list(&self.context(name), false);
        let Some(target) = self.targets.iter_mut().find(|target| target.name == name) else { return false };
        let contexts: Vec<&'static str> = target.contexts.keys().copied().collect();
        target.model = Model::new(base, &salt, (&files, &contexts), flags, random);
        true
    }

    /// A project of one target with the files of another one, and the named context of `source`.
    pub(super) fn of(target: &Target, context: &Path, source: &Self) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("durango-forecast-").tempdir()?;
        copy_context(context, &dir.path().join(&target.name))?;
        if let Some(extra) = target.contexts.get("extra") {
            copy_context(&source.context(extra), &dir.path().join(extra))?;
        }
        Ok(Self { dir, form: source.form, targets: vec![target.clone()] })
    }

    /// Makes the first instruction of each stage another one than in all other projects, so that
    /// nothing is there yet.
    pub(super) fn set_apart(&mut self) {
        let salt =
            self.dir.path().file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        for target in &mut self.targets {
            for (index, stage) in target.model.stages.iter_mut().enumerate() {
                if let Some(first) = stage.lines.first_mut() {
                    *first = format!("WORKDIR /salt-{salt}-{index}");
                }
            }
        }
    }

    pub(super) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A target's context.
    pub(super) fn context(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes Dockerfiles, ignore files and the declaration.
    pub(super) fn write(&self) -> Result<()> {
        for target in &self.targets {
            let context = self.context(&target.name);
            for old in ["Dockerfile", "dockerfile", "other.Dockerfile"] {
                remove(&context.join(old))?;
                remove(&context.join(format!("{old}.dockerignore")))?;
            }
            remove(&context.join(".dockerignore"))?;
            if !target.is_inline {
                fs::write(context.join(&target.file), target.model.text())?;
            }
            let ignore = if target.has_own_ignore && !target.is_inline {
                format!("{}.dockerignore", target.file)
            } else {
                ".dockerignore".to_owned()
            };
            fs::write(context.join(ignore), target.ignore.join("\n") + "\n")?;
        }
        let secret = self.context("secret");
        if !secret.exists() {
            fs::write(secret, "first")?;
        }
        Ok(fs::write(self.declaration(), self.declared())?)
    }

    fn declaration(&self) -> PathBuf {
        self.dir.path().join(match self.form {
            Form::Compose => "compose.yaml",
            Form::Hcl => "docker-bake.hcl",
            Form::Json => "docker-bake.json",
        })
    }

    /// The declaration's text.
    pub(super) fn declared(&self) -> String {
        declaration(self.form, &self.targets)
    }

    /// Runs `plan` or `build`; its JSON, also of a build that failed.
    pub(super) fn xtask(&self, word: &str) -> Result<Value> {
        let mut command = std::process::Command::new(std::env::current_exe()?);
        command.arg(word).args(self.targets.iter().map(|target| &target.name));
        command.arg("--json").arg("--file").arg(self.declaration());
        command.args(["--no-save", "--progress", "quiet", "--set", "*.output=type=cacheonly", "--cache-dir"]);
        command.arg(self.dir.path().join("store"));
        run_for_json(command)
    }

    /// The project's files as text, for a person who repeats a case.
    pub(super) fn show(&self) -> Result<String> {
        let mut text = format!("{}:\n{}\n", self.declaration().display(), self.declared());
        for target in &self.targets {
            let context = self.context(&target.name);
            let _ = writeln!(text, "{}/{}:\n{}", target.name, target.file, target.model.text());
            let own = if target.has_own_ignore { &target.file } else { "" };
            let _ = writeln!(text, "{}/{own}.dockerignore:\n{}\n", target.name, target.ignore.join("\n"));
            for file in files::list(&context, false) {
                let meta = context.join(&file).symlink_metadata()?;
                let _ =
                    writeln!(text, "{}/{file}: {:?} {:?}", target.name, meta.file_type(), meta.permissions());
            }
        }
        Ok(text)
    }
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// Copies a context with its special files, modes and times.
pub(super) fn copy_context(from: &Path, to: &Path) -> Result<()> {
    let mut command = std::process::Command::new("cp");
    command.arg("-a").arg(from).arg(to);
    super::super::copy::run(command).map(drop)
}
