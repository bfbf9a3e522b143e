//! Resolves the options of a build.

use std::path::PathBuf;

use anyhow::Result;

use super::caches::Caches;
use super::mounts::plan::MountFilter;
use super::right::Right;
use crate::args::Parsed;
use crate::engine::registry;
use crate::error::usage;
use crate::project::{image_reference, overrides, typed_paths};
use crate::session::Session;
use crate::store::policy::Policy;

/// The resolved options of a build.
#[derive(Debug, Clone, Default)]
pub(crate) struct BuildOptions {
    /// Targets or groups, as typed.
    pub targets: Vec<String>,
    /// Compose or bake files, absolute.
    pub files: Vec<PathBuf>,
    /// `--set` values for bake: the user's own, build arguments and platforms.
    pub sets: Vec<String>,
    /// `--tag`: names that replace the declared ones.
    pub tags: Vec<String>,
    pub outputs: Vec<String>,
    pub(crate) allow: Vec<Right>,
    /// `--secret`, in addition to the declared ones.
    pub secrets: Vec<String>,
    /// `--app`: the application, absolute.
    pub app: Option<PathBuf>,
    pub provision: bool,
    pub dry_run: bool,
    pub locked: bool,
    pub no_cache: bool,
    /// `--check`: BuildKit is asked in any case.
    pub(crate) check: bool,
    /// `--fresh`: stages or steps, as typed.
    pub fresh: Vec<String>,
    /// `--mounts`: the cache mounts to save and restore.
    pub mounts: MountFilter,
    pub no_save: bool,
    pub push: bool,
    /// The limits of the store.
    pub policy: Policy,
    /// Why the store is not writable, if so.
    pub unsaved: Option<String>,
    /// `--cache`, else `DURANGO_CACHE`.
    pub caches: Caches,
}

impl BuildOptions {
    /// Resolves the options of a command that builds `targets`.
    pub(crate) fn new(session: &Session, parsed: &Parsed, targets: Vec<String>) -> Result<Self> {
        let host = &session.host;
        let mut sets = parsed.many("--set");
        sets.iter().try_for_each(|set| overrides::check(set))?;
        sets.iter_mut().for_each(|set| *set = typed_paths::set(set, &host.cwd));
        for arg in parsed.many("--build-arg") {
            sets.push(overrides::build_arg(&arg, |name| host.env.get(name).cloned())?);
        }
        for platform in parsed.many("--platform").iter().flat_map(|list| list.split(',')) {
            sets.push(format!("*.platform={}", platform_name(platform)?));
        }
        if parsed.many("--file").iter().any(|file| file == "-") {
            return Err(usage(
                "`--file -` is not supported: a build reads its declaration several times\nwrite it to a file",
            ));
        }
        let mut files: Vec<PathBuf> = parsed.many("--file").iter().map(|file| host.absolute(file)).collect();
        if files.is_empty() {
            files = session.layout.declaration(host)?;
        }
        let tags = parsed.many("--tag");
        tags.iter().try_for_each(|tag| check_tag("--tag ", tag, tag))?;
        for set in sets.iter().filter(|set| tags_set(set).is_some()) {
            let (_, tag) = set.split_once('=').unwrap_or_default();
            // Without a value it removes the declared tags.
            if !tag.is_empty() {
                check_tag("--set ", set, tag)?;
            }
        }
        let app = parsed.one("--app")?.map(|dir| host.absolute(dir));
        if let Some(dir) = app.as_ref().filter(|dir| !dir.is_dir()) {
            return Err(usage(format!("directory `{}` not found\ncorrect --app", dir.display())));
        }
        let (outputs, push) = (outputs(session, parsed, &sets)?, parsed.flag("--push"));
        if push && !outputs.is_empty() {
            return Err(usage(
                "`--push` and `--output` exclude each other\nuse --output type=image,push=true,...",
            ));
        }
        registry::check_timeout(host)?;
        let mut allow = Vec::new();
        for right in parsed.many("--allow") {
            allow.extend(Right::parse(&right, host)?);
        }
        let mounts = parsed.one("--mounts")?.or_else(|| host.var("DURANGO_MOUNTS").map(str::to_owned));
        Ok(Self {
            targets,
            files,
            sets,
            tags,
            outputs,
            allow,
            secrets: parsed
                .many("--secret")
                .iter()
                .map(|spec| typed_paths::secret(spec, &host.cwd))
                .collect(),
            app,
            provision: parsed.flag("--provision"),
            dry_run: parsed.flag("--dry-run"),
            locked: parsed.flag("--locked"),
            no_cache: parsed.flag("--no-cache"),
            check: parsed.flag("--check"),
            fresh: parsed.many("--fresh"),
            mounts: MountFilter::parse(mounts.as_deref().unwrap_or("all"))?,
            no_save: parsed.flag("--no-save"),
            push,
            policy: Policy::of(host)?,
            unsaved: None,
            caches: Caches::parse(&parsed.many("--cache"), host.var("DURANGO_CACHE"))?,
        })
    }
}

