//! The image that the base image is based on: the pinned one if it is in the engine or a registry,
//! else one that is bootstrapped from the Debian mirror ([`bootstrap`]), with our own name and
//! never an official one.

pub(crate) mod bootstrap;
pub(crate) mod kept;
pub(crate) mod mirror;

use std::time::Duration;

use anyhow::{Result, bail};
use kept::KeptImage;
use serde::Serialize;
use sha2::{Digest, Sha256};
use xshell::cmd;

use crate::defaults::TAG;
use crate::engine::{Engine, facts};
use crate::memo::Memo;
use crate::process::query;
use crate::session::Session;
use crate::step::Step;

/// A registry that takes longer counts as missing.
const REGISTRY_LIMIT: Duration = Duration::from_secs(8);
const ENGINE_LIMIT: Duration = Duration::from_secs(20);

/// The origin of the base of the base image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BaseImage {
    /// A bootstrapped one is in the engine. It stays in use even when a registry answers again,
    /// because a switch rebuilds everything. `docker rmi durango/debian:trixie` reverts to the
    /// pinned one.
    Bootstrapped,
    /// The pinned one is in the engine.
    Local,
    /// A registry has the pinned one.
    Registry,
    /// There is none, and [`steps`] bootstrap one.
    Missing,
}

impl BaseImage {
    /// Returns the image to build on.
    pub fn reference(self, pinned: &str) -> &str {
        match self {
            Self::Bootstrapped | Self::Missing => TAG,
            Self::Local | Self::Registry => pinned,
        }
    }
}

/// A base image for the declaration's `BASE_IMAGE`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Base {
    /// The pinned name that it replaces.
    pub pinned: String,
    pub image: String,
    /// The steps that make it; empty if it exists.
    pub steps: Vec<Step>,
    /// Whether it is only in the daemon, where other drivers don't see it.
    pub local: bool,
    /// Its layout in the store for those drivers; `None` for builders that see it, and before the
    /// image is made.
    pub kept: Option<KeptImage>,
}

/// Looks for the base image: one query to the engine, and a query to the registry only if that has
/// neither image.
pub fn state(session: &Session, engine: &Engine, pinned: &str) -> Result<BaseImage> {
    look(session, engine, pinned).map(|(state, _)| state)
}

/// Returns the base image, with its id if the engine has it.
fn look(session: &Session, engine: &Engine, pinned: &str) -> Result<(BaseImage, Option<String>)> {
    let InEngine { bootstrapped, local, id } = in_engine(session, pinned)?;
    if bootstrapped {
        return Ok((BaseImage::Bootstrapped, id));
    }
    if local && engine.capabilities().sees_local_images {
        return Ok((BaseImage::Local, id));
    }
    Ok(match (registry_has(session, engine, pinned), local) {
        (true, _) => (BaseImage::Registry, None),
        (false, true) => (BaseImage::Local, id),
        (false, false) => (BaseImage::Missing, None),
    })
}

/// Returns the image for a build, with the steps that provide it.
pub(crate) fn choose(session: &Session, may_provision: bool, engine: &Engine, pinned: &str) -> Result<Base> {
    let (state, id) = look(session, engine, pinned)?;
    let steps = match state {
        BaseImage::Missing => {
            // With `--provision` the tool exists, or a dry run has shown its installation.
            if !may_provision {
                bootstrap::check_tools(session)?;
            }
            steps(session, engine, TAG)?
        }
        _ => Vec::new(),
    };
    Ok(Base { steps, ..resolved(session, engine, pinned, state, id) })
}

/// Returns the image if it exists. Does nothing to provide it.
pub(crate) fn there(session: &Session, engine: &Engine, pinned: &str) -> Result<Option<Base>> {
    let (state, id) = look(session, engine, pinned)?;
    Ok((state != BaseImage::Missing).then(|| resolved(session, engine, pinned, state, id)))
}

