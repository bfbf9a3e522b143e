//! Plain lines for CIs with folds in their logs, GitHub and GitLab. Folds are sequential, and steps
//! run in parallel: the step that started first is shown live, and the output of the others waits,
//! in a file if it is large. All output is shown in the end.

use std::collections::VecDeque;
use std::io::{self, Seek, Write};
use std::time::Instant;

use jiff::Timestamp;
use tempfile::{SpooledTempFile, spooled_tempfile};

use super::lines::{EarlierSteps, heading, outcome, prefix};
use crate::host::Host;
use crate::process::stdio;
use crate::progress::Watcher;
use crate::progress::event::Event;
use crate::progress::trace::Trace;
use crate::text::terminal;

/// The size of a waiting step's output in memory.
const IN_MEMORY: usize = 256 * 1024;

/// The fold format of a CI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// `::group::`, collapsed at first.
    GitHub,
    /// `section_start`, expanded by default.
    GitLab,
}

impl Style {
    /// Returns the format of the current CI.
    pub(crate) fn of(host: &Host) -> Option<Self> {
        let is = |name: &str| host.var(name) == Some("true");
        is("GITHUB_ACTIONS").then_some(Self::GitHub).or_else(|| is("GITLAB_CI").then_some(Self::GitLab))
    }
}

/// A fold's name and times, for GitLab.
struct Marks {
    style: Style,
    /// Names are unique in a job, which may have several builds.
    first: i64,
}

impl Marks {
    fn start(&self, block: &Block, is_closed: bool) -> String {
        let (at, first, number) = (block.begun, self.first, block.number);
        let closed = if is_closed { "[collapsed=true]" } else { "" };
        match self.style {
            Style::GitHub => format!("::group::{}", block.heading),
            Style::GitLab => {
                format!(
                    "\x1b[0Ksection_start:{at}:durango_{first}_{number}{closed}\r\x1b[0K{}",
                    block.heading
                )
            }
        }
    }

    fn end(&self, block: &Block, at: i64) -> String {
        match self.style {
            Style::GitHub => "::endgroup::".into(),
            Style::GitLab => {
                format!("\x1b[0Ksection_end:{at}:durango_{}_{}\r\x1b[0K", self.first, block.number)
            }
        }
    }
}

/// The end of a step.
struct End {
    at: i64,
    outcome: String,
    has_failed: bool,
    /// Its last lines, if it failed.
    tail: Vec<String>,
}

/// A waiting or shown step with its output.
struct Block {
    /// The vertex; empty for a single line.
    digest: String,
    number: usize,
    heading: String,
    begun: i64,
    is_open: bool,
    waiting: SpooledTempFile,
    end: Option<End>,
}

/// Prints lines and folds.
pub(crate) struct LogGroups {
    marks: Marks,
    color: bool,
    began: Instant,
    past: EarlierSteps,
    blocks: VecDeque<Block>,
    count: usize,
}

impl LogGroups {
    /// Creates folds in this format. `now` is the time.
    pub(crate) fn new(style: Style, color: bool, now: Timestamp) -> Self {
        let marks = Marks { style, first: now.as_second() };
        let (began, past) = (Instant::now(), EarlierSteps::default());
        Self { marks, color, began, past, blocks: VecDeque::new(), count: 0 }
    }

    fn now(&self) -> i64 {
        self.marks.first + i64::try_from(self.began.elapsed().as_secs()).unwrap_or_default()
    }

    fn push(&mut self, digest: &str, heading: String, now: i64) -> &mut Block {
        self.count += 1;
        self.blocks.push_back(Block {
            digest: digest.to_owned(),
            number: self.count,
            heading,
            begun: now,
            is_open: false,
            waiting: spooled_tempfile(IN_MEMORY),
            end: None,
        });
        let last = self.blocks.len() - 1;
        &mut self.blocks[last]
    }

