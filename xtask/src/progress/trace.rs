//! The events of a build, from its progress stream: steps with their stage and instruction, times,
//! last output. Limited: only the last lines of a step's output are kept.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::decode::{Chunk, Vertex, Warning};
use super::event::Event;
use super::step_name::{StepName, step_name};
use super::vertex::{TAIL, VertexState, flush_partial};
use crate::redact::Redactor;
use crate::text;

/// The known events of a build.
#[derive(Debug, Default)]
pub struct Trace {
    targets: Vec<String>,
    /// The start of an earlier call of the same build.
    origin: Option<Timestamp>,
    /// Vertices by digest.
    pub vertices: BTreeMap<String, VertexState>,
    /// Digests in the order in which they were first seen.
    pub order: Vec<String>,
    /// Warnings of steps and the frontend: lines that begin with `WARNING: `.
    pub warnings: Vec<String>,
    /// The call is a repetition: the first one met a damaged cache or registry.
    pub is_repeated: bool,
    redactor: Redactor,
}

/// BuildKit's name of the import of a cache.
pub(super) const IMPORT: &str = "importing cache manifest from ";
/// The maximum number of warnings.
const MOST_WARNINGS: usize = 20;

impl Trace {
    /// Creates the trace of a build of these targets.
    pub fn new(targets: &[String]) -> Self {
        Self { targets: targets.to_vec(), ..Self::default() }
    }

    /// Redacts all input.
    pub(crate) fn redacted_by(self, redactor: &Redactor) -> Self {
        Self { redactor: redactor.clone(), ..self }
    }

    /// Adds a chunk and returns its events.
    pub fn apply(&mut self, chunk: &Chunk) -> Vec<Event> {
        let mut events = Vec::new();
        for vertex in &chunk.vertexes {
            self.vertex(vertex, &mut events);
        }
        for status in &chunk.statuses {
            let Some(state) = self.vertices.get_mut(&status.vertex) else { continue };
            state.transfers.apply(status);
            events.push(Event::Progress(status.vertex.clone()));
        }
        for log in &chunk.logs {
            let Some(state) = self.vertices.get_mut(&log.vertex) else { continue };
            for line in state.partial.push(&log.bytes()) {
                let line = self.redactor.line(&line, &mut state.in_key).into_owned();
                state.tail.push_back(line.clone());
                if state.tail.len() > TAIL {
                    state.tail.pop_front();
                }
                if line.starts_with("WARNING: ") {
                    warn(&mut self.warnings, &line);
                }
                events.push(Event::Line(log.vertex.clone(), line));
            }
        }
        for text in chunk.warnings.iter().map(Warning::text) {
            let text = self.redactor.text(&text).into_owned();
            warn(&mut self.warnings, &text);
            events.push(Event::Warning(text));
        }
        events
    }

    fn vertex(&mut self, vertex: &Vertex, events: &mut Vec<Event>) {
        let parts = step_name(&vertex.name, &self.targets);
        let only = (self.targets.len() == 1).then(|| self.targets[0].clone());
        let target = parts.as_ref().and_then(|parts| parts.target.clone()).or(only);
        let state = self.vertices.entry(vertex.digest.clone()).or_insert_with(|| {
            self.order.push(vertex.digest.clone());
            let instruction = parts.as_ref().map_or("", |parts| parts.instruction.as_str());
            let shown = self.redactor.text(instruction).into_owned();
            let name = self.redactor.text(&vertex.name).into_owned();
            VertexState { name, shown, label: parts, ..VertexState::default() }
        });
        let under = target.clone().unwrap_or_default();
        // A vertex that two targets share has both their names.
        if let Some(target) = target.filter(|target| !state.targets.contains(target)) {
            state.targets.push(target);
        }
        if !vertex.error.is_empty() {
            state.error = self.redactor.text(&vertex.error).into_owned();
        }
        if !vertex.inputs.is_empty() {
            state.inputs.clone_from(&vertex.inputs);
        }
        let is_lookup = state.looks_up(vertex, &under);
        if !is_lookup {
            state.begins(vertex);
        }
        if is_lookup && state.has_run {
            return;
        }
        if vertex.started.is_some() && state.started.is_none() {
            state.started = vertex.started;
            if !vertex.cached && !is_lookup {
                events.push(Event::Started(vertex.digest.clone()));
            }
        }
        let was_running = state.is_running;
        if vertex.started.is_some() {
            state.is_running = vertex.completed.is_none();
        }
        state.was_hit |= vertex.cached;
        state.cached |= (vertex.cached && !state.is_made) || is_lookup;
        // Pulls and contexts end at once and start again to transfer their bytes.
        let moved = was_running && state.is_internal() && state.transfers.bytes().is_some();
        if vertex.completed.is_some() && (state.completed.is_none() || moved) {
            events.push(Event::Ended(vertex.digest.clone()));
        }
        // A step that ran for one target is found for another one.
        if !(vertex.cached && state.is_made) {
            state.completed = vertex.completed.or(state.completed);
        }
        flush_partial(state, vertex, &self.redactor, events);
    }

