//! The texts of a step, for every kind of display.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::progress::step_name::StepName;
use crate::progress::transfers::Bytes;
use crate::progress::vertex::VertexState;
use crate::text::size::show;
use crate::text::{one_line, seconds, terminal, without_mount_flags};

/// The minimum number of bytes that is shown.
const NEWS: u64 = 1_000_000;

/// Returns the place of a step: its stage, with its target if stages of two targets have no name.
pub(crate) fn place(label: &StepName) -> String {
    let place = match &label.target {
        Some(target) if label.stage.starts_with("stage-") => format!("{target} {}", label.stage),
        _ => label.stage.clone(),
    };
    terminal::plain(&place)
}

/// Returns the prefix of a step's output.
pub(crate) fn prefix(state: &VertexState) -> String {
    state.label.as_ref().map(place).unwrap_or_default()
}

/// Returns the heading of a step of a Dockerfile or an export. BuildKit's internal steps have one
/// only if they transfer data.
pub(crate) fn heading(state: &VertexState) -> Option<String> {
    let moves = || state.transfers.bytes().is_some_and(|bytes| bytes.current >= NEWS);
    match &state.label {
        Some(_) if state.is_internal() && !moves() => None,
        Some(label) => Some(format!(
            "{}: {}",
            place(label),
            one_line(&terminal::plain(&without_mount_flags(&state.shown)), 100)
        )),
        None if state.name.contains("exporting") => Some(terminal::plain(&state.name)),
        None => moves().then(|| terminal::plain(&state.name)),
    }
}

/// Returns `12.3 MB of 45.1 MB`.
pub(crate) fn bytes(bytes: Bytes) -> String {
    match bytes.total {
        Some(total) if total > bytes.current => format!("{} of {}", show(bytes.current), show(total)),
        _ => show(bytes.current),
    }
}

/// Returns the result of a step: its time, and the transferred bytes.
pub(crate) fn outcome(state: &VertexState) -> String {
    if state.has_failed() {
        return "failed".into();
    }
    if !state.error.is_empty() {
        return "stopped".into();
    }
    if state.cached {
        return "cached".into();
    }
    match state.transfers.bytes().filter(|bytes| bytes.current >= NEWS) {
        Some(moved) => format!("{}, {}", seconds(state.seconds()), show(moved.current)),
        None => seconds(state.seconds()),
    }
}

/// Returns the mark of the result, and its color.
pub(crate) fn mark(state: &VertexState) -> (&'static str, &'static str) {
    match (state.error.is_empty(), state.cached) {
        (false, _) => ("✗", "31"),
        (true, true) => ("=", "2"),
        (true, false) => ("✓", "32"),
    }
}

/// Returns a text in a color, if colors are on.
pub(crate) fn paint(text: &str, code: &str, color: bool) -> String {
    if color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

/// Steps that ended in an earlier call of the same build, and their start times. If the next call
/// finds them cached, or replays the same run, it was printed already.
#[derive(Debug, Default)]
pub(crate) struct EarlierSteps {
    now: BTreeMap<StepName, Option<Timestamp>>,
    before: BTreeMap<StepName, Option<Timestamp>>,
}

impl EarlierSteps {
    /// Records the end of a step.
    pub(crate) fn ended(&mut self, state: &VertexState) {
        if let Some(label) = state.label.as_ref().filter(|_| state.error.is_empty()) {
            self.now.insert(label.clone(), state.started);
        }
    }

    /// Returns whether an event of a step is new.
    pub(crate) fn is_news(&self, state: &VertexState) -> bool {
        let before = state.label.as_ref().and_then(|label| self.before.get(label));
        before.is_none_or(|began| !state.cached && *began != state.started)
    }

    /// Ends a call.
    pub(crate) fn call_is_over(&mut self) {
        self.before.append(&mut self.now);
    }

    /// Returns whether it ended in an earlier call.
    pub(crate) fn has(&self, label: &StepName) -> bool {
        self.before.contains_key(label)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::progress::event::Event;
    use crate::progress::trace::Trace;

    /// Returns a trace of one target `app`, and the events of these chunks.
    pub(crate) fn events(trace: &mut Trace, chunks: &[&str]) -> Vec<Event> {
        let chunk =
            |json: &&str| serde_json::from_str(json).unwrap_or_else(|error| panic!("{json}: {error}"));
        chunks.iter().flat_map(|json| trace.apply(&chunk(json))).collect()
    }

    /// Returns a vertex that started at second `from`, and ended at second `to` if there is one.
    pub(crate) fn vertex(digest: &str, name: &str, from: u32, to: Option<u32>) -> String {
        let to = to.map(|to| format!(r#","completed":"2026-11-22T12:00:{to:02}Z""#)).unwrap_or_default();
        format!(
            r#"{{"vertexes":[{{"digest":"{digest}","name":"{name}","started":"2026-11-22T12:00:{from:02}Z"{to}}}]}}"#
        )
    }

    /// Returns an output of a vertex.
    pub(crate) fn log(digest: &str, text: &str) -> String {
        let data = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, text);
        format!(r#"{{"logs":[{{"vertex":"{digest}","data":"{data}"}}]}}"#)
    }

    #[test]
    fn what_is_worth_a_line() {
        let mut trace = Trace::new(&["app".to_owned()]);
        let moved = r#"{"statuses":[{"id":"transferring context:","vertex":"c","current":2500000}]}"#;
        events(
            &mut trace,
            &[
                &vertex("a", "[php 2/3] RUN --mount=type=cache,target=/x make", 0, Some(2)),
                &vertex("b", "[php 1/3] FROM debian", 0, Some(1)),
                &vertex("c", "[internal] load build context", 0, Some(1)),
                &vertex("d", "[internal] load metadata", 0, None),
                &vertex("e", "exporting to image", 0, None),
                moved,
            ],
        );
        let said = |digest: &str| heading(&trace.vertices[digest]);
        assert_eq!(said("a").as_deref(), Some("php: RUN make"));
        assert_eq!((said("b"), said("d")), (None, None));
        assert_eq!(said("c").as_deref(), Some("[internal] load build context"));
        assert_eq!(said("e").as_deref(), Some("exporting to image"));
        assert_eq!(outcome(&trace.vertices["c"]), "1.0 s, 2.5 MB");
        assert_eq!(outcome(&trace.vertices["a"]), "2.0 s");
        assert_eq!(bytes(Bytes { current: 1_000_000, total: Some(45_100_000) }), "1.0 MB of 45.1 MB");
    }

    #[test]
    fn what_an_earlier_call_said_is_not_said_again() {
        let mut past = EarlierSteps::default();
        let mut trace = Trace::new(&["app".to_owned()]);
        let name = "[php 2/3] RUN make";
        events(&mut trace, &[&vertex("a", name, 0, Some(2))]);
        assert!(past.is_news(&trace.vertices["a"]));
        past.ended(&trace.vertices["a"]);
        let cached = format!(r#"{{"vertexes":[{{"digest":"b","name":"{name}","cached":true}}]}}"#);
        let (replayed, again) = (vertex("c", name, 0, Some(2)), vertex("d", name, 5, Some(7)));
        events(&mut trace, &[&cached, &replayed, &again]);
        let is_news =
            |past: &EarlierSteps| ["b", "c", "d"].map(|digest| past.is_news(&trace.vertices[digest]));
        assert_eq!(is_news(&past), [true, true, true], "steps of one call");
        past.call_is_over();
        assert_eq!(is_news(&past), [false, false, true]);
    }
}
