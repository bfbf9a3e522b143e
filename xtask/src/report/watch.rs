//! Showing a build while it runs, on stderr: a live display on a terminal, plain lines elsewhere.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::text::{one_line, plain, seconds};
use crate::cli::Session;
use crate::cli::parse::Progress;
use crate::exec::bake::Watcher;
use crate::exec::trace::{Event, State, Trace};

/// What is foreseen of a build, as soon as it is.
pub type Foreseen = std::sync::Arc<std::sync::OnceLock<crate::plan::forecast::Forecast>>;

/// The watcher that the options and the terminal ask for.
pub fn watcher(session: &Session, _foreseen: &Foreseen) -> Box<dyn Watcher> {
    match session.globals.progress {
        Progress::Quiet => Box::new(Quiet),
        Progress::RawJson => Box::new(RawJson),
        Progress::Auto if session.host.stderr_is_terminal => Box::new(Live::new(session)),
        Progress::Auto | Progress::Plain => Box::new(Plain),
    }
}

/// Shows nothing; also used where a call is no build of the user's.
pub struct Quiet;

impl Watcher for Quiet {
    fn event(&mut self, _: &Trace, _: &Event) {}
}

/// Passes BuildKit's stream through.
struct RawJson;

impl Watcher for RawJson {
    fn event(&mut self, _: &Trace, _: &Event) {}

    fn raw(&mut self, text: &str) {
        let mut stderr = io::stderr().lock();
        let _ = writeln!(stderr, "{}", text.trim_end());
    }
}

/// A line when a step starts and ends, and its output.
struct Plain;

impl Watcher for Plain {
    fn event(&mut self, trace: &Trace, event: &Event) {
        if let Some(line) = plain_line(trace, event) {
            eprintln!("{line}");
        }
    }
}

fn plain_line(trace: &Trace, event: &Event) -> Option<String> {
    match event {
        Event::Started(digest) => Some(format!("{} ...", heading(&trace.vertices[digest])?)),
        Event::Ended(digest) => {
            let state = &trace.vertices[digest];
            Some(format!("{}: {}", heading(state)?, outcome(state)))
        }
        Event::Line(digest, line) => Some(format!("  {} | {line}", stage(&trace.vertices[digest]))),
        Event::Warning(text) => Some(format!("warning: {text}")),
    }
}

fn outcome(state: &State) -> String {
    if !state.error.is_empty() {
        "failed".into()
    } else if state.cached {
        "cached".into()
    } else {
        seconds(state.seconds())
    }
}

fn stage(state: &State) -> &str {
    state.label.as_ref().map_or("", |label| label.stage.as_str())
}

/// Steps of Dockerfiles and exports; BuildKit's own errands are not worth a line.
fn heading(state: &State) -> Option<String> {
    match &state.label {
        Some(label) if label.instruction.starts_with("FROM ") => None,
        Some(label) => Some(format!("{}: {}", label.stage, one_line(&plain(&label.instruction), 100))),
        None => state.name.contains("exporting").then(|| state.name.clone()),
    }
}

/// One line a running step with its time and its last output; finished steps scroll away above.
struct Live {
    all: MultiProgress,
    running: BTreeMap<String, ProgressBar>,
    style: ProgressStyle,
    color: bool,
}

impl Live {
    fn new(session: &Session) -> Self {
        let color = session.globals.color.unwrap_or_else(|| session.host.var("NO_COLOR").is_none());
        let template = if color {
            "{spinner:.cyan} {elapsed:>5.bold} {wide_msg}"
        } else {
            "{spinner} {elapsed:>5} {wide_msg}"
        };
        let style =
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner());
        Self { all: MultiProgress::new(), running: BTreeMap::new(), style, color }
    }

    fn mark(&self, state: &State) -> String {
        let (mark, code) = match (state.error.is_empty(), state.cached) {
            (false, _) => ("✗", "31"),
            (true, true) => ("=", "2"),
            (true, false) => ("✓", "32"),
        };
        if self.color { format!("\x1b[{code}m{mark}\x1b[0m") } else { mark.to_owned() }
    }
}

impl Watcher for Live {
    fn event(&mut self, trace: &Trace, event: &Event) {
        match event {
            Event::Started(digest) => {
                let Some(heading) = heading(&trace.vertices[digest]) else { return };
                let bar = self.all.add(ProgressBar::new_spinner().with_style(self.style.clone()));
                bar.set_message(heading);
                bar.enable_steady_tick(Duration::from_millis(200));
                self.running.insert(digest.clone(), bar);
            }
            Event::Ended(digest) => {
                if let Some(bar) = self.running.remove(digest) {
                    bar.finish_and_clear();
                    self.all.remove(&bar);
                }
                let state = &trace.vertices[digest];
                if let Some(heading) = heading(state) {
                    let _ =
                        self.all.println(format!("{} {:>8}  {heading}", self.mark(state), outcome(state)));
                }
            }
            Event::Line(digest, line) => {
                if let (Some(bar), Some(heading)) =
                    (self.running.get(digest), heading(&trace.vertices[digest]))
                {
                    bar.set_message(format!("{} — {line}", one_line(&heading, 40)));
                }
            }
            Event::Warning(text) => {
                let _ = self.all.println(format!("warning: {text}"));
            }
        }
    }

    fn end(&mut self) {
        let _ = self.all.clear();
    }
}