    /// Returns the start by the builder's clock: when its Dockerfiles were read, which no other
    /// build shares. For steps of several builds, BuildKit reports the earliest start (measured).
    pub fn begun(&self) -> Option<Timestamp> {
        let is_own = |state: &&VertexState| state.name.contains("internal] load build definition from");
        self.vertices.values().filter(is_own).filter_map(|state| state.started).min()
    }

    /// Marks steps as cached that ended before the build started: BuildKit replays the progress of
    /// another build that is still running.
    pub fn mark_replayed_as_cached(&mut self) {
        let Some(begun) = self.begun() else { return };
        let is_over = |state: &&mut VertexState| state.completed.is_some_and(|completed| completed < begun);
        let steps =
            self.vertices.values_mut().filter(|state| state.label.is_some() && state.error.is_empty());
        steps.filter(is_over).for_each(|state| state.cached = true);
    }

    /// Returns the start of the build, even in a later call. Times of steps are relative to it.
    /// Without a Dockerfile, the first vertex started it.
    pub fn origin(&self) -> Option<Timestamp> {
        let first = || self.vertices.values().filter_map(|state| state.started).min();
        self.origin.or_else(|| self.begun()).or_else(first)
    }

    /// Merges the trace of a stopped call: a step that ran there and is cached here ran in this
    /// build.
    pub fn merge_previous(&mut self, before: &Self) {
        self.origin = before.origin();
        for state in self.vertices.values_mut().filter(|state| state.cached) {
            let same = |earlier: &&VertexState| {
                earlier.label.is_some() && earlier.label == state.label && earlier.targets == state.targets
            };
            let ran = |earlier: &&VertexState| {
                !earlier.cached && earlier.completed.is_some() && earlier.error.is_empty()
            };
            if let Some(earlier) = before.vertices.values().filter(same).find(ran) {
                // A step after a local context has another digest in each call.
                *state = VertexState { inputs: std::mem::take(&mut state.inputs), ..earlier.clone() };
            }
        }
        self.warnings.splice(0..0, before.warnings.iter().cloned());
        self.warnings.dedup();
    }

    /// Returns whether a RUN has started in this build. One that started before is another build's,
    /// whose progress BuildKit replays. Only the builder's own clock is read: that of this machine
    /// may differ.
    pub(crate) fn started_a_command(&self) -> bool {
        self.steps().any(|(state, label)| label.is_run() && self.has_started(state))
    }

    /// Returns whether a step of any kind has started in this build. The load of a base image is
    /// none.
    pub(crate) fn started_a_step(&self) -> bool {
        self.steps().any(|(state, _)| !state.is_internal() && self.has_started(state))
    }

    fn has_started(&self, state: &VertexState) -> bool {
        let begun = self.begun();
        !state.cached && state.started.is_some_and(|started| begun.is_none_or(|begun| started >= begun))
    }

    /// Returns the steps of Dockerfiles in the order of their start; those that never started come
    /// last.
    pub fn steps(&self) -> impl Iterator<Item = (&VertexState, &StepName)> {
        self.digests().map(|(_, state, label)| (state, label))
    }

    /// Returns the steps with their digests.
    pub fn digests(&self) -> impl Iterator<Item = (&str, &VertexState, &StepName)> {
        let known = self.order.iter().map(|digest| (digest.as_str(), &self.vertices[digest]));
        let mut steps: Vec<_> =
            known.filter_map(|(digest, state)| Some((digest, state, state.label.as_ref()?))).collect();
        steps.sort_by_key(|(_, state, _)| (state.started.is_none(), state.started));
        steps.into_iter()
    }

    /// Returns the failed vertex, if there is one. Vertices that were canceled with it don't count,
    /// and neither does an unreadable cache, which BuildKit ignores.
    pub fn failed(&self) -> Option<&VertexState> {
        let failed =
            || self.vertices.values().filter(|state| !state.error.is_empty() && !state.name.contains(IMPORT));
        failed().find(|state| state.has_failed()).or_else(|| failed().next())
    }
}

impl Trace {
    /// Returns caches that the builder could not read, with the reasons. It may be on another
    /// network than xtask.
    pub fn unread(&self) -> impl Iterator<Item = (&str, &str)> {
        let imports = self.vertices.values().filter(|state| state.has_failed());
        imports.filter_map(|state| Some((state.name.split_once(IMPORT)?.1, state.error.as_str())))
    }
}

fn warn(warnings: &mut Vec<String>, text: &str) {
    let text = text::one_line(text, text::KEPT_LINE);
    if warnings.len() < MOST_WARNINGS && !warnings.contains(&text) {
        warnings.push(text);
    }
}

#[cfg(test)]
#[path = "trace_tests.rs"]
mod tests;
