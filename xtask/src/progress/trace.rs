//! What happened in a build, from its progress stream: steps with their stage and instruction,
//! times, last output. Bounded: of a step's output only the last lines are kept.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;

use super::decode::{Chunk, Vertex, Warning};
use super::step_name::{StepName, step_name};
use super::transfers::Transfers;
use crate::redact::Redactor;

/// How many lines of a step's output are kept for an error.
pub(crate) const TAIL: usize = 30;

/// A vertex as it is known so far.
#[derive(Debug, Clone, Default)]
pub struct VertexState {
    /// Its name, as it was first seen.
    pub name: String,
    /// Its parts as BuildKit has them, for a step of a Dockerfile: they lead to the step, and are
    /// not shown.
    pub label: Option<StepName>,
    /// Its instruction as it is shown, redacted.
    pub shown: String,
    /// The targets it came under.
    pub targets: Vec<String>,
    /// When it first started.
    pub started: Option<Timestamp>,
    /// When it last ended.
    pub completed: Option<Timestamp>,
    /// Whether it runs: it began, or began again, and has not ended.
    pub is_running: bool,
    /// Whether its result was there.
    pub cached: bool,
    /// Why it failed.
    pub error: String,
    /// Digests of the vertices whose results it takes.
    pub inputs: Vec<String>,
    /// The last lines of its output.
    pub tail: VecDeque<String>,
    /// What it moves.
    pub transfers: Transfers,
    /// Output after the last line break.
    partial: String,
    /// Whether its output is within a private key.
    in_key: bool,
    /// When the builder began to look for its result, by target, where that counts as a run of its
    /// own: a vertex that targets share is looked up for each.
    lookups: BTreeMap<String, Timestamp>,
    /// Whether it ran after that.
    has_run: bool,
}

impl VertexState {
    /// Whether it failed by itself: one that was cancelled with another has an error, too.
    pub fn has_failed(&self) -> bool {
        !self.error.is_empty() && !self.error.contains("context canceled")
    }

    /// How long it took, in seconds.
    pub fn seconds(&self) -> f64 {
        match (self.started, self.completed) {
            (Some(start), Some(end)) => end.duration_since(start).as_secs_f64().max(0.0),
            _ => 0.0,
        }
    }

    /// Whether it is no step of the user's: it gets what steps need, and brings away what they
    /// made.
    pub fn is_internal(&self) -> bool {
        // What an ADD fetches is a vertex of the same name, which takes nothing.
        let gets = |label: &StepName| {
            label.instruction.starts_with("FROM ")
                || (label.instruction.starts_with("ADD ") && self.inputs.is_empty())
        };
        self.label.as_ref().is_none_or(gets)
    }

    /// Whether BuildKit only looks for the result of a step that takes none of another step's: a
    /// WORKDIR at the top of a stage from scratch. That counts as a run in every build. A step that
    /// runs begins a second time.
    fn looks_up(&mut self, vertex: &Vertex, target: &str) -> bool {
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

    /// The step's own exit code, which the message alone tells.
    pub fn exit_code(&self) -> Option<i32> {
        let (_, code) = self.error.rsplit_once("exit code: ")?;
        code.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok()
    }
}

/// What one chunk of the stream means for somebody who watches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A vertex began to run.
    Started(String),
    /// A vertex ended.
    Ended(String),
    /// A vertex printed a line.
    Line(String, String),
    /// Bytes of a vertex moved.
    Progress(String),
    /// The frontend warns.
    Warning(String),
}

/// Everything known of a build so far.
#[derive(Debug, Default)]
pub struct Trace {
    targets: Vec<String>,
    /// When an earlier call of the same build began.
    origin: Option<Timestamp>,
    /// Vertices by digest.
    pub vertices: BTreeMap<String, VertexState>,
    /// Digests in the order in which they were first seen.
    pub order: Vec<String>,
    /// What steps and the frontend warn of: lines that begin with `WARNING: `.
    pub warnings: Vec<String>,
    redactor: Redactor,
}

/// How BuildKit names the reading of a cache.
const IMPORT: &str = "importing cache manifest from ";
/// More warnings than this are noise.
const MOST_WARNINGS: usize = 20;

impl Trace {
    /// A trace of a build of these targets.
    pub fn new(targets: &[String]) -> Self {
        Self { targets: targets.to_vec(), ..Self::default() }
    }

    /// Redacts all that comes into it.
    pub(crate) fn redacted_by(self, redactor: &Redactor) -> Self {
        Self { redactor: redactor.clone(), ..self }
    }

