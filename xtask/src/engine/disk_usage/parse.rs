//! Parses both formats of `docker buildx du`: JSON with one record per line, and blocks of
//! `Field: value` lines. A text in neither format is an error, never an empty list.

use crate::text::size;
use anyhow::{Context, Result, anyhow, bail};
use jiff::Timestamp;
use serde::Deserialize;

use super::Record;
use crate::process::query;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct JsonRecord {
    #[serde(rename = "ID")]
    id: String,
    created_at: String,
    #[serde(rename = "Type", default)]
    kind: String,
    size: String,
    mutable: bool,
    reclaimable: bool,
    #[serde(default)]
    parents: Option<Vec<String>>,
    #[serde(default)]
    description: String,
}

/// Parses `du --format json`: a JSON object per line, and no line if the builder has no records.
pub(crate) fn json(answer: &str) -> Result<Vec<Record>> {
    answer.lines().filter(|line| !line.trim().is_empty()).map(json_record).collect()
}

fn json_record(line: &str) -> Result<Record> {
    let record: JsonRecord = serde_json::from_str(line).with_context(|| unreadable(line))?;
    Ok(Record {
        created: Some(time(&record.created_at).with_context(|| unreadable(&record.created_at))?),
        bytes: size::parse(&record.size).with_context(|| unreadable(&record.size))?,
        id: record.id,
        kind: record.kind,
        mutable: record.mutable,
        reclaimable: record.reclaimable,
        has_parent: record.parents.is_some_and(|parents| !parents.is_empty()),
        description: record.description.trim().to_owned(),
    })
}

/// Parses `du --verbose`. buildx pads the fields with tabs before 0.28 and with spaces since. A
/// description has the lines of its command, including empty ones, so a record ends where the next
/// one begins.
pub(crate) fn text(answer: &str) -> Result<Vec<Record>> {
    let lines: Vec<&str> = answer.lines().collect();
    let mut blocks: Vec<Vec<&str>> = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        if begins_record(line, lines.get(at + 1).copied()) {
            blocks.push(Vec::new());
        }
        match blocks.last_mut() {
            Some(block) => block.push(line),
            None if line.is_empty() || is_summary(line) => {}
            None => bail!(unreadable(answer)),
        }
    }
    blocks.iter().map(|block| text_record(block).with_context(|| unreadable(&block.join("\n")))).collect()
}

/// Distinguishes a record's first line from a similar line of a command, by the known fields that
/// follow an id.
fn begins_record(line: &str, next: Option<&str>) -> bool {
    let has_id = field(line, "ID").is_some_and(|id| !id.is_empty() && !id.contains(char::is_whitespace));
    has_id
        && next.is_some_and(|next| {
            ["Parent", "Parents", "Created at"].iter().any(|name| field(next, name).is_some())
        })
}

fn is_summary(line: &str) -> bool {
    ["Shared", "Private", "Reclaimable", "Total"].iter().any(|name| field(line, name).is_some())
}

/// Returns the value of a line `Name: value`.
fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    line.strip_prefix(name)?.strip_prefix(':').map(str::trim)
}

fn text_record(block: &[&str]) -> Result<Record> {
    let is = |name: &'static str| move |line: &&str| field(line, name).is_some();
    let start = block.iter().position(is("Description"));
    // A command may have lines that look like fields. The fields after it are the last ones with
    // their names.
    let end = match start {
        Some(start) => {
            let last = |name| block.iter().rposition(|line| is(name)(line)).filter(|at| *at > start);
            let ends = ["Usage count", "Last used", "Type"].into_iter().filter_map(last);
            ends.min().unwrap_or(block.len())
        }
        None => block.len(),
    };
    let head = &block[..start.unwrap_or(block.len())];
    let tail = &block[end..];
    let optional = |name| head.iter().chain(tail).find_map(|line| field(line, name));
    let required = |name: &'static str| optional(name).ok_or_else(|| anyhow!("no field `{name}`"));
    let description = start.map_or_else(String::new, |start| block[start..end].join("\n"));
    Ok(Record {
        id: required("ID")?.to_owned(),
        created: Some(time(required("Created at")?).context("no time in `Created at`")?),
        kind: optional("Type").unwrap_or_default().to_owned(),
        bytes: size::parse(required("Size")?).context("no size in `Size`")?,
        mutable: required("Mutable")? == "true",
        reclaimable: required("Reclaimable")? == "true",
        has_parent: ["Parent", "Parents"].into_iter().any(|name| optional(name).is_some()),
        description: field(&description, "Description").unwrap_or_default().to_owned(),
    })
}

