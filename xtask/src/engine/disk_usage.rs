//! The records of a builder's build cache, from `docker buildx du`: as JSON where buildx offers it
//! (since 0.28), as text elsewhere.

pub(crate) mod parse;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use xshell::{Shell, cmd};

use crate::process::query::{self, QueryOutput};

/// It takes a quarter of a second (measured); a builder that is not there may take for ever.
const QUERY_TIMEOUT: Duration = Duration::from_secs(20);

/// One record of a builder's cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its id, which `prune --filter id=` takes.
    pub id: String,
    /// When it was made, by the builder's clock.
    pub created: Option<Timestamp>,
    /// `regular`, `exec.cachemount`, `source.local` and the like.
    pub kind: String,
    /// Its size in bytes, as exact as the client's rounding.
    pub bytes: u64,
    /// Whether it may still change: a cache mount, the work of a step that runs.
    pub mutable: bool,
    /// Whether nobody is using it.
    pub reclaimable: bool,
    /// Whether it stands on another record. Of cache mounts, those do that have an owner, a mode or
    /// a source.
    pub has_parent: bool,
    /// What made it, as `cached mount /go/pkg/mod from exec ... with id "/durango-gomod"`.
    pub description: String,
}

impl Record {
    /// For a cache mount: namespace and id with a slash between them, as BuildKit knows it.
    pub fn mount_id(&self) -> Option<&str> {
        let (_, id) = self.description.strip_prefix("cached mount ")?.rsplit_once(" with id \"")?;
        id.strip_suffix('"')
    }

    /// For a cache mount: where it was mounted when it was made.
    pub fn mount_target(&self) -> Option<&str> {
        Some(self.description.strip_prefix("cached mount ")?.split_once(" from exec ")?.0)
    }
}

/// Which records are asked for. While BuildKit measures a cache mount that was written to since it
/// was asked last, a step that begins gets another, empty one in its place (moby/buildkit#883;
/// `cacheManager.DiskUsage` and `GetMutable`; measured, BuildKit 0.13: a mount of 2 GB was lost so
/// in every second build). So beside a build nothing may be asked that makes it measure one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// All, with their sizes: not beside a build of our own.
    All,
    /// Cache mounts, with their sizes: not beside a build of our own.
    Mounts,
    /// What steps have made.
    Results,
    /// What is being used; it is not measured.
    InUse,
}

impl Which {
    /// What `--filter` is given, in containerd's syntax.
    fn filter(self) -> Option<&'static str> {
        match self {
            Self::All => None,
            Self::Mounts => Some("type=exec.cachemount"),
            Self::Results => Some("type=regular"),
            // It is there, whatever its value.
            Self::InUse => Some("inuse=\"\""),
        }
    }
}

/// Asks a builder for records. An empty list means that it holds none.
///
/// # Errors
///
/// Fails where the builder does not answer, or where the answer cannot be read; the error shows how
/// the answer begins.
pub fn read(sh: &Shell, builder: &str, which: Which) -> Result<Vec<Record>> {
    read_while(sh, builder, which, &|| true).map(Option::unwrap_or_default)
}

/// The same as [`read`], given up with `None` as soon as `is_wanted` says no; it is asked again and
/// again.
pub(crate) fn read_while(
    sh: &Shell,
    builder: &str,
    which: Which,
    is_wanted: &dyn Fn() -> bool,
) -> Result<Option<Vec<Record>>> {
    // Buildx before 0.28 refuses `--format`. That is learned once a process.
    static ONLY_TEXT: AtomicBool = AtomicBool::new(false);
    let query = |format: &[&str]| -> Result<Option<QueryOutput>> {
        let filter = which.filter().into_iter().flat_map(|filter| ["--filter", filter]);
        query::start(cmd!(sh, "docker buildx --builder {builder} du {format...} {filter...}"))?
            .answer_while(QUERY_TIMEOUT, is_wanted)
    };
    if !ONLY_TEXT.load(Ordering::Relaxed) {
        let Some(answer) = query(&["--format", "json"])? else { return Ok(None) };
        if !answer.stderr.contains("unknown flag: --format") {
            return records(builder, &answer, parse::json).map(Some);
        }
        ONLY_TEXT.store(true, Ordering::Relaxed);
    }
    let Some(answer) = query(&["--verbose"])? else { return Ok(None) };
    records(builder, &answer, parse::text).map(Some)
}

fn records(
    builder: &str,
    answer: &QueryOutput,
    parse: impl Fn(&str) -> Result<Vec<Record>>,
) -> Result<Vec<Record>> {
    if !answer.success {
        bail!("failed to read the build cache of the builder `{builder}`: {}", answer.stderr.trim());
    }
    parse(&answer.stdout)
        .with_context(|| format!("failed to read the build cache of the builder `{builder}`"))
}
