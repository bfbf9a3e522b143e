//! The dependencies of steps from BuildKit's graph. Vertices between two steps that are not steps,
//! such as a FROM or a context, are skipped.

use std::collections::{BTreeMap, BTreeSet};

use super::StepReport;
use crate::progress::trace::Trace;

/// Returns for each step the indexes of its dependencies. `digests` has each step's vertex.
pub(crate) fn of(trace: &Trace, digests: &[&str], steps: &[StepReport]) -> Vec<Vec<usize>> {
    let mut places: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, digest) in digests.iter().enumerate() {
        places.entry(digest).or_default().push(index);
    }
    let needs = |index: usize| {
        let mut found = BTreeSet::new();
        let (mut seen, mut open) = (BTreeSet::new(), vec![digests[index]]);
        while let Some(digest) = open.pop() {
            for input in trace.vertices.get(digest).into_iter().flat_map(|state| &state.inputs) {
                match places.get(input.as_str()) {
                    Some(at) => found.extend(same_target(at, &steps[index].target, steps)),
                    None if seen.insert(input.as_str()) => open.push(input),
                    None => {}
                }
            }
        }
        found.into_iter().filter(|other| *other != index).collect()
    };
    (0..steps.len().min(digests.len())).map(needs).collect()
}

/// Returns the step of this target for a vertex that several targets share, else the first.
fn same_target(places: &[usize], target: &str, steps: &[StepReport]) -> Option<usize> {
    let same = places.iter().find(|index| steps[**index].target == target);
    same.or(places.first()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::assemble;

    fn steps(targets: &[&str], vertexes: &serde_json::Value) -> Vec<StepReport> {
        let targets: Vec<String> = targets.iter().map(|name| (*name).to_owned()).collect();
        let mut trace = Trace::new(&targets);
        let chunk = serde_json::json!({ "vertexes": vertexes });
        trace.apply(&serde_json::from_value(chunk).expect("well formed"));
        assemble::steps(&trace)
    }

    #[test]
    fn what_is_no_step_is_gone_through() {
        let found = steps(
            &["app"],
            &serde_json::json!([
                {"digest": "load", "name": "[internal] load build definition from x", "started": "2026-11-22T12:00:00Z"},
                {"digest": "from", "name": "[1/4] FROM x", "started": "2026-11-22T12:00:00Z"},
                {"digest": "a", "name": "[2/4] RUN a", "started": "2026-11-22T12:00:01Z",
                 "completed": "2026-11-22T12:00:03Z", "inputs": ["from"]},
                {"digest": "b", "name": "[3/4] RUN b", "started": "2026-11-22T12:00:03.5Z", "inputs": ["between"]},
                {"digest": "between", "name": "merge", "inputs": ["a", "unknown", "between"]},
                {"digest": "c", "name": "[4/4] COPY c", "started": "2026-11-22T12:00:04Z", "cached": true, "inputs": ["b", "a"]},
            ]),
        );
        let needs: Vec<_> = found.iter().map(|step| step.needs.clone()).collect();
        assert_eq!(needs, [vec![], vec![0], vec![0, 1]]);
        let started: Vec<_> = found.iter().map(|step| step.started).collect();
        assert_eq!(started, [Some(1.0), Some(3.5), None], "a step that did not run began at no time");
    }

    #[test]
    fn a_shared_step_is_needed_under_the_same_target() {
        let found = steps(
            &["app", "base"],
            &serde_json::json!([
                {"digest": "s", "name": "[app lib 2/2] RUN shared", "started": "2026-11-22T12:00:00Z"},
                {"digest": "s", "name": "[base lib 2/2] RUN shared", "started": "2026-11-22T12:00:00Z"},
                {"digest": "a", "name": "[app 2/2] RUN a", "started": "2026-11-22T12:00:01Z", "inputs": ["s"]},
                {"digest": "b", "name": "[base 2/2] RUN b", "started": "2026-11-22T12:00:02Z", "inputs": ["s"]},
                {"digest": "c", "name": "[app end 2/2] RUN c", "started": "2026-11-22T12:00:03Z", "inputs": ["b"]},
            ]),
        );
        let seen: Vec<_> = found.iter().map(|step| (step.target.as_str(), step.needs.clone())).collect();
        assert_eq!(
            seen,
            [("app", vec![]), ("base", vec![]), ("app", vec![0]), ("base", vec![1]), ("app", vec![3])]
        );
    }
}
