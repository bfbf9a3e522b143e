//! The ids of a builder's records, shortened and at most a fixed number, because each build keeps
//! them and a busy builder has thousands.

use serde::{Deserialize, Serialize};

/// The kept characters of an id, of 36 kinds. Of 10,000 records two begin alike in one of 6,000
/// comparisons, and then a loss is not noticed.
const CHARACTERS: usize = 5;
/// The most kept ids of each kind of record.
const MOST: usize = 10_000;

/// A shortened id.
type Id = [u8; CHARACTERS];

/// The ids of a builder's records.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct RecordIds {
    /// Results of steps that stay.
    pub settled: Ids,
    /// All others, which may go or have another kind at any time: they are not lost while they are
    /// there.
    pub passing: Ids,
}

impl RecordIds {
    /// Returns whether a record that was settled before is no longer in the builder, and is in
    /// `older`, too, if there is one.
    pub(super) fn lost_any(&self, before: &RecordIds, older: Option<&RecordIds>) -> bool {
        let is_lost = |id: &&Id| {
            self.settled.lacks(id)
                && self.passing.lacks(id)
                && older.is_none_or(|older| older.settled.has(id))
        };
        before.settled.without(&self.settled).any(|id| is_lost(&id))
    }
}

/// Sorted ids, the first [`MOST`] of them, as one text without separators. A forecast reads those
/// of fifty builds, and needs few of them: splitting the texts would take a tenth of a second.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Ids(String);

impl Ids {
    /// Cuts ids to one length and sorts them.
    pub(crate) fn new<'a>(ids: impl Iterator<Item = &'a str>) -> Self {
        let ids = ids.filter(|id| id.is_ascii());
        let mut ids: Vec<String> = ids.map(|id| format!("{id:-<CHARACTERS$.CHARACTERS$}")).collect();
        ids.sort();
        ids.dedup();
        ids.truncate(MOST);
        Self(ids.concat())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all().is_empty()
    }

    fn all(&self) -> &[Id] {
        self.0.as_bytes().as_chunks().0
    }

    fn has(&self, id: &Id) -> bool {
        self.all().binary_search(id).is_ok()
    }

    /// Returns whether an id would be here and is not.
    fn lacks(&self, id: &Id) -> bool {
        let all = self.all();
        (all.len() < MOST || all.last().is_some_and(|last| id <= last)) && !self.has(id)
    }

    /// Returns the ids that the others do not have.
    fn without<'a>(&'a self, others: &'a Self) -> impl Iterator<Item = &'a Id> {
        // Most builds find the records that the build before them found.
        let ids = if self == others { &[] } else { self.all() };
        let mut rest = others.all();
        ids.iter().filter(move |id| {
            while let [first, later @ ..] = rest
                && first < id
            {
                rest = later;
            }
            rest.first() != Some(id)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_short_sorted_and_one_text() {
        let ids = Ids::new(["v5b57fk0", "ggygpgt1", "no\u{e9}", "ggygpgt2", "a"].into_iter());
        let json = serde_json::to_string(&ids).expect("JSON");
        assert_eq!(json, r#""a----ggygpv5b57""#);
        assert_eq!(serde_json::from_str::<Ids>(&json).expect("JSON"), ids);
        assert_eq!((ids.has(b"ggygp"), ids.lacks(b"ggygp"), ids.lacks(b"abcde")), (true, false, true));
    }

    #[test]
    fn ids_without_those_of_others_are_found_in_order() {
        let ids = |text: &str| Ids::new(text.split_whitespace());
        let without = |one: &str, others: &str| {
            let (one, others) = (ids(one), ids(others));
            let left: Vec<char> = one.without(&others).map(|id| char::from(id[0])).collect();
            String::from_iter(left)
        };
        assert_eq!(without("a b c", "a b c"), "");
        assert_eq!(without("a c e", "b c d"), "ae");
        assert_eq!(without("b", "a b c"), "");
        assert_eq!(without("a b", ""), "ab");
        assert_eq!(without("", "a"), "");
    }

    #[test]
    fn of_a_busy_builder_only_the_first_ids_are_known() {
        let all: Vec<String> = (0..20_000).map(|number| format!("{number:05}")).collect();
        let ids = Ids::new(all[1..].iter().map(String::as_str));
        assert_eq!(ids.0.len(), 50_000);
        let lacks = |id: &Id| ids.lacks(id);
        assert!(lacks(b"00000") && !lacks(b"10000") && !lacks(b"10001") && !lacks(b"99999"));
    }
}