fn unreadable(answer: &str) -> String {
    query::unreadable("docker buildx du", answer)
}

/// Parses `2026-11-25 05:49:49.337580989 +0000 UTC`, as Go prints a time.
fn time(text: &str) -> Option<Timestamp> {
    let mut words = text.split(' ');
    let (date, time, zone) = (words.next()?, words.next()?, words.next()?);
    let (hours, minutes) = zone.split_at_checked(3)?;
    format!("{date}T{time}{hours}:{minutes}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recorded from buildx 0.13.1, shortened.
    const TABS: &str = include_str!("recorded/0.13.1.txt");
    /// Recorded from buildx 0.29.1, shortened, with the same builder.
    const BLANKS: &str = include_str!("recorded/0.29.1.txt");
    const JSON: &str = include_str!("recorded/0.29.1.json");

    #[test]
    fn both_forms_of_one_builder_give_the_same_records() {
        let records = json(JSON).expect("read");
        assert_eq!(records, text(BLANKS).expect("read"));
        let mounts: Vec<_> =
            records.iter().filter_map(|one| Some((one.mount_id()?, one.mount_target()?))).collect();
        assert_eq!(mounts, [("//with blank", "/with blank"), ("/poc", "/c")]);
        assert_eq!((records.len(), records[5].bytes), (6, 31_620_000));
        assert!(records[0].mutable && !records[5].mutable && records[5].reclaimable);
        assert_eq!(records[5].description, "");
        assert_eq!(records[0].created.map(|time| time.as_second()), Some(1_795_697_529));
    }

    #[test]
    fn tabs_of_older_versions_are_read() {
        let records = text(TABS).expect("read");
        let shown: Vec<_> = records
            .iter()
            .map(|one| (one.id.as_str(), one.kind.as_str(), one.bytes, one.mount_id(), one.mount_target()))
            .collect();
        assert_eq!(
            shown,
            [
                ("ltqn", "exec.cachemount", 1_274_000_000, Some("ns/gomod"), Some("/go/pkg/mod")),
                ("v31s", "regular", 22_240, None, None),
            ]
        );
        assert!(!records[0].reclaimable);
        assert_eq!(records[1].created.map(|time| time.as_second()), Some(1_795_578_584));
    }

    #[test]
    fn a_description_may_look_like_fields() {
        for pad in ["\t", "\t\t", "   "] {
            let block = "ID:_a\nCreated at:_2026-11-25 05:49:44 +0000 UTC\nMutable:_true\nReclaimable:_true\nSize:_1kB\n\
                Description:_cached mount /m from exec /bin/sh -c set -e\n\nID:_x\necho y\nType:_x with id \"/m\"\n\
                Usage count:_1\nLast used:_now\nType:_exec.cachemount\n\nTotal:_1kB\n";
            let records = text(&block.replace('_', pad)).expect("read");
            assert_eq!(records.len(), 1, "{pad:?}");
            assert_eq!((records[0].mount_id(), records[0].kind.as_str()), (Some("/m"), "exec.cachemount"));
        }
    }

    #[test]
    fn an_empty_builder_holds_nothing() {
        assert_eq!(json("").expect("read"), []);
        assert_eq!(text("").expect("read"), []);
        assert_eq!(text("Reclaimable:\t0B\nTotal:\t\t0B\n").expect("read"), []);
    }

    #[test]
    fn an_unknown_form_is_an_error_that_shows_it() {
        let table = "ID\t\tRECLAIMABLE\tSIZE\nab12*\ttrue\t4.1kB\n";
        for error in [text(table), json(table), json("{\"ID\":\"a\"}"), text("<ID> a\n")] {
            let error = format!("{:#}", error.expect_err("no record is in it"));
            assert!(error.contains("failed to read") && error.contains("ID"), "{error}");
        }
        let without_size = BLANKS.replace("Size:  ", "Space: ");
        assert!(text(&without_size).is_err(), "a record without a size");
        let other_time = JSON.replace("2026-11-26 12", "Thursday 12");
        assert!(json(&other_time).is_err(), "a time that cannot be read");
    }
}
