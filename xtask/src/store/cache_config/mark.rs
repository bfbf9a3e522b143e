//! The mark of a saved result: a step that no build has. BuildKit 0.25 and newer compute the id of
//! a step from the ids of its inputs. Where two imported results have a step with the same id,
//! BuildKit keeps the key of one of them, by chance, and no longer finds the steps above it that
//! only the other result has. With an input that is in no other result, the ids differ.

use super::{CacheConfig, Input, Record};

/// The start of the digest of a mark. The result's id follows, as 16 hexadecimal digits.
const PREFIX: &str = "sha256:00000000000000000000000000000000647572616e676f2d";

impl CacheConfig {
    /// Replaces all marks by one with this id, of 16 hexadecimal digits. BuildKit exports the marks
    /// of the results that it has read.
    pub(crate) fn mark(&mut self, id: &str) {
        self.remove_marks();
        let is_source: Vec<bool> = self.records.iter().map(|record| record.inputs.is_empty()).collect();
        let link = self.records.len();
        for record in &mut self.records {
            let mut inputs = record.inputs.iter().flatten();
            // The ids of the steps above differ with that of this one.
            let is_lowest = inputs.all(|input| is_source.get(input.link).is_some_and(|is_source| *is_source));
            if let Some(first) = record.inputs.first_mut().filter(|_| is_lowest) {
                first.push(Input { selector: String::new(), link });
            }
        }
        self.records.push(Record { digest: format!("{PREFIX}{id}"), ..Record::default() });
    }

    /// Removes the marks and the links to them. An input that has only marks keeps them.
    fn remove_marks(&mut self) {
        let is_mark: Vec<bool> =
            self.records.iter().map(|record| record.digest.starts_with(PREFIX)).collect();
        let is_to_mark = |input: &Input| is_mark.get(input.link).is_some_and(|is_mark| *is_mark);
        let mut lists = self.records.iter().flat_map(|record| &record.inputs);
        if !is_mark.contains(&true) || lists.any(|list| list.iter().all(is_to_mark)) {
            return;
        }
        let marks_before = |link: usize| is_mark.iter().take(link).filter(|is_mark| **is_mark).count();
        for list in self.records.iter_mut().flat_map(|record| &mut record.inputs) {
            list.retain(|input| !is_to_mark(input));
            for input in list {
                input.link -= marks_before(input.link);
            }
        }
        self.records.retain(|record| !record.digest.starts_with(PREFIX));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Value, json};

    use super::*;

    const IDS: [&str; 2] = ["0123456789abcdef", "fedcba9876543210"];

    /// Returns an export: an image with two keys, a RUN on it, a COPY of local files on that, and a
    /// RUN on another image.
    fn export() -> Value {
        json!({"layers": [], "records": [
            {"digest": "copy", "inputs": [[{"link": 2}], [{"selector": "/a", "link": 1}]]},
            {"digest": "files"},
            {"digest": "run", "inputs": [[{"link": 3}, {"link": 4}]]},
            {"digest": "image"},
            {"digest": "image's key"},
            {"digest": "run", "inputs": [[{"link": 6}]]},
            {"digest": "other image"},
        ]})
    }

    fn marked(json: Value, id: &str) -> CacheConfig {
        let mut config: CacheConfig = serde_json::from_value(json).expect("a description");
        config.mark(id);
        config
    }

    /// Computes an id as BuildKit does: of its digest, and for each input of the ids below.
    fn id(config: &CacheConfig, at: usize) -> String {
        let record = &config.records[at];
        let inputs = record.inputs.iter().map(|list| {
            let below: BTreeSet<_> =
                list.iter().map(|input| format!("{}{}", id(config, input.link), input.selector)).collect();
            format!("{below:?}")
        });
        record.digest.clone() + &inputs.collect::<String>()
    }

    fn ids(config: &CacheConfig) -> BTreeSet<String> {
        let made = (0..config.records.len()).filter(|at| !config.records[*at].inputs.is_empty());
        made.map(|at| id(config, at)).collect()
    }

    #[test]
    fn no_step_has_the_id_that_it_has_in_another_result() {
        let [one, other] = IDS.map(|id| ids(&marked(export(), id)));
        assert_eq!((one.len(), one.intersection(&other).count()), (3, 0));
        assert_eq!(
            ids(&serde_json::from_value(export()).expect("a description")).intersection(&one).count(),
            0
        );
        assert_eq!(ids(&marked(export(), IDS[0])), one, "by the result's id only");
    }

    #[test]
    fn only_the_lowest_steps_get_a_mark() {
        let json = serde_json::to_value(marked(export(), IDS[0])).expect("JSON");
        assert_eq!(json["records"][0], export()["records"][0]);
        assert_eq!(json["records"][2]["inputs"], json!([[{"link": 3}, {"link": 4}, {"link": 7}]]));
        assert_eq!(json["records"][5]["inputs"], json!([[{"link": 6}, {"link": 7}]]));
        let digest = json["records"][7]["digest"].as_str().expect("a mark");
        assert_eq!(digest.len(), "sha256:".len() + 64, "BuildKit parses it");
    }

    #[test]
    fn a_new_mark_takes_the_place_of_those_of_results_that_were_read() {
        let [one, other] = IDS.map(|id| format!("{PREFIX}{id}"));
        let read = json!({"layers": [], "records": [
            {"digest": one},
            {"digest": "copy", "inputs": [[{"link": 4}], [{"selector": "/a", "link": 2}]]},
            {"digest": "files"},
            {"digest": other},
            {"digest": "run", "inputs": [[{"link": 0}, {"link": 3}, {"link": 5}, {"link": 6}]]},
            {"digest": "image"},
            {"digest": "image's key"},
            {"digest": "run", "inputs": [[{"link": 8}, {"link": 3}]]},
            {"digest": "other image"},
        ]});
        let again = marked(read, "00000000000000aa");
        let first = marked(export(), "00000000000000aa");
        assert_eq!(serde_json::to_value(again).expect("JSON"), serde_json::to_value(first).expect("JSON"));
    }

    #[test]
    fn a_step_of_marks_alone_stays() {
        let odd = json!({"layers": [], "records": [
            {"digest": format!("{PREFIX}{}", IDS[0])},
            {"digest": "run", "inputs": [[{"link": 0}], [{"link": 99}]]},
        ]});
        let json = serde_json::to_value(marked(odd.clone(), IDS[1])).expect("JSON");
        assert_eq!(json["records"][1], odd["records"][1]);
    }
}