fn resolved(session: &Session, engine: &Engine, pinned: &str, state: BaseImage, id: Option<String>) -> Base {
    let is_seen = engine.capabilities().sees_local_images;
    Base {
        pinned: pinned.to_owned(),
        image: state.reference(pinned).to_owned(),
        steps: Vec::new(),
        local: state != BaseImage::Registry,
        kept: id.filter(|_| !is_seen).map(|id| kept::find(&session.layout, &id)),
    }
}

/// Returns the steps that bootstrap an image with any name, so that a test doesn't change the one
/// in use.
pub fn steps(session: &Session, engine: &Engine, tag: &str) -> Result<Vec<Step>> {
    bootstrap::steps(&bootstrap::BootstrapFacts::read(session, engine)?, tag)
}

/// The images in the engine.
#[derive(Debug, PartialEq, Eq)]
struct InEngine {
    bootstrapped: bool,
    local: bool,
    /// The id of the bootstrapped one if both exist.
    id: Option<String>,
}

fn in_engine(session: &Session, pinned: &str) -> Result<InEngine> {
    let sh = &session.sh;
    let command = cmd!(sh, "docker image inspect --format '{{.Id}}' {TAG} {pinned}");
    let answer = query::query(command, ENGINE_LIMIT)?;
    match found(&answer.stdout, &answer.stderr) {
        Some(found) => Ok(found),
        None => bail!(
            "failed to look for `{pinned}` in the engine: {}\nrun `docker images` for details",
            answer.stderr.trim()
        ),
    }
}

/// Parses the engine's answer: a line for each existing image and an error with the name of each
/// missing one.
fn found(stdout: &str, stderr: &str) -> Option<InEngine> {
    let ids: Vec<&str> = stdout.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let lines = ids.len();
    let complaints = stderr.lines().filter(|line| line.to_lowercase().contains("no such image")).count();
    let has_ours = !stderr.lines().any(|line| line.ends_with(&format!(": {TAG}")));
    (lines + complaints == 2).then(|| InEngine {
        bootstrapped: has_ours,
        local: lines > usize::from(has_ours),
        id: ids.first().map(|id| (*id).to_owned()),
    })
}

/// Returns whether a registry has the pinned image. A yes is cached, because the query takes a good
/// part of a second.
fn registry_has(session: &Session, engine: &Engine, pinned: &str) -> bool {
    let question = format!("{:x}", Sha256::digest(format!("{pinned} {}", engine.builder)));
    let memo = Memo::new(&session.layout, "registry", &question);
    if memo.read() == Some(true) {
        return true;
    }
    let sh = &session.sh;
    let builder: Vec<String> =
        facts::builder_name(session).into_iter().flat_map(|name| ["--builder".to_owned(), name]).collect();
    let command = cmd!(sh, "docker buildx imagetools inspect {builder...} {pinned}");
    let has = query::query(command, REGISTRY_LIMIT).is_ok_and(|answer| answer.success);
    if has {
        memo.write(&true);
    }
    has
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_answer_describes_both_images() {
        let no = |name: &str| format!("Error response from daemon: No such image: {name}\n");
        let (ours, pinned) = (no(TAG), no("debian:13-slim"));
        let has = |bootstrapped, local, id: Option<&str>| {
            Some(InEngine { bootstrapped, local, id: id.map(str::to_owned) })
        };
        assert_eq!(found("sha256:1\nsha256:2\n", ""), has(true, true, Some("sha256:1")));
        assert_eq!(found("sha256:1\n", &pinned), has(true, false, Some("sha256:1")));
        assert_eq!(found("sha256:1\n", &ours), has(false, true, Some("sha256:1")));
        assert_eq!(found("\n", &format!("{ours}{pinned}")), has(false, false, None));
        assert_eq!(found("", "Cannot connect to the Docker daemon"), None);
    }

    #[test]
    fn a_missing_image_is_used_by_its_future_name() {
        assert_eq!(BaseImage::Missing.reference("debian:13-slim"), TAG);
        assert_eq!(BaseImage::Registry.reference("debian:13-slim"), "debian:13-slim");
    }
}
