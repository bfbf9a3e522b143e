//! A build's options, from words to what they mean.

use std::path::PathBuf;

use anyhow::Result;

use super::allow::Right;
use super::caches::Caches;
use super::mounts::plan::MountFilter;
use crate::args::Parsed;
use crate::engine::registry;
use crate::error::usage;
use crate::project::overrides;
use crate::session::Session;
use crate::store::policy::Policy;

/// What the user asked a build to be.
#[derive(Debug, Clone, Default)]
pub struct BuildOptions {
    /// Targets or groups, as typed.
    pub targets: Vec<String>,
    /// Compose or bake files, absolute.
    pub files: Vec<PathBuf>,
    /// `--set` values for bake: the user's own, build arguments and platforms.
    pub sets: Vec<String>,
    /// `--tag`: names in place of the declared.
    pub tags: Vec<String>,
    /// `--output`.
    pub outputs: Vec<String>,
    /// `--allow`.
    pub(crate) allow: Vec<Right>,
    /// `--secret`, beside the declared ones.
    pub secrets: Vec<String>,
    /// `--app`: the application, absolute.
    pub app: Option<PathBuf>,
    /// `--provision`.
    pub provision: bool,
    /// `--dry-run`.
    pub dry_run: bool,
    /// `--locked`.
    pub locked: bool,
    /// `--no-cache`.
    pub no_cache: bool,
    /// `--fresh`: stages or steps, as typed.
    pub fresh: Vec<String>,
    /// `--mounts`: which cache mounts travel.
    pub mounts: MountFilter,
    /// `--no-save`.
    pub no_save: bool,
    /// `--push`.
    pub push: bool,
    /// What the store keeps.
    pub policy: Policy,
    /// Why nothing can be written to the store, where that is so.
    pub unsaved: Option<String>,
    /// `--cache`, else `DURANGO_CACHE`.
    pub caches: Caches,
}

impl BuildOptions {
    /// Resolves the options of a command that builds `targets`.
    pub fn new(session: &Session, parsed: &Parsed, targets: Vec<String>) -> Result<Self> {
        let host = &session.host;
        let mut sets = parsed.many("--set");
        sets.iter().try_for_each(|set| overrides::check(set))?;
        for arg in parsed.many("--build-arg") {
            sets.push(overrides::build_arg(&arg, |name| host.env.get(name).cloned())?);
        }
        for platform in parsed.many("--platform").iter().flat_map(|list| list.split(',')) {
            sets.push(format!("*.platform={}", platform_name(platform)?));
        }
        let mut files: Vec<PathBuf> = parsed.many("--file").iter().map(|file| host.absolute(file)).collect();
        if files.is_empty() {
            files.push(session.layout.compose());
        }
        let app = parsed.one("--app")?.map(|dir| host.absolute(dir));
        if let Some(dir) = app.as_ref().filter(|dir| !dir.is_dir()) {
            return Err(usage(format!("there is no folder `{}`\ncorrect --app", dir.display())));
        }
        let (outputs, push) = (parsed.many("--output"), parsed.flag("--push"));
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
            tags: parsed.many("--tag"),
            outputs,
            allow,
            secrets: parsed.many("--secret"),
            app,
            provision: parsed.flag("--provision"),
            dry_run: parsed.flag("--dry-run"),
            locked: parsed.flag("--locked"),
            no_cache: parsed.flag("--no-cache"),
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
    /// The sets that may change what is declared. Tags may not: a target that builds upon another's image knows it by its
    /// declared name.
    pub fn declaring_sets(&self) -> Vec<String> {
        self.sets.iter().filter(|set| tags_set(set).is_none()).cloned().collect()
    }

    /// The first tag that the user chose for a target; `is_main` for the one that `--tag` speaks of.
    pub fn chosen_tag(&self, name: &str, is_main: bool) -> Option<&str> {
        let by_set = |set: &&String| tags_set(set).is_some_and(|target| target == name || target == "*");
        let of_main = self.tags.first().filter(|_| is_main);
        of_main.map(String::as_str).or_else(|| Some(self.sets.iter().find(by_set)?.split_once('=')?.1))
    }
}

/// The target whose tags a `--set` sets.
fn tags_set(set: &str) -> Option<&str> {
    set.split_once('=')?.0.strip_suffix(".tags")
}

/// `OS/ARCH` or `OS/ARCH/VARIANT`.
fn platform_name(text: &str) -> Result<&str> {
    let parts: Vec<&str> = text.split('/').collect();
    let is_word = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric());
    if (2..=3).contains(&parts.len()) && parts.iter().all(is_word) {
        return Ok(text);
    }
    Err(usage(format!("`--platform {text}` is not OS/ARCH\nfor example: --platform linux/arm64")))
}
