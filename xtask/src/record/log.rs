//! The log of a build, written while it runs, with limited size. It has the start and the end of
//! each step's output, and much more of the end for a failed step. Secrets are redacted. After a
//! failed write the log is abandoned, and the build continues.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::files;
use crate::progress::event::Event;
use crate::progress::trace::Trace;
use crate::progress::vertex::VertexState;
use crate::redact::Redactor;
use crate::text::{KEPT_LINE, step_without_mount_flags};

/// The size in bytes after which only output of failed steps is added.
const ENOUGH: usize = 64 * 1024;
/// The maximum size in bytes.
const MAX_BYTES: usize = 128 * 1024;
/// The size of a step's start, which is written at once.
const BEGINNING: usize = 4 * 1024;
/// The size of its end, which is written when the step is over.
const END: usize = 2 * 1024;
/// The size of the end of a failed step.
const END_OF_FAILED: usize = 48 * 1024;
/// The maximum length of a name.
const NAME: usize = 200;

/// The log of all calls of one build.
#[derive(Debug, Default)]
pub struct Log {
    path: PathBuf,
    redactor: Redactor,
    state: Mutex<Written>,
}

#[derive(Debug, Default)]
struct Written {
    file: Option<File>,
    /// Why nothing more is written.
    problem: Option<String>,
    bytes: usize,
    outputs: BTreeMap<String, Output>,
}

/// A step's output.
#[derive(Debug, Default)]
struct Output {
    /// Written bytes of its start.
    written: usize,
    /// The end so far.
    end: VecDeque<String>,
    bytes: usize,
    /// The number of lines between the two.
    left_out: usize,
    /// Whether its step has failed, when it is over. More lines may follow.
    failed: Option<bool>,
}

impl Output {
    fn push(&mut self, line: String) {
        self.bytes += line.len();
        self.end.push_back(line);
        self.keep(END_OF_FAILED);
    }

    fn keep(&mut self, bytes: usize) {
        while self.bytes > bytes {
            let Some(line) = self.end.pop_front() else { break };
            self.bytes -= line.len();
            self.left_out += 1;
        }
    }
}

impl Log {
    /// Creates a log at `path`, which a call creates or appends to.
    pub fn new(path: impl Into<PathBuf>, redactor: Redactor) -> Self {
        Self { path: path.into(), redactor, state: Mutex::default() }
    }

    /// Returns the redactor of logged calls.
    pub(crate) fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    /// Returns its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Creates or opens the file.
    pub fn open(&self) {
        let mut state = self.state();
        if state.file.is_none() && state.problem.is_none() {
            match files::append(&self.path) {
                Ok(file) => state.file = Some(file),
                Err(error) => state.give_up(&error),
            }
        }
    }

    /// Returns why the log is not complete, if it isn't.
    pub fn problem(&self) -> Option<String> {
        let problem = self.state().problem.clone()?;
        Some(format!("the log `{}` is not complete: {problem}", self.path.display()))
    }

    /// Writes a line from outside the stream: bake's own output.
    pub fn text(&self, line: &str) {
        self.state().write(&self.clean(line, KEPT_LINE), MAX_BYTES);
    }

    /// Writes an event. Every line of output has its step in front.
    pub fn event(&self, trace: &Trace, event: &Event) {
        let mut written = self.state();
        match event {
            Event::Started(digest) => {
                written.write(&self.clean(&step_without_mount_flags(name(trace, digest)), NAME), ENOUGH);
            }
            Event::Line(digest, line) => {
                let place = name(trace, digest).split(']').next().unwrap_or_default();
                let line = self.clean(&format!("{place}] {line}"), KEPT_LINE);
                written.output(digest, line);
            }
            Event::Ended(digest) => {
                let state = &trace.vertices[digest];
                let failed = state.has_failed();
                written.end(digest, Some(failed));
                written.write(&self.clean(&ended(state), 2 * NAME), most(failed));
            }
            Event::Warning(text) => {
                written.write(&self.clean(&format!("warning: {text}"), KEPT_LINE), ENOUGH);
            }
            Event::Progress(_) => {}
        }
    }

    /// Ends a call: writes late output, and the end so far of running steps.
    pub fn end_of_call(&self) {
        let mut written = self.state();
        let open: Vec<String> = written.outputs.keys().cloned().collect();
        open.iter().for_each(|digest| written.end(digest, None));
        written.outputs.clear();
    }

    fn clean(&self, line: &str, width: usize) -> String {
        // Lines of a call are already redacted. Combined text is redacted before it is truncated.
        let line = self.redactor.text(line);
        if line.chars().count() > width {
            line.chars().take(width).chain(['…']).collect()
        } else {
            line.into_owned()
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, Written> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Written {
    fn write(&mut self, line: &str, most: usize) {
        if self.bytes + line.len() >= most {
            return;
        }
        self.bytes += line.len() + 1;
        // One write for the whole line, so that a full disk truncates the log between two lines.
        let written = self.file.as_mut().map(|file| file.write_all(format!("{line}\n").as_bytes()));
        if let Some(Err(error)) = written {
            self.give_up(&error);
        }
    }

    fn give_up(&mut self, error: &io::Error) {
        self.file = None;
        self.problem = Some(error.to_string());
    }

    fn output(&mut self, digest: &str, line: String) {
        let is_room = self.bytes + line.len() < ENOUGH;
        let output = self.outputs.entry(digest.to_owned()).or_default();
        if !is_room
            || output.failed.is_some()
            || !output.end.is_empty()
            || output.written + line.len() > BEGINNING
        {
            output.push(line);
            return;
        }
        output.written += line.len();
        self.write(&line, ENOUGH);
    }

    /// Writes the end of a step's output once, with the size for its result.
    fn end(&mut self, digest: &str, failed: Option<bool>) {
        let Some(output) = self.outputs.get_mut(digest) else { return };
        output.failed = output.failed.or(failed);
        let has_failed = output.failed.unwrap_or(true);
        output.keep(if has_failed { END_OF_FAILED } else { END });
        let (lines, left_out) = (std::mem::take(&mut output.end), std::mem::take(&mut output.left_out));
        output.bytes = 0;
        if left_out > 0 {
            self.write(&format!("[... {left_out} lines skipped ...]"), most(has_failed));
        }
        lines.iter().for_each(|line| self.write(line, most(has_failed)));
    }
}

/// Returns the maximum size of the log for a step.
fn most(failed: bool) -> usize {
    if failed { MAX_BYTES } else { ENOUGH }
}

fn name<'a>(trace: &'a Trace, digest: &str) -> &'a str {
    trace.vertices.get(digest).map_or("", |state| state.name.as_str())
}

/// Returns `[php 2/3] RUN make -- 9.9 s`.
fn ended(state: &VertexState) -> String {
    let how = if state.cached { "cached".to_owned() } else { format!("{:.1} s", state.seconds()) };
    let name: String = step_without_mount_flags(&state.name).chars().take(NAME).collect();
    format!("{name} -- {how} {}", state.error).trim_end().to_owned()
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
