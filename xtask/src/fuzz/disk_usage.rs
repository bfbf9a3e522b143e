//! Both forms of `docker buildx du`. What is read is written as buildx writes it and read again.

use crate::engine::disk_usage::{Record, parse};

pub(super) fn run(input: &[u8]) {
    let answer = String::from_utf8_lossy(input);
    if let Ok(records) = parse::json(&answer) {
        assert!(records.len() <= answer.lines().count());
        let again: String = records.iter().filter_map(json).collect();
        same(&records, &parse::json(&again).expect("it was written"));
    }
    if let Ok(records) = parse::text(&answer) {
        assert!(records.len() <= answer.lines().count());
        if !records.iter().all(is_plain) {
            return;
        }
        for pad in ["\t", "  "] {
            let again: String = records.iter().filter_map(|record| text(record, pad)).collect();
            same(&records, &parse::text(&again).expect("it was written"));
        }
    }
}

/// Returns whether no line of a description looks like a field, which makes it ambiguous.
fn is_plain(record: &Record) -> bool {
    let fields = ["ID:", "Usage count:", "Last used:", "Type:"];
    let is_line = |c: char| c != '\r';
    record.description.chars().all(is_line)
        && !record.description.lines().any(|line| fields.iter().any(|field| line.starts_with(field)))
}

fn same(before: &[Record], after: &[Record]) {
    let written: Vec<&Record> = before.iter().filter(|record| time(record).is_some()).collect();
    assert_eq!(written.len(), after.len(), "{before:?} {after:?}");
    for (one, other) in written.into_iter().zip(after) {
        assert_eq!(one, other);
        assert_eq!((one.mount_id(), one.mount_target()), (other.mount_id(), other.mount_target()));
    }
}

/// A time as Go prints it; nothing for one before the common era.
fn time(record: &Record) -> Option<String> {
    let (date, time) =
        record.created?.to_string().split_once('T').map(|(d, t)| (d.to_owned(), t.to_owned()))?;
    (!date.starts_with('-')).then(|| format!("{date} {} +0000 UTC", time.trim_end_matches('Z')))
}

fn json(record: &Record) -> Option<String> {
    let parents: &[&str] = if record.has_parent { &["p"] } else { &[] };
    let line = serde_json::json!({
        "ID": record.id, "CreatedAt": time(record)?, "Type": record.kind, "Size": format!("{}B", record.bytes),
        "Mutable": record.mutable, "Reclaimable": record.reclaimable, "Parents": parents,
        "Description": record.description,
    });
    Some(line.to_string() + "\n")
}

fn text(record: &Record, pad: &str) -> Option<String> {
    let parent = if record.has_parent { format!("Parents:{pad}p\n") } else { String::new() };
    Some(format!(
        "ID:{pad}{}\n{parent}Created at:{pad}{}\nMutable:{pad}{}\nReclaimable:{pad}{}\nSize:{pad}{}B\n\
         Description:{pad}{}\nUsage count:{pad}1\nType:{pad}{}\n\n",
        record.id,
        time(record)?,
        record.mutable,
        record.reclaimable,
        record.bytes,
        record.description,
        record.kind,
    ))
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    [
        &include_bytes!("../engine/disk_usage/recorded/0.13.1.txt")[..],
        include_bytes!("../engine/disk_usage/recorded/0.29.1.txt"),
        include_bytes!("../engine/disk_usage/recorded/0.29.1.json"),
    ]
    .map(<[u8]>::to_vec)
    .to_vec()
}