    fn take(&mut self, trace: &Trace, event: &Event, now: i64, out: &mut dyn Write) -> io::Result<()> {
        match event {
            Event::Started(digest) => {
                let state = &trace.vertices[digest];
                if let Some(heading) = heading(state).filter(|_| self.past.is_news(state)) {
                    self.push(digest, heading, now);
                }
            }
            Event::Ended(digest) => self.ended(trace, digest, now),
            Event::Line(digest, line) => {
                let line =
                    format!("  {} | {}", prefix(&trace.vertices[digest]), terminal::line(line, self.color));
                match self.blocks.iter_mut().find(|block| block.digest == *digest && block.end.is_none()) {
                    Some(block) if block.is_open => writeln!(out, "{line}")?,
                    Some(block) => writeln!(block.waiting, "{line}")?,
                    None if self.past.is_news(&trace.vertices[digest]) => self.note(line, now),
                    None => {}
                }
            }
            Event::Warning(text) => self.note(format!("warning: {}", terminal::plain(text)), now),
            Event::Progress(_) => return Ok(()),
        }
        self.advance(out)
    }

    /// Adds a single line in order.
    fn note(&mut self, line: String, now: i64) {
        let block = self.push("", line, now);
        block.end = Some(End { at: now, outcome: String::new(), has_failed: false, tail: Vec::new() });
    }

    fn ended(&mut self, trace: &Trace, digest: &str, now: i64) {
        let state = &trace.vertices[digest];
        self.past.ended(state);
        let open = self.blocks.iter_mut().find(|block| block.digest == digest && block.end.is_none());
        if let Some(block) = open {
            let has_failed = state.has_failed();
            let tail = if has_failed { state.tail.iter().cloned().collect() } else { Vec::new() };
            block.end = Some(End { at: now, outcome: outcome(state), has_failed, tail });
        } else if let Some(heading) = heading(state).filter(|_| self.past.is_news(state)) {
            self.note(format!("{heading}: {}", outcome(state)), now);
        }
    }

    /// Shows all completed steps in the order of their start, and the first running one.
    fn advance(&mut self, out: &mut dyn Write) -> io::Result<()> {
        while let Some(mut block) = self.blocks.pop_front() {
            if block.digest.is_empty() {
                writeln!(out, "{}", block.heading)?;
            } else if block.end.is_some() {
                self.finish(&mut block, out)?;
            } else {
                if !block.is_open {
                    writeln!(out, "{}", self.marks.start(&block, false))?;
                    block.show_waiting(out)?;
                    block.is_open = true;
                }
                self.blocks.push_front(block);
                return Ok(());
            }
        }
        Ok(())
    }

    /// The lines of a failed step are not in a collapsed fold.
    fn finish(&self, block: &mut Block, out: &mut dyn Write) -> io::Result<()> {
        let Some(end) = block.end.take() else { return Ok(()) };
        let is_folded = block.is_open || !(end.has_failed || block.is_silent());
        if is_folded && !block.is_open {
            writeln!(out, "{}", self.marks.start(block, true))?;
        }
        block.show_waiting(out)?;
        if is_folded {
            writeln!(out, "{}", self.marks.end(block, end.at))?;
        }
        writeln!(out, "{}: {}", block.heading, end.outcome)?;
        if is_folded && self.marks.style == Style::GitHub {
            end.tail.iter().try_for_each(|line| writeln!(out, "  | {}", terminal::line(line, self.color)))?;
        }
        Ok(())
    }

    /// Ends a call and shows unfinished steps.
    fn close(&mut self, now: i64, out: &mut dyn Write) -> io::Result<()> {
        for block in self.blocks.iter_mut().filter(|block| block.end.is_none()) {
            let outcome = "stopped".to_owned();
            block.end = Some(End { at: now, outcome, has_failed: false, tail: Vec::new() });
        }
        self.past.call_is_over();
        self.advance(out)
    }
}

impl Block {
    fn is_silent(&mut self) -> bool {
        self.waiting.stream_position().unwrap_or(0) == 0
    }

    fn show_waiting(&mut self, out: &mut dyn Write) -> io::Result<()> {
        self.waiting.rewind()?;
        io::copy(&mut self.waiting, out)?;
        self.waiting = spooled_tempfile(IN_MEMORY);
        Ok(())
    }
}

impl Watcher for LogGroups {
    fn event(&mut self, trace: &Trace, event: &Event) {
        let now = self.now();
        let _ = self.take(trace, event, now, &mut stdio::stderr());
    }

    fn end(&mut self, _: &Trace) {
        let now = self.now();
        let _ = self.close(now, &mut stdio::stderr());
    }
}

#[cfg(test)]
#[path = "log_groups_tests.rs"]
mod tests;
