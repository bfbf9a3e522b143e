//! The loss of all results by a builder that forgets them when any record is removed.

use super::record_ids::RecordIds;
use super::steps::BuildSteps;

/// Returns the builds that are forgotten by a builder which forgets all results when any is
/// removed. `past` has the newest first, `now` the existing records. Not every build has queried
/// the records, so a loss is noticed by the next query. A record counts if two builds found it, if
/// there were two, because the engine has temporary ones while it reads a result.
pub(crate) fn forgotten<'a>(past: &'a [BuildSteps], now: &'a RecordIds) -> Option<&'a str> {
    let mut later = now;
    // The newest build before those records were read.
    let mut newest = past.first()?;
    let asked: Vec<(usize, &BuildSteps)> =
        past.iter().enumerate().filter(|(_, build)| !build.record_ids.settled.is_empty()).collect();
    for (number, (at, build)) in asked.iter().enumerate() {
        let older = asked.get(number + 1).map(|(_, older)| &older.record_ids);
        if !later.settled.is_empty() && later.lost_any(&build.record_ids, older) {
            return Some(&newest.build);
        }
        later = &build.record_ids;
        newest = past.get(at + 1)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::record_ids::Ids;

    fn words(text: &str) -> Ids {
        Ids::new(text.split_whitespace())
    }

    fn now(settled: &str) -> RecordIds {
        RecordIds { settled: words(settled), ..RecordIds::default() }
    }

    #[test]
    fn a_record_that_is_gone_tells_until_when_all_is_forgotten() {
        let past = |build: &str, records: &str| BuildSteps {
            build: build.into(),
            record_ids: now(records),
            ..BuildSteps::default()
        };
        let all = [past("b3", "a c d"), past("b2", "a b c d"), past("b1", "a b")];
        assert_eq!(forgotten(&all, &now("a c d e")), Some("b2"), "between the second and the third");
        assert_eq!(forgotten(&all, &now("a c")), Some("b3"));
        assert_eq!(forgotten(&all[1..], &now("a b c")), None, "only one build found it");
        assert_eq!(forgotten(&all[2..], &now("a c")), Some("b1"), "there was only one");
        assert_eq!(forgotten(&all[1..], &now("")), None, "a builder that says nothing");
        let all = [past("b4", "a c"), past("b3", ""), past("b2", "a b"), past("b1", "a b")];
        assert_eq!(
            forgotten(&all, &now("a c")),
            Some("b3"),
            "one that did not ask may be before it or after"
        );
    }

    #[test]
    fn a_record_that_became_another_kind_is_not_lost() {
        let ids = |settled: &str, passing: &str| RecordIds { passing: words(passing), ..now(settled) };
        let past = |build: &str, settled: &str, passing: &str| BuildSteps {
            build: build.into(),
            record_ids: ids(settled, passing),
            ..BuildSteps::default()
        };
        let all = [past("b2", "a c", "b"), past("b1", "a b c", "")];
        assert_eq!(forgotten(&all, &ids("a", "b c")), None);
        assert_eq!(forgotten(&all, &now("a")), Some("b2"));
    }
}
