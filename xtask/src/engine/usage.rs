//! What a builder holds, as `docker buildx du --verbose` prints it: blocks of `Field: value` lines, an empty line between them,
//! and a summary at the end.

use std::time::Duration;

use anyhow::{Result, bail};
use jiff::Timestamp;
use xshell::{Shell, cmd};

use super::ask;

/// It takes a quarter of a second (measured); a builder that is not there may take for ever.
const LIMIT: Duration = Duration::from_secs(20);

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

/// Which records are asked for. While BuildKit measures a cache mount that was written to since it was asked last, a step that begins
/// gets another, empty one in its place (moby/buildkit#883; `cacheManager.DiskUsage` and `GetMutable`; measured, BuildKit 0.13: a mount of
/// 2 GB was lost so in every second build). So beside a build nothing may be asked that makes it measure one.
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

/// Asks a builder for records.
pub fn read(sh: &Shell, builder: &str, which: Which) -> Result<Vec<Record>> {
    read_while(sh, builder, which, &|| true).map(Option::unwrap_or_default)
}

/// The same, as long as the answer is wanted, which is asked again and again.
pub fn read_while(
    sh: &Shell,
    builder: &str,
    which: Which,
    is_wanted: &dyn Fn() -> bool,
) -> Result<Option<Vec<Record>>> {
    let filter = which.filter().into_iter().flat_map(|filter| ["--filter", filter]);
    let asking = ask::start(cmd!(sh, "docker buildx --builder {builder} du --verbose {filter...}"))?;
    let Some(answer) = asking.answer_while(LIMIT, is_wanted)? else { return Ok(None) };
    if !answer.success {
        bail!("the builder `{builder}` does not say what it holds: {}", answer.stderr.trim());
    }
    Ok(Some(parse(&answer.stdout)))
}

/// Reads what it prints. A description has the lines of its command, empty ones among them, so that a record ends where the next
/// one begins.
pub fn parse(text: &str) -> Vec<Record> {
    let mut blocks: Vec<String> = Vec::new();
    for line in text.lines() {
        if line.starts_with("ID:\t") {
            blocks.push(String::new());
        }
        if let Some(block) = blocks.last_mut() {
            block.push_str(line);
            block.push('\n');
        }
    }
    blocks.iter().filter_map(|block| record(block)).collect()
}

fn record(block: &str) -> Option<Record> {
    let (head, rest) = block.split_once("\nDescription:").unwrap_or((block, ""));
    let ends = ["\nUsage count:\t", "\nLast used:\t", "\nType:\t"];
    let end = ends.iter().filter_map(|end| rest.rfind(end)).min().unwrap_or(rest.len());
    let (description, tail) = rest.split_at(end);
    let field = |name: &str| {
        let lines = head.lines().chain(tail.lines());
        lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim).next()
    };
    Some(Record {
        id: field("ID")?.to_owned(),
        created: field("Created at").and_then(time),
        kind: field("Type").unwrap_or_default().to_owned(),
        bytes: field("Size").and_then(bytes).unwrap_or(0),
        mutable: field("Mutable") == Some("true"),
        reclaimable: field("Reclaimable") == Some("true"),
        description: description.trim().to_owned(),
    })
}

/// `2026-11-25 05:49:49.337580989 +0000 UTC`, as Go prints a time.
fn time(text: &str) -> Option<Timestamp> {
    let mut words = text.split(' ');
    let (date, time, zone) = (words.next()?, words.next()?, words.next()?);
    let (hours, minutes) = zone.split_at_checked(3)?;
    format!("{date}T{time}{hours}:{minutes}").parse().ok()
}

/// `1.274GB` in powers of 1000, as docker's client rounds them.
fn bytes(text: &str) -> Option<u64> {
    let at = text.find(|c: char| c.is_ascii_alphabetic())?;
    let number: f64 = text[..at].trim().parse().ok()?;
    let power =
        ["B", "KB", "MB", "GB", "TB"].iter().position(|unit| text[at..].eq_ignore_ascii_case(unit))?;
    Some((number * 1000_f64.powi(i32::try_from(power).ok()?)).round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Printed by buildx 0.13.1, shortened.
    const TEXT: &str = "ID:\t\tltqn\nCreated at:\t2026-11-25 05:49:49.337580989 +0000 UTC\nMutable:\ttrue\nReclaimable:\tfalse
Shared:\t\tfalse\nSize:\t\t1.274GB\nDescription:\tcached mount /go/pkg/mod from exec /bin/sh -c echo \"x\" with id \"ns/gomod\"
Usage count:\t6\nLast used:\t11 minutes ago\nType:\t\texec.cachemount

ID:\t\tv31s\nParent:\t\tmrce\nCreated at:\t2026-11-25 05:49:44 +0200 CEST\nReclaimable:\ttrue\nSize:\t\t22.24kB
Description:\tmount / from exec /bin/sh -c true\nType:\t\tregular

Private:\t5.358GB\nTotal:\t\t6.431GB\n";

    #[test]
    fn a_description_may_have_several_lines() {
        let text = "ID:\t\ta\nSize:\t\t1kB\nDescription:\tcached mount /m from exec /bin/sh -c set -e\n\necho Type:\nType:\tx with id \"/m\"\n\
                    Usage count:\t1\nLast used:\tnow\nType:\t\texec.cachemount\n\nID:\t\tb\nSize:\t\t2B\nType:\t\tregular\n\nTotal:\t\t1kB\n";
        let records = parse(text);
        let shown: Vec<_> =
            records.iter().map(|one| (one.id.as_str(), one.kind.as_str(), one.mount_id())).collect();
        assert_eq!(shown, [("a", "exec.cachemount", Some("/m")), ("b", "regular", None)]);
        assert_eq!(records[0].mount_target(), Some("/m"));
    }

    #[test]
    fn records_are_read_as_they_are_printed() {
        let records = parse(TEXT);
        assert_eq!(records.len(), 2);
        assert_eq!((records[0].bytes, records[0].reclaimable), (1_274_000_000, false));
        assert_eq!(
            (records[0].mount_id(), records[0].mount_target()),
            (Some("ns/gomod"), Some("/go/pkg/mod"))
        );
        assert_eq!(records[0].created.map(|time| time.as_second()), Some(1_795_585_789));
        assert_eq!((records[1].bytes, records[1].mount_id()), (22_240, None));
        assert_eq!(records[1].created.map(|time| time.as_second()), Some(1_795_578_584));
    }
}
