//! The known state of a vertex: a step of a Dockerfile, or the loading or export of results.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;

use super::decode::Vertex;
use super::event::Event;
use super::step_name::StepName;
use super::transfers::Transfers;
use crate::redact::Redactor;
use crate::text::partial_line::PartialLine;

/// The number of output lines of a step for an error.
pub(crate) const TAIL: usize = 30;

/// The known state of a vertex.
#[derive(Debug, Clone, Default)]
pub struct VertexState {
    /// Its name when it was first seen.
    pub name: String,
    /// Its parsed name, for a step of a Dockerfile. It identifies the step and is not shown.
    pub label: Option<StepName>,
    /// Its redacted instruction for display.
    pub shown: String,
    pub targets: Vec<String>,
    /// The first start.
    pub started: Option<Timestamp>,
    /// The last end.
    pub completed: Option<Timestamp>,
    /// Whether it runs: it started, possibly again, and has not ended.
    pub is_running: bool,
    /// Whether its result existed.
    pub cached: bool,
    /// Why it failed.
    pub error: String,
    /// Digests of the vertices that it depends on.
    pub inputs: Vec<String>,
    /// The last lines of its output.
    pub tail: VecDeque<String>,
    pub transfers: Transfers,
    /// Output after the last line break.
    pub(super) partial: PartialLine,
    /// Whether its output is within a private key.
    pub(super) in_key: bool,
    /// When the builder began to look for its result, by target, where that counts as a run of its
    /// own: a vertex that targets share is looked up for each.
    pub(super) lookups: BTreeMap<String, Timestamp>,
    /// Whether it ran after that.
    pub(super) has_run: bool,
    /// Whether the builder found its result.
    pub(super) was_hit: bool,
    /// Whether its step ran, whatever else was reported of it.
    pub(super) is_made: bool,
}

impl VertexState {
    /// Returns whether it failed by itself. One that was canceled with another has an error, too.
    pub fn has_failed(&self) -> bool {
        !self.error.is_empty() && !self.error.contains("context canceled")
    }

    /// Returns its place in the Dockerfile of any of its targets: platform, stage, number and
    /// instruction.
    pub(crate) fn place(&self) -> String {
        let Some(label) = &self.label else { return self.name.clone() };
        let mut words = self.name.split(']').next().unwrap_or_default().rsplit(' ');
        let _count = words.next();
        let platform = words.find(|word| word.contains('/')).unwrap_or_default();
        format!("{platform} {} {} {}", label.stage, label.number, label.instruction)
    }

    /// Returns its time in seconds.
    pub fn seconds(&self) -> f64 {
        match (self.started, self.completed) {
            (Some(start), Some(end)) => end.duration_since(start).as_secs_f64().max(0.0),
            _ => 0.0,
        }
    }

    /// Returns whether it is not a step of the user: it loads inputs of steps, or exports their
    /// results.
    pub fn is_internal(&self) -> bool {
        // The download of an ADD is a vertex of the same name without inputs.
        let gets = |label: &StepName| {
            label.instruction.starts_with("FROM ")
                || (label.instruction.starts_with("ADD ") && self.inputs.is_empty())
        };
        self.label.as_ref().is_none_or(gets)
    }

    /// Returns whether BuildKit only looks for the result of a step without dependencies: a WORKDIR
    /// at the start of a stage from scratch. That counts as a run in every build. A step that
    /// really runs starts a second time.
    pub(super) fn looks_up(&mut self, vertex: &Vertex, target: &str) -> bool {
        let is_workdir = |label: &StepName| label.instruction.starts_with("WORKDIR ");
        if !self.inputs.is_empty() || !self.label.as_ref().is_some_and(is_workdir) {
            return false;
        }
        let Some(started) = vertex.started else { return false };
        if *self.lookups.entry(target.to_owned()).or_insert(started) == started {
            return true;
        }
        if self.started.is_some_and(|started| self.lookups.values().any(|lookup| *lookup == started)) {
            (self.started, self.completed, self.cached) = (None, None, false);
        }
        self.has_run = true;
        false
    }

    /// Notes the run of a step. BuildKit reports the steps below a found result as cached, and runs
    /// one of them later where another step needs it and its result is gone. The download of a
    /// found result begins, too, and is reported without dependencies.
    pub(super) fn begins(&mut self, vertex: &Vertex) {
        if vertex.started.is_none() || vertex.cached || vertex.inputs.is_empty() || self.is_internal() {
            return;
        }
        if self.cached && !self.is_made {
            (self.started, self.completed, self.cached) = (None, None, false);
            self.error.clear();
        }
        self.is_made = true;
    }

    /// Returns the step's own exit code, which is only in the message.
    pub fn exit_code(&self) -> Option<i32> {
        let (_, code) = self.error.rsplit_once("exit code: ")?;
        code.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok()
    }
}

/// The last output of a step may lack its line break.
pub(super) fn flush_partial(
    state: &mut VertexState,
    vertex: &Vertex,
    redactor: &Redactor,
    events: &mut Vec<Event>,
) {
    if vertex.completed.is_none() {
        return;
    }
    if let Some(line) = state.partial.rest() {
        let line = redactor.line(&line, &mut state.in_key).into_owned();
        state.tail.push_back(line.clone());
        events.push(Event::Line(vertex.digest.clone(), line));
    }
}
