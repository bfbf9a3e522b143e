//! BuildKit's description of a cache: which step has which layers, and which steps it needs
//! (`cache/remotecache/v1/spec.go`).

mod mark;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The longest chain of steps that is compared, so that no description ends the process.
const DEPTH: usize = 1_000;

/// The maximum number of comparisons of steps, so that no description costs minutes. One with 1000
/// steps takes a few thousand.
const COMPARISONS: usize = 1_000_000;

/// The description.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct CacheConfig {
    #[serde(default)]
    layers: Vec<Layer>,
    #[serde(default)]
    records: Vec<Record>,
}

/// A layer on another one.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Layer {
    blob: String,
    /// The index of the layer below, -1 without one.
    #[serde(default)]
    parent: i64,
    #[serde(flatten)]
    other: Map<String, Value>,
}

/// A step.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Record {
    #[serde(default)]
    digest: String,
    /// For each input, the steps that give it: several if BuildKit knows it by several keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    inputs: Vec<Vec<Input>>,
    /// Its results, each the top one of layers on each other.
    #[serde(default, rename = "layers", skip_serializing_if = "Vec::is_empty")]
    results: Vec<Top>,
    /// Its results that are lists of layers, as `COPY --link` makes them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    chains: Vec<Chain>,
    #[serde(flatten)]
    other: Map<String, Value>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Input {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    selector: String,
    link: usize,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Top {
    layer: usize,
    #[serde(flatten)]
    other: Map<String, Value>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Chain {
    layers: Vec<usize>,
    #[serde(flatten)]
    other: Map<String, Value>,
}

impl Record {
    /// Returns whether it has a result, in either form.
    fn has_result(&self) -> bool {
        !self.results.is_empty() || !self.chains.is_empty()
    }
}

impl CacheConfig {
    /// Gives the steps without layers the layers that an earlier description has for the same
    /// steps. Returns the digests of these layers.
    pub(crate) fn complete_from(&mut self, earlier: &Self) -> BTreeSet<String> {
        let mut by_digest: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (at, record) in earlier.records.iter().enumerate().filter(|(_, record)| record.has_result()) {
            by_digest.entry(&record.digest).or_default().push(at);
        }
        let mut equal = Equal { later: self, earlier, known: BTreeMap::new(), left: COMPARISONS };
        let mut found = Vec::new();
        for (at, record) in self.records.iter().enumerate().filter(|(_, record)| !record.has_result()) {
            let mut others = by_digest.get(record.digest.as_str()).into_iter().flatten();
            found.extend(others.find(|other| equal.is(at, **other, 0)).map(|other| (at, *other)));
        }
        let mut added = BTreeSet::new();
        let mut places: BTreeMap<(String, i64), usize> = BTreeMap::new();
        for (at, layer) in self.layers.iter().enumerate() {
            places.entry((layer.blob.clone(), layer.parent)).or_insert(at);
        }
        for (later, other) in found {
            let mut add = |layer: usize| self.add(&earlier.down_from(layer)?, &mut places, &mut added);
            let mut tops = Vec::new();
            for top in &earlier.records[other].results {
                tops.extend(add(top.layer).map(|layer| Top { layer, ..top.clone() }));
            }
            let mut chains = Vec::new();
            for chain in &earlier.records[other].chains {
                let layers: Option<Vec<usize>> = chain.layers.iter().map(|layer| add(*layer)).collect();
                chains.extend(layers.map(|layers| Chain { layers, ..chain.clone() }));
            }
            self.records[later].results = tops;
            self.records[later].chains = chains;
        }
        added
    }

    /// Returns a layer and those below it, the lowest first. Returns `None` if they have no end, or
    /// are more than any image has.
    fn down_from(&self, top: usize) -> Option<Vec<&Layer>> {
        let mut all = vec![self.layers.get(top)?];
        while let Some(last) = all.last().filter(|layer| layer.parent >= 0) {
            all.push(self.layers.get(usize::try_from(last.parent).ok()?)?);
            if all.len() > DEPTH {
                return None;
            }
        }
        all.reverse();
        Some(all)
    }

    /// Adds layers on each other as far as they are missing. Returns the index of the top one.
    /// `places` has the index of each layer, by its blob and the index below.
    fn add(
        &mut self,
        layers: &[&Layer],
        places: &mut BTreeMap<(String, i64), usize>,
        added: &mut BTreeSet<String>,
    ) -> Option<usize> {
        let mut parent = -1;
        for layer in layers {
            added.insert(layer.blob.clone());
            let at = *places.entry((layer.blob.clone(), parent)).or_insert_with(|| {
                self.layers.push(Layer { parent, ..(*layer).clone() });
                self.layers.len() - 1
            });
            parent = i64::try_from(at).ok()?;
        }
        usize::try_from(parent).ok()
    }
}

/// The comparison of the steps of two descriptions.
struct Equal<'a> {
    later: &'a CacheConfig,
    earlier: &'a CacheConfig,
    known: BTreeMap<(usize, usize), bool>,
    /// The comparisons that may still be made. Without any, no steps are the same.
    left: usize,
}

impl Equal<'_> {
    /// Returns whether two steps are the same: the same operation, of which each input has a key in
    /// common.
    fn is(&mut self, later: usize, earlier: usize, depth: usize) -> bool {
        let Some(left) = self.left.checked_sub(1) else { return false };
        self.left = left;
        let (Some(one), Some(other)) = (self.later.records.get(later), self.earlier.records.get(earlier))
        else {
            return false;
        };
        if one.digest != other.digest || one.inputs.len() != other.inputs.len() || depth > DEPTH {
            return false;
        }
        if let Some(known) = self.known.get(&(later, earlier)) {
            return *known;
        }
        // A step that needs itself is none.
        self.known.insert((later, earlier), false);
        let is_equal = one.inputs.iter().zip(&other.inputs).all(|(ones, others)| {
            ones.iter().any(|one| {
                others
                    .iter()
                    .any(|other| one.selector == other.selector && self.is(one.link, other.link, depth + 1))
            })
        });
        self.known.insert((later, earlier), is_equal);
        is_equal
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config(json: Value) -> CacheConfig {
        serde_json::from_value(json).expect("a description")
    }

    /// A stage `source`, on which `made` depends. BuildKit leaves out a parent of 0.
    fn whole() -> CacheConfig {
        config(json!({
            "layers": [{"blob": "base", "parent": -1}, {"blob": "source"}, {"blob": "made", "parent": 0}],
            "records": [
                {"digest": "from"},
                {"digest": "run source", "inputs": [[{"link": 0}]], "layers": [{"layer": 1, "createdAt": "then"}]},
                {"digest": "run made", "inputs": [[{"link": 0}], [{"selector": "/s", "link": 1}]], "layers": [{"layer": 2}]},
            ],
        }))
    }

    /// The same after a build that did not read `source`, with the steps in another order.
    fn without_source() -> Value {
        json!({
            "layers": [{"blob": "made", "parent": 1}, {"blob": "base", "parent": -1}],
            "records": [
                {"digest": "run made", "inputs": [[{"link": 2}], [{"selector": "/s", "link": 1}]], "layers": [{"layer": 0}]},
                {"digest": "run source", "inputs": [[{"link": 2}]]},
                {"digest": "from"},
            ],
        })
    }

    #[test]
    fn a_step_without_layers_gets_those_of_the_same_step() {
        let mut later = config(without_source());
        let added = later.complete_from(&whole());
        assert_eq!(added, BTreeSet::from(["base".to_owned(), "source".to_owned()]));
        let json = serde_json::to_value(&later).expect("JSON");
        assert_eq!(json["layers"][2], json!({"blob": "source", "parent": 1}));
        assert_eq!(json["records"][1]["layers"], json!([{"layer": 2, "createdAt": "then"}]));
        assert_eq!(json["records"][0], without_source()["records"][0], "the others stay");
        assert!(later.complete_from(&whole()).is_empty(), "nothing is missing");
    }

    #[test]
    fn lists_of_layers_are_results_as_well() {
        let mut earlier = serde_json::to_value(whole()).expect("JSON");
        let record = earlier["records"][1].as_object_mut().expect("a step");
        record.remove("layers");
        record.insert("chains".into(), json!([{"layers": [0, 1], "createdAt": "then"}]));
        let mut later = config(without_source());
        assert_eq!(later.complete_from(&config(earlier)).len(), 2);
        let json = serde_json::to_value(&later).expect("JSON");
        assert_eq!(json["records"][1]["chains"], json!([{"layers": [1, 2], "createdAt": "then"}]));
    }

    #[test]
    fn layers_of_another_step_are_not_taken() {
        for (change, to) in [
            ("/records/1/digest", json!("run other")),
            ("/records/1/inputs/0/0/selector", json!("/s")),
            ("/records/1/inputs/0/0/link", json!(0)),
            ("/records/1/inputs/0/0/link", json!(99)),
            ("/records/2/digest", json!("from other")),
        ] {
            let mut json = without_source();
            json["records"][1]["inputs"][0][0]["selector"] = json!("");
            *json.pointer_mut(change).expect("a place") = to;
            assert!(config(json).complete_from(&whole()).is_empty(), "{change}");
        }
    }

    #[test]
    fn descriptions_without_an_end_are_left() {
        let mut earlier = serde_json::to_value(whole()).expect("JSON");
        earlier["layers"][0]["parent"] = json!(1);
        assert!(config(without_source()).complete_from(&config(earlier)).is_empty(), "layers in a circle");
        let circle = json!({"records": [
            {"digest": "a", "inputs": [[{"link": 1}]], "layers": [{"layer": 0}]},
            {"digest": "a", "inputs": [[{"link": 0}]]},
        ], "layers": [{"blob": "x", "parent": -1}]});
        assert!(config(circle.clone()).complete_from(&config(circle)).is_empty(), "steps in a circle");
    }

    #[test]
    fn descriptions_that_cost_too_much_are_left() {
        let steps = |count: usize, selector: &str, results: Value| {
            let inputs = json!([[{"selector": selector, "link": 0}]]);
            let mut steps = vec![json!({"digest": "many", "inputs": inputs, "layers": results}); count];
            steps.push(json!({"digest": "last", "layers": results}));
            config(json!({"layers": [{"blob": "x", "parent": -1}], "records": steps}))
        };
        let completes_the_last = |count: usize| {
            let mut later = steps(count, "/a", json!([]));
            later.complete_from(&steps(count, "/b", json!([{"layer": 0}])));
            later.records.last().is_some_and(Record::has_result)
        };
        assert!(completes_the_last(100) && !completes_the_last(1001), "1001 x 1001 comparisons before it");
    }
}
