//! The records of a builder's build cache, from `docker buildx du`: as JSON if buildx supports it
//! (since 0.28), otherwise as text.

pub(crate) mod parse;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use xshell::{Shell, cmd};

use crate::process::query::{self, QueryOutput};

/// An answer takes a quarter of a second (measured). A missing builder may never answer.
const QUERY_TIMEOUT: Duration = Duration::from_secs(20);

/// One record of a builder's cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its id, for `prune --filter id=`.
    pub id: String,
    /// Its creation time, by the builder's clock.
    pub created: Option<Timestamp>,
    /// `regular`, `exec.cachemount`, `source.local` and others.
    pub kind: String,
    /// Its size in bytes, with the client's rounding.
    pub bytes: u64,
    /// Whether it may still change: a cache mount, or the result of a running step.
    pub mutable: bool,
    /// Whether it is not in use.
    pub reclaimable: bool,
    /// Whether it has a parent record, as cache mounts with an owner, a mode or a source do.
    pub has_parent: bool,
    /// Its origin, such as `cached mount /go/pkg/mod from exec ... with id "/durango-gomod"`.
    pub description: String,
}

impl Record {
    /// Returns the identity of a cache mount in BuildKit: namespace and id, separated by a slash.
    pub fn mount_id(&self) -> Option<&str> {
        let (_, id) = self.description.strip_prefix("cached mount ")?.rsplit_once(" with id \"")?;
        id.strip_suffix('"')
    }

    /// Returns the target of a cache mount when it was created.
    pub fn mount_target(&self) -> Option<&str> {
        Some(self.description.strip_prefix("cached mount ")?.split_once(" from exec ")?.0)
    }
}

/// The requested records. While BuildKit measures a cache mount that was written since the last
/// query, a step that begins gets another, empty mount (moby/buildkit#883; `cacheManager.DiskUsage`
/// and `GetMutable`; measured, BuildKit 0.13: every second build lost a mount of 2 GB this way). So
/// no query during a build may make it measure a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// All, with their sizes. Not during a build.
    All,
    /// Cache mounts, with their sizes. Not during a build.
    Mounts,
    /// Results of steps.
    Results,
    /// Records in use, which are not measured.
    InUse,
}

impl Which {
    /// Returns the value of `--filter`, in containerd's syntax.
    fn filter(self) -> Option<&'static str> {
        match self {
            Self::All => None,
            Self::Mounts => Some("type=exec.cachemount"),
            Self::Results => Some("type=regular"),
            // Matches if the field exists, whatever its value.
            Self::InUse => Some("inuse=\"\""),
        }
    }
}

/// Asks a builder for records. An empty list means that it has none.
///
/// # Errors
///
/// Fails if the builder doesn't answer, or if the answer cannot be read. The error shows the start
/// of the answer.
pub fn read(sh: &Shell, builder: &str, which: Which) -> Result<Vec<Record>> {
    read_while(sh, builder, which, &|| true).map(Option::unwrap_or_default)
}

/// Asks like [`read`]. Gives up with `None` as soon as `is_wanted` returns false; calls it
/// repeatedly.
pub(crate) fn read_while(
    sh: &Shell,
    builder: &str,
    which: Which,
    is_wanted: &dyn Fn() -> bool,
) -> Result<Option<Vec<Record>>> {
    // buildx before 0.28 refuses `--format`. A process learns this once.
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