impl BuildOptions {
    /// Returns whether the build writes an archive to stdout.
    pub(crate) fn writes_stdout(&self) -> bool {
        writes_stdout(&self.outputs, &self.sets)
    }

    /// Returns the sets that may change the declaration. Tags may not: a target based on another's
    /// image refers to it by its declared name.
    pub(crate) fn declaring_sets(&self) -> Vec<String> {
        self.sets.iter().filter(|set| tags_set(set).is_none()).cloned().collect()
    }

    /// Returns the first tag that the user chose for a target. `is_main` marks the target of
    /// `--tag`.
    pub(crate) fn chosen_tag(&self, name: &str, is_main: bool) -> Option<&str> {
        let by_set = |set: &&String| tags_set(set).is_some_and(|target| target == name || target == "*");
        let of_main = self.tags.first().filter(|_| is_main);
        of_main.map(String::as_str).or_else(|| Some(self.sets.iter().find(by_set)?.split_once('=')?.1))
    }
}

/// Returns `--output` with absolute paths.
fn outputs(session: &Session, parsed: &Parsed, sets: &[String]) -> Result<Vec<String>> {
    let cwd = &session.host.cwd;
    let outputs: Vec<String> =
        parsed.many("--output").iter().map(|spec| typed_paths::output(spec, cwd)).collect();
    if writes_stdout(&outputs, sets) {
        if session.globals.json {
            return Err(usage("`--json` and an archive both write to stdout\nadd `dest=FILE` to the output"));
        }
        if session.host.stdout_is_terminal {
            return Err(usage(
                "an archive cannot be written to a terminal\nredirect stdout, or add `dest=FILE`",
            ));
        }
    }
    Ok(outputs)
}

fn writes_stdout(outputs: &[String], sets: &[String]) -> bool {
    let by_set = |set: &String| {
        set.split_once('=')
            .is_some_and(|(key, spec)| key.ends_with(".output") && typed_paths::is_stdout(spec))
    };
    outputs.iter().any(|spec| typed_paths::is_stdout(spec)) || sets.iter().any(by_set)
}

/// Checks a name that an option gives an image.
fn check_tag(option: &str, value: &str, tag: &str) -> Result<()> {
    let wrong =
        |fault| usage(format!("`{option}{value}`: the image name {fault}\ncorrect it: REPOSITORY[:TAG]"));
    image_reference::check_tag(tag).map_err(wrong)
}

/// Returns the target whose tags a `--set` sets.
fn tags_set(set: &str) -> Option<&str> {
    set.split_once('=')?.0.strip_suffix(".tags")
}

/// Checks `OS/ARCH` or `OS/ARCH/VARIANT`.
fn platform_name(text: &str) -> Result<&str> {
    let parts: Vec<&str> = text.split('/').collect();
    let is_word = |part: &&str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
    };
    if (2..=3).contains(&parts.len()) && parts.iter().all(is_word) {
        return Ok(text);
    }
    Err(usage(format!("`--platform {text}` is not OS/ARCH\nfor example: --platform linux/arm64")))
}
