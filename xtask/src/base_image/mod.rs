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
use crate::engine::images::Image;
use crate::engine::{Engine, facts};
use crate::memo::Memo;
use crate::process::query::{self, RunningQuery};
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
    let found = BaseQuery::start(session, pinned)?.answer()?;
    Ok(look(session, engine, &found).0)
}

/// Returns the base image, with its id if the engine has it.
fn look(session: &Session, engine: &Engine, found: &InEngine) -> (BaseImage, Option<String>) {
    let id = || found.images.first().map(|image| image.id.clone());
    if found.bootstrapped {
        return (BaseImage::Bootstrapped, id());
    }
    if found.local && engine.capabilities().sees_local_images {
        return (BaseImage::Local, id());
    }
    match (registry_has(session, engine, &found.pinned), found.local) {
        (true, _) => (BaseImage::Registry, None),
        (false, true) => (BaseImage::Local, id()),
        (false, false) => (BaseImage::Missing, None),
    }
}

/// Returns the image for a build, with the steps that provide it.
pub(crate) fn choose(
    session: &Session,
    may_provision: bool,
    engine: &Engine,
    found: &InEngine,
) -> Result<Base> {
    let (state, id) = look(session, engine, found);
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
    Ok(Base { steps, ..resolved(session, engine, &found.pinned, state, id) })
}

/// Returns the image if it exists. Does nothing to provide it.
pub(crate) fn there(session: &Session, engine: &Engine, found: &InEngine) -> Option<Base> {
    let (state, id) = look(session, engine, found);
    (state != BaseImage::Missing).then(|| resolved(session, engine, &found.pinned, state, id))
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

/// The images in the engine that may be the base image: the bootstrapped one and the pinned one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct InEngine {
    pinned: String,
    bootstrapped: bool,
    local: bool,
    /// The images that exist, the bootstrapped one first.
    pub(crate) images: Vec<Image>,
}

impl InEngine {
    /// Returns whether the engine was asked for an image of this name.
    pub(crate) fn was_asked_for(&self, name: &str) -> bool {
        [TAG, self.pinned.as_str()].contains(&name)
    }
}

/// A query for these images, under way.
pub(crate) struct BaseQuery {
    pinned: String,
    running: RunningQuery,
}

impl BaseQuery {
    pub(crate) fn start(session: &Session, pinned: &str) -> Result<Self> {
        let running = Image::ask(&session.sh, &[TAG, pinned])?;
        Ok(Self { pinned: pinned.to_owned(), running })
    }

    pub(crate) fn answer(self) -> Result<InEngine> {
        let answer = self.running.answer(ENGINE_LIMIT)?;
        match found(&self.pinned, &answer.stdout, &answer.stderr) {
            Some(found) => Ok(found),
            None => bail!(
                "failed to look for `{}` in the engine: {}\nrun `docker images` for details",
                self.pinned,
                answer.stderr.trim()
            ),
        }
    }
}

/// Parses the engine's answer: a line for each existing image and an error with the name of each
/// missing one.
fn found(pinned: &str, stdout: &str, stderr: &str) -> Option<InEngine> {
    let images = Image::parse(stdout)?;
    let complaints = stderr.lines().filter(|line| line.to_lowercase().contains("no such image")).count();
    let has_ours = !stderr.lines().any(|line| line.ends_with(&format!(": {TAG}")));
    (images.len() + complaints == 2).then(|| InEngine {
        pinned: pinned.to_owned(),
        bootstrapped: has_ours,
        local: images.len() > usize::from(has_ours),
        images,
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
        let image = |id: &str| format!("{{\"id\":\"{id}\",\"tags\":[],\"layers\":[],\"config\":{{}}}}\n");
        let found = |stdout: &str, stderr: &str| {
            let found = super::found("debian:13-slim", stdout, stderr)?;
            let first = found.images.first().map(|image| image.id.clone());
            Some((found.bootstrapped, found.local, first))
        };
        let has = |bootstrapped, local, id: Option<&str>| Some((bootstrapped, local, id.map(str::to_owned)));
        assert_eq!(found(&(image("1") + &image("2")), ""), has(true, true, Some("1")));
        assert_eq!(found(&image("1"), &pinned), has(true, false, Some("1")));
        assert_eq!(found(&image("1"), &ours), has(false, true, Some("1")));
        assert_eq!(found("\n", &format!("{ours}{pinned}")), has(false, false, None));
        assert_eq!(found("", "Cannot connect to the Docker daemon"), None);
        assert_eq!(found("sha256:1\nsha256:2\n", ""), None);
    }

    #[test]
    fn a_missing_image_is_used_by_its_future_name() {
        assert_eq!(BaseImage::Missing.reference("debian:13-slim"), TAG);
        assert_eq!(BaseImage::Registry.reference("debian:13-slim"), "debian:13-slim");
    }
}
