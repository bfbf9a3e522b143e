//! The steps of a build that the builder and the store have.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;

use crate::engine::disk_usage;
use crate::files;
use crate::forecast::StoredKeys;
use crate::project::graph::GraphStep;
use crate::record::record_ids::{Ids, RecordIds};
use crate::record::steps::StepOutcome;
use crate::redact::Redactor;
use crate::store::entry::Entry;
use crate::store::sealed;

/// Younger records may be temporary ones of a running or recent build (seen up to 5 s after it).
const SETTLED: Duration = Duration::from_secs(60);

/// Returns the ids of records. Settled are steps' results that were there at a time and stay.
pub(super) fn ids(records: &[disk_usage::Record], time: Timestamp) -> RecordIds {
    // A result that no image needed yet is its step's mutable record. A record next to it exists as
    // long as the result is in use.
    let mutable = records.iter().filter(|record| record.kind == "regular" && record.mutable);
    let unfinished: BTreeSet<&str> = mutable.map(|record| record.description.as_str()).collect();
    // A context has one more record for a while.
    let is_result = |record: &&disk_usage::Record| {
        record.kind == "regular"
            && !record.mutable
            && !unfinished.contains(record.description.as_str())
            && !record.description.starts_with("local source")
    };
    let is_older =
        |record: &&disk_usage::Record| record.created.is_none_or(|created| created + SETTLED < time);
    let (settled, passing): (Vec<_>, Vec<_>) =
        records.iter().partition(|record| is_result(record) && is_older(record));
    let ids = |records: &[&disk_usage::Record]| Ids::new(records.iter().map(|record| record.id.as_str()));
    RecordIds { settled: ids(&settled), passing: ids(&passing) }
}

/// Returns whether a record of the builder is the result of a step: created by its command at the
/// time of its last run. The time is unknown for a step that never ran here.
pub(super) fn made(
    record: &disk_usage::Record,
    step: &GraphStep,
    ran: Option<&StepOutcome>,
    redactor: &Redactor,
) -> bool {
    const SLACK: Duration = Duration::from_secs(5);
    let squeeze = |text: &str| text.chars().filter(|c| !c.is_whitespace()).take(80).collect::<String>();
    let fits = if step.text.to_ascii_uppercase().starts_with("RUN") {
        let command = squeeze(step.parts.get("command").map_or("", String::as_str));
        // The step's text is redacted.
        let description = redactor.text(&record.description);
        let (_, made_by) = description.split_once(" from exec ").unwrap_or_default();
        record.kind != "exec.cachemount"
            && !made_by.is_empty()
            && (command.starts_with("<<")
                || command.starts_with('[')
                || made_by.chars().filter(|c| !c.is_whitespace()).collect::<String>().contains(&command))
    } else {
        let keyword = step.text.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
        let is_by = |prefix: &str| record.description.contains(&format!("] {prefix}{keyword} "));
        let named = ran.map_or("", |ran| ran.named.as_str());
        // Many steps of one build have the same keyword.
        let is_named = || {
            let description = redactor.text(&record.description);
            let made_by = description.split_once("] ").map_or("", |(_, made_by)| made_by);
            made_by.split_whitespace().eq(named.split_whitespace())
        };
        (is_by("") || is_by("ONBUILD ")) && (named.is_empty() || is_named())
    };
    let within = |(from, to): (Timestamp, Timestamp)| {
        record.created.is_none_or(|created| created >= from - SLACK && created <= to + SLACK)
    };
    fits && ran.and_then(|ran| ran.ran).is_none_or(within)
}

/// Returns the entry of a generation of the store. The plan has checked its blobs.
pub(in crate::commands::build) fn stored_entry(dir: &Path) -> Option<Entry> {
    sealed::from_json(&files::read(&dir.join("entry.json")).ok()?).ok()
}

/// Takes in the keys of the steps whose layers a generation of the store has.
pub(super) fn add_stored(dir: &Path, stored: &mut StoredKeys) {
    if let Some(entry) = stored_entry(dir) {
        stored.exact.extend(entry.steps);
        stored.any_mode.extend(entry.steps_any_mode);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(description: &str) -> disk_usage::Record {
        disk_usage::Record {
            id: "1".into(),
            created: None,
            kind: "regular".into(),
            bytes: 1,
            mutable: false,
            reclaimable: true,
            has_parent: true,
            description: description.into(),
        }
    }

    #[test]
    fn the_result_of_an_onbuild_is_its_step_s() {
        let redactor = Redactor::default();
        for text in ["COPY a /a", "copy a /a", "ADD a /a", "WORKDIR /w"] {
            let step = GraphStep { text: text.into(), ..GraphStep::default() };
            let upper = text.replace("copy", "COPY");
            for prefix in ["", "ONBUILD "] {
                let of =
                    |name: &str| made(&record(&format!("[app 2/3] {prefix}{name}")), &step, None, &redactor);
                assert!(of(&upper) && !of("RUN COPY") && !of("LABEL a=b"), "{prefix}{text}");
            }
        }
    }

    #[test]
    fn a_step_of_the_same_keyword_made_another_result() {
        let redactor = Redactor::default();
        redactor.learn("hunter22");
        let step = GraphStep { text: "COPY  $A /a".into(), ..GraphStep::default() };
        let of = |named: &str, name: &str| {
            let ran = StepOutcome { named: named.into(), ..StepOutcome::default() };
            made(&record(&format!("[s  2/13] {name}")), &step, Some(&ran), &redactor)
        };
        assert!(of("COPY a /a", "COPY a /a") && of("COPY a  /a", "COPY a /a"));
        assert!(of("COPY *** /a", "COPY hunter22 /a"));
        assert!(!of("COPY a /a", "COPY b /a") && !of("COPY a /a", "LINK COPY a /a"));
        assert!(of("", "COPY b /a"), "a record of an earlier version");
    }

    #[test]
    fn only_results_that_have_settled_are_held() {
        let at = |second: i64| Timestamp::from_second(second).expect("in range");
        let record = |id: &str, kind: &str, mutable: bool, made: i64, description: &str| disk_usage::Record {
            id: format!("{id}234567890"),
            created: Some(at(made)),
            kind: kind.into(),
            bytes: 1,
            mutable,
            reclaimable: true,
            has_parent: false,
            description: description.into(),
        };
        let records = [
            record("c", "regular", false, 0, "[app 2/3] COPY a /"),
            record("a", "regular", false, 0, "mount / from exec /bin/sh -c true"),
            record("young", "regular", false, 950, "[app 3/3] COPY b /"),
            record("context", "regular", false, 0, "local source for context"),
            record("unfinished", "regular", true, 0, "mount / from exec /bin/sh -c make"),
            record("next-to-it", "regular", false, 0, "mount / from exec /bin/sh -c make"),
            record("mount", "exec.cachemount", true, 0, "cached mount /x from exec /bin/sh -c make"),
        ];
        let ids = ids(&records, at(1000));
        let json = |ids: &Ids| serde_json::to_string(ids).expect("JSON");
        assert_eq!(json(&ids.settled), r#""a2345c2345""#);
        assert_eq!(json(&ids.passing), r#""contemountnext-unfinyoung""#);
    }
}