    /// Takes a chunk in and says what it means.
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
            state.partial.push_str(&log.text());
            while let Some(end) = state.partial.find('\n') {
                let line: String = state.partial.drain(..=end).collect();
                // A carriage return takes what stood before it off the screen.
                let line = line.trim_end().rsplit('\r').next().unwrap_or_default();
                let line = self.redactor.line(line, &mut state.in_key).into_owned();
                state.tail.push_back(line.clone());
                if state.tail.len() > TAIL {
                    state.tail.pop_front();
                }
                if line.starts_with("WARNING: ") {
                    warn(&mut self.warnings, line.clone());
                }
                events.push(Event::Line(log.vertex.clone(), line));
            }
        }
        for text in chunk.warnings.iter().map(Warning::text) {
            let text = self.redactor.text(&text).into_owned();
            warn(&mut self.warnings, text.clone());
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
        // A vertex that two targets share comes under both their names.
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
        state.cached |= vertex.cached || is_lookup;
        // Pulls and contexts end at once and begin again, to move their bytes.
        let moved = was_running && state.is_internal() && state.transfers.bytes().is_some();
        if vertex.completed.is_some() && (state.completed.is_none() || moved) {
            events.push(Event::Ended(vertex.digest.clone()));
        }
        state.completed = vertex.completed.or(state.completed);
        flush_partial(state, vertex, &self.redactor, events);
    }

    /// When it began, by the builder's clock: when its Dockerfiles were read, which no other build
    /// shares. Of steps that others run as well, BuildKit tells when those began them (measured).
    pub fn begun(&self) -> Option<Timestamp> {
        let is_own = |state: &&VertexState| state.name.contains("internal] load build definition from");
        self.vertices.values().filter(is_own).filter_map(|state| state.started).min()
    }

    /// What was over before the build began ran for another one, whose progress BuildKit replays
    /// while that goes on: here it was there.
    pub fn mark_replayed_as_cached(&mut self) {
        let Some(begun) = self.begun() else { return };
        let is_over = |state: &&mut VertexState| state.completed.is_some_and(|completed| completed < begun);
        let steps =
            self.vertices.values_mut().filter(|state| state.label.is_some() && state.error.is_empty());
        steps.filter(is_over).for_each(|state| state.cached = true);
    }

    /// When the build began, also where this is not its first call: what steps' times are told
    /// from. Where no Dockerfile was read, the first vertex began it.
    pub fn origin(&self) -> Option<Timestamp> {
        let first = || self.vertices.values().filter_map(|state| state.started).min();
        self.origin.or_else(|| self.begun()).or_else(first)
    }

    /// Takes over from a call that was stopped: a step that ran there and is cached here ran in
    /// this build.
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
                // A step behind a local context has another digest in each call.
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
        let begun = self.begun();
        let is_run = |state: &VertexState| state.label.as_ref().is_some_and(StepName::is_run);
        let is_new = |started: Timestamp| begun.is_none_or(|begun| started >= begun);
        let runs = self.vertices.values().filter(|state| is_run(state) && !state.cached);
        runs.filter_map(|state| state.started).any(is_new)
    }

    /// Steps of Dockerfiles, in the order in which they started; those that never did come last.
    pub fn steps(&self) -> impl Iterator<Item = (&VertexState, &StepName)> {
        self.digests().map(|(_, state, label)| (state, label))
    }

    /// The same with their digests.
    pub fn digests(&self) -> impl Iterator<Item = (&str, &VertexState, &StepName)> {
        let known = self.order.iter().map(|digest| (digest.as_str(), &self.vertices[digest]));
        let mut steps: Vec<_> =
            known.filter_map(|(digest, state)| Some((digest, state, state.label.as_ref()?))).collect();
        steps.sort_by_key(|(_, state, _)| (state.started.is_none(), state.started));
        steps.into_iter()
    }

    /// The vertex that failed, if one did. Those that were cancelled with it say so and are not it,
    /// nor is a cache that could not be read, which BuildKit goes on without.
    pub fn failed(&self) -> Option<&VertexState> {
        let failed =
            || self.vertices.values().filter(|state| !state.error.is_empty() && !state.name.contains(IMPORT));
        failed().find(|state| state.has_failed()).or_else(|| failed().next())
    }
}

impl Trace {
    /// Caches that the builder could not read, with its reason: it may see another network than
    /// whoever asked the registry.
    pub fn unread(&self) -> impl Iterator<Item = (&str, &str)> {
        let imports = self.vertices.values().filter(|state| state.has_failed());
        imports.filter_map(|state| Some((state.name.split_once(IMPORT)?.1, state.error.as_str())))
    }
}

fn warn(warnings: &mut Vec<String>, text: String) {
    if warnings.len() < MOST_WARNINGS && !warnings.contains(&text) {
        warnings.push(text);
    }
}

/// What a step printed last may lack its line break.
fn flush_partial(state: &mut VertexState, vertex: &Vertex, redactor: &Redactor, events: &mut Vec<Event>) {
    if vertex.completed.is_some() && !state.partial.is_empty() {
        let line = std::mem::take(&mut state.partial);
        let line = redactor.line(line.trim_end(), &mut state.in_key).into_owned();
        state.tail.push_back(line.clone());
        events.push(Event::Line(vertex.digest.clone(), line));
    }
}

#[cfg(test)]
#[path = "trace_tests.rs"]
mod tests;
