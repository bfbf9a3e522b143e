//! The ids of a builder's records, shortened and at most a fixed number, because each build keeps
//! them and a busy builder has thousands.

use serde::{Deserialize, Serialize};

/// The kept characters of an id, of 36 kinds. Of 10,000 records two begin alike in one of 6,000
/// comparisons, and then a loss is not noticed.
const CHARACTERS: usize = 5;
/// The most kept ids of each kind of record.
const MOST: usize = 10_000;

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
    /// Returns whether a record is no longer in the builder.
    pub(super) fn lack(&self, id: &str) -> bool {
        self.settled.lack(id) && self.passing.lack(id)
    }
}

/// Sorted ids, the first [`MOST`] of them. In JSON they are one text without separators.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub(crate) struct Ids(Vec<String>);

impl Ids {
    /// Cuts ids to one length and sorts them.
    pub(crate) fn new<'a>(ids: impl Iterator<Item = &'a str>) -> Self {
        let mut ids: Vec<String> = ids.map(|id| format!("{id:-<CHARACTERS$.CHARACTERS$}")).collect();
        ids.sort();
        ids.dedup();
        ids.truncate(MOST);
        Self(ids)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    pub(super) fn has(&self, id: &str) -> bool {
        self.0.binary_search_by(|known| known.as_str().cmp(id)).is_ok()
    }

    /// Returns whether an id would be here and is not.
    fn lack(&self, id: &str) -> bool {
        let is_kept = self.0.len() < MOST || self.0.last().is_some_and(|last| id <= last.as_str());
        is_kept && !self.has(id)
    }
}

impl From<String> for Ids {
    fn from(text: String) -> Self {
        let characters: Vec<char> = text.chars().collect();
        let ids: Vec<String> = characters.chunks(CHARACTERS).map(|id| id.iter().collect()).collect();
        Self::new(ids.iter().map(String::as_str))
    }
}

impl From<Ids> for String {
    fn from(ids: Ids) -> Self {
        ids.0.concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_short_sorted_and_one_text() {
        let ids = Ids::new(["v5b57fk0", "ggygpgt1", "ggygpgt2"].into_iter());
        assert_eq!(serde_json::to_string(&ids).expect("JSON"), r#""ggygpv5b57""#);
        assert_eq!(serde_json::from_str::<Ids>(r#""v5b57ggygp""#).expect("JSON"), ids);
        assert_eq!((ids.has("ggygp"), ids.lack("ggygp"), ids.lack("abcde")), (true, false, true));
    }

    #[test]
    fn of_a_busy_builder_only_the_first_ids_are_known() {
        let all: Vec<String> = (0..20_000).map(|number| format!("{number:05}")).collect();
        let ids = Ids::new(all[1..].iter().map(String::as_str));
        assert_eq!(String::from(ids.clone()).len(), 50_000);
        assert!(ids.lack("00000") && !ids.lack("10000") && !ids.lack("10001") && !ids.lack("99999"));
    }
}
