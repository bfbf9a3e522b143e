//! A project of several targets in one declaration, so that one build tells of several edits.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::{Value, json};

use super::super::copy::run_for_json;
use super::dockerfile::{Flags, Model};
use super::files;
use crate::bench::random::Random;

/// A target and its context.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) name: String,
    pub(super) model: Model,
    /// Build arguments.
    pub(super) args: BTreeMap<String, String>,
    /// Size of `/dev/shm`, which is in the key of every RUN.
    pub(super) shm_size: Option<u32>,
    /// Lines of the ignore file.
    pub(super) ignore: Vec<String>,
    /// The Dockerfile's name; the ignore file of that name goes before the context's.
    pub(super) file: String,
    /// Whether the ignore file is the Dockerfile's own.
    pub(super) has_own_ignore: bool,
}

/// The form of the declaration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Compose,
    Hcl,
    Json,
}

/// A project in a directory with a store of its own.
pub(super) struct Project {
    dir: tempfile::TempDir,
    pub(super) form: Form,
    pub(super) targets: Vec<Target>,
}

impl Project {
    /// Makes a project of `count` targets.
    pub(super) fn new(base: &str, count: usize, flags: Flags, random: &mut Random) -> Result<Self> {
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
            let model =
                Model::new(base, &format!("{salt}-{index}"), &files::list(&context, false), flags, random);
            let given: Vec<_> =
                [("A", "one"), ("U", "0")].into_iter().filter(|_| !random.once_in(3)).collect();
            let file = random.of(&["Dockerfile", "Dockerfile", "dockerfile", "other.Dockerfile"]);
            let ignore = ["*.log", "# none"].map(str::to_owned).to_vec();
            targets.push(Target {
                name,
                model,
                args: given.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
                shm_size: None,
                ignore,
                file: file.to_owned(),
                has_own_ignore: random.once_in(3),
            });
        }
        Ok(Self { dir, form, targets })
    }

    /// A project of one target with the files of another one.
    pub(super) fn of(target: &Target, context: &Path, form: Form) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("durango-forecast-").tempdir()?;
        copy_context(context, &dir.path().join(&target.name))?;
        Ok(Self { dir, form, targets: vec![target.clone()] })
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
            fs::write(context.join(&target.file), target.model.text())?;
            let ignore = if target.has_own_ignore {
                format!("{}.dockerignore", target.file)
            } else {
                ".dockerignore".to_owned()
            };
            fs::write(context.join(ignore), target.ignore.join("\n") + "\n")?;
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
        match self.form {
            Form::Compose => self.compose(),
            Form::Hcl => self.hcl(),
            Form::Json => self.json(),
        }
    }

    fn compose(&self) -> String {
        let mut text = "services:\n".to_owned();
        for target in &self.targets {
            let name = &target.name;
            let _ = write!(
                text,
                "  {name}:\n    image: durango-forecast/{name}\n    build:\n      context: ./{name}\n"
            );
            if let Some(file) = target.declared_file() {
                let _ = writeln!(text, "      dockerfile: {file}");
            }
            if let Some(size) = target.shm_size {
                let _ = writeln!(text, "      shm_size: {size}m");
            }
            if !target.args.is_empty() {
                text += "      args:\n";
            }
            for (name, value) in &target.args {
                let _ = writeln!(text, "        {name}: {value:?}");
            }
        }
        text
    }

    fn hcl(&self) -> String {
        let mut text = String::new();
        for target in &self.targets {
            let _ = writeln!(text, "target {:?} {{\n  context = {:?}", target.name, target.name);
            if let Some(file) = target.declared_file() {
                let _ = writeln!(text, "  dockerfile = {file:?}");
            }
            if let Some(size) = target.shm_size {
                let _ = writeln!(text, "  shm-size = \"{size}m\"");
            }
            let args = target.args.iter().map(|(name, value)| format!("    {name} = {value:?}\n"));
            let _ = writeln!(text, "  args = {{\n{}  }}\n}}", args.collect::<String>());
        }
        text
    }

    fn json(&self) -> String {
        let target = |target: &Target| {
            let mut value = json!({"context": target.name, "args": target.args});
            if let Some(file) = target.declared_file() {
                value["dockerfile"] = file.into();
            }
            if let Some(size) = target.shm_size {
                value["shm-size"] = format!("{size}m").into();
            }
            (target.name.clone(), value)
        };
        let targets: serde_json::Map<String, Value> = self.targets.iter().map(target).collect();
        json!({ "target": targets }).to_string()
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

impl Target {
    /// The Dockerfile's name where the declaration has to say it.
    fn declared_file(&self) -> Option<&str> {
        Some(self.file.as_str()).filter(|file| *file != "Dockerfile" && *file != "dockerfile")
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
