//! Finds the steps of a failed or interrupted build that ended, but whose results BuildKit may have
//! lost. BuildKit reports the end of a step before it writes the result to its cache. When a build
//! is canceled, it also reports some unfinished steps as completed without an error.

use std::time::Duration;

use jiff::Timestamp;

use super::trace::{IMPORT, Trace};
use super::vertex::VertexState;

/// The time that BuildKit may need to write a result to its cache.
const SLACK: Duration = Duration::from_millis(200);

impl Trace {
    /// Returns whether the result of a step may be missing after a build that did not succeed. A
    /// result that a later step or the export used exists, and so does one that was there before.
    pub(crate) fn may_have_lost(&self, digest: &str, state: &VertexState) -> bool {
        let is_only_looked_up = !state.lookups.is_empty() && !state.was_hit && !state.has_run;
        let Some(completed) = state.completed.filter(|_| !state.cached || is_only_looked_up) else {
            return false;
        };
        let uses = |other: &VertexState| {
            let is_later = other.started.is_some_and(|started| started >= completed);
            is_later
                && !other.cached
                && (other.inputs.iter().any(|input| input == digest) || exports(other, state))
        };
        if self.vertices.values().any(uses) {
            return false;
        }
        is_only_looked_up || self.end_of(state).is_none_or(|end| completed + SLACK >= end)
    }

    /// Returns when the build of a step's target was canceled: when its first step was, else at the
    /// first error of the build.
    fn end_of(&self, state: &VertexState) -> Option<Timestamp> {
        let is_error = |other: &&VertexState| !other.error.is_empty() && !other.name.contains(IMPORT);
        let errors = || self.vertices.values().filter(is_error);
        let shares = |other: &&VertexState| other.targets.iter().any(|target| state.targets.contains(target));
        let own = errors().filter(shares).filter_map(|other| other.completed).min();
        own.or_else(|| errors().filter_map(|other| other.completed).min())
    }
}

/// Returns whether a vertex exports the target of a step. It begins after all steps of the target.
fn exports(vertex: &VertexState, step: &VertexState) -> bool {
    const EXPORT: &str = "exporting ";
    let name = vertex.name.as_str();
    let of_target = || name.strip_prefix('[').and_then(|rest| rest.split_once("] "));
    match of_target() {
        Some((target, rest)) => rest.starts_with(EXPORT) && step.targets.iter().any(|name| name == target),
        None => name.starts_with(EXPORT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The steps of target `a` whose results may be lost. Times are in tenths of a second.
    fn lost(vertices: &[serde_json::Value]) -> Vec<String> {
        let mut trace = Trace::new(&["a".to_owned(), "b".to_owned()]);
        let chunk = serde_json::json!({ "vertexes": vertices });
        trace.apply(&serde_json::from_value(chunk).expect("well formed"));
        let steps =
            trace.digests().filter(|(_, state, _)| state.error.is_empty() && state.completed.is_some());
        let lost = steps.filter(|(digest, state, _)| trace.may_have_lost(digest, state));
        lost.map(|(digest, ..)| digest.to_owned()).collect()
    }

    fn vertex(digest: &str, name: &str, inputs: &[&str], times: (u32, u32)) -> serde_json::Value {
        let time = |tenths: u32| format!("2026-11-27T07:00:{:02}.{}Z", tenths / 10, tenths % 10);
        serde_json::json!({"digest": digest, "name": name, "inputs": inputs,
            "started": time(times.0), "completed": time(times.1)})
    }

    fn failed(mut vertex: serde_json::Value, error: &str) -> serde_json::Value {
        vertex["error"] = error.into();
        vertex
    }

    #[test]
    fn a_step_that_ends_as_its_build_is_canceled_may_be_lost() {
        let bad = failed(vertex("bad", "[b 2/2] RUN false", &[], (10, 50)), "exit code: 1");
        let canceled = failed(vertex("c", "[a x 3/4] COPY c /", &["i"], (30, 60)), "context canceled");
        let copy = |end: u32| vertex("copy", "[a s 2/4] COPY --from=x /w* /", &["i", "j"], (20, end));
        assert_eq!(lost(&[bad.clone(), copy(60)]), ["copy"], "after the error");
        assert_eq!(lost(&[bad.clone(), copy(50)]), ["copy"], "at the error");
        assert!(lost(&[bad.clone(), copy(40)]).is_empty(), "long before the error");
        assert!(lost(&[bad.clone(), canceled.clone(), copy(55)]).is_empty(), "before its own target's end");
        assert_eq!(lost(&[bad.clone(), canceled, copy(60)]), ["copy"], "at its own target's end");
        assert_eq!(lost(&[copy(20)]), ["copy"], "an end that nothing tells");
        let mut hit = copy(60);
        hit["cached"] = true.into();
        assert!(lost(&[bad.clone(), hit]).is_empty(), "it was there before");
        let import = failed(vertex("m", "importing cache manifest from local:1", &[], (1, 2)), "not found");
        assert!(lost(&[import, bad, copy(40)]).is_empty(), "an import ends no build");
    }

    #[test]
    fn a_result_that_was_used_exists() {
        let bad = failed(vertex("bad", "[b 2/2] RUN false", &[], (10, 50)), "exit code: 1");
        let copy = vertex("copy", "[a s 2/4] COPY --from=x /w* /", &["i"], (20, 49));
        let after = |name: &str, inputs: &[&str], start: u32| {
            let ended = failed(vertex("next", name, inputs, (start, 60)), "context canceled");
            lost(&[bad.clone(), copy.clone(), ended]).is_empty()
        };
        // The error of the next step is near enough to put the result in doubt.
        let near = |name: &str, inputs: &[&str], start: u32| {
            let mut near = vertex("next", name, inputs, (start, 50));
            near["error"] = "context canceled".into();
            lost(&[bad.clone(), copy.clone(), near]).is_empty()
        };
        assert!(after("[a s 3/4] RUN next", &["copy"], 49));
        assert!(near("[a s 3/4] RUN next", &["copy"], 49));
        assert!(!near("[a s 3/4] RUN next", &["copy"], 48), "it began before");
        assert!(!near("[a t 3/4] RUN next", &["other"], 49));
        assert!(near("[a] exporting to image", &[], 49));
        assert!(!near("[b] exporting to image", &[], 49));
    }

    #[test]
    fn a_directory_that_was_only_looked_up_may_never_have_been_made() {
        let bad = failed(vertex("bad", "[b 2/2] RUN false", &[], (10, 50)), "exit code: 1");
        let lookup = vertex("w", "[a s 1/4] WORKDIR /w", &[], (1, 2));
        assert_eq!(lost(&[bad.clone(), lookup.clone()]), ["w"]);
        let mut hit = vertex("w", "[a s 1/4] WORKDIR /w", &[], (3, 4));
        assert!(lost(&[bad.clone(), lookup.clone(), hit.clone()]).is_empty(), "it ran");
        hit["cached"] = true.into();
        assert!(lost(&[bad, lookup, hit]).is_empty(), "it was found");
    }
}
