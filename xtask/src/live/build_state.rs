//! The state of a running build over all its calls, and the part of it to show now. The time is
//! passed in.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::eta::{self, At};
use super::layout::{BuildView, ScreenRow, Stays};
use super::lines::{EarlierSteps, bytes, heading, mark, outcome};
use crate::forecast;
use crate::forecast::{Forecast, StepForecast};
use crate::progress::event::Event;
use crate::progress::step_name::StepName;
use crate::progress::trace::Trace;
use crate::progress::vertex::VertexState;
use crate::text::terminal;

/// A step of a Dockerfile, and its progress.
struct ShownStep {
    targets: Vec<String>,
    label: StepName,
    /// Its instruction, redacted as in a forecast.
    shown: String,
    began: Option<Instant>,
    /// Its time, or `None` inside if it was cached.
    ended: Option<Option<f64>>,
}

impl ShownStep {
    fn is(&self, predicted: &StepForecast) -> bool {
        self.label.stage == predicted.stage
            && self.shown == predicted.instruction
            && self.targets.contains(&predicted.target)
    }

    fn at(&self, now: Instant) -> At {
        match (self.ended, self.began) {
            (Some(Some(seconds)), _) => At::Ran(seconds),
            (Some(None), _) => At::Cached,
            (None, Some(began)) => At::Running(since(began, now)),
            (None, None) => At::Waiting,
        }
    }
}

fn since(began: Instant, now: Instant) -> f64 {
    now.saturating_duration_since(began).as_secs_f64()
}

/// A running vertex that has a line.
struct Running {
    digest: String,
    began: Instant,
    heading: String,
    detail: String,
}

/// The state of the build.
pub(crate) struct BuildState {
    began: Instant,
    /// Steps of this call, by digest.
    steps: BTreeMap<String, ShownStep>,
    /// Steps that ended in earlier calls.
    before: Vec<ShownStep>,
    running: Vec<Running>,
    past: EarlierSteps,
    counts: (usize, usize),
    /// The last shown remaining time, and when it was shown.
    remaining: Option<(Instant, f64)>,
    /// The completed part, and whether it is a part of the time or of the steps.
    part: (f64, bool),
}

impl BuildState {
    /// Creates an empty state.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            began: now,
            steps: BTreeMap::new(),
            before: Vec::new(),
            running: Vec::new(),
            past: EarlierSteps::default(),
            counts: (0, 0),
            remaining: None,
            part: (0.0, false),
        }
    }

    /// Adds an event. Returns a line to keep on the screen, if there is one.
    pub(crate) fn take(&mut self, trace: &Trace, event: &Event, now: Instant) -> Option<Stays> {
        if !matches!(event, Event::Line(..)) {
            self.learn(trace, now);
        }
        let (Event::Started(digest)
        | Event::Ended(digest)
        | Event::Line(digest, _)
        | Event::Progress(digest)) = event
        else {
            return match event {
                Event::Warning(text) => Some(Stays::Warning(terminal::plain(text))),
                _ => None,
            };
        };
        let state = &trace.vertices[digest];
        self.refresh(digest, state, event, now);
        if !matches!(event, Event::Ended(_)) {
            return None;
        }
        self.past.ended(state);
        let heading = heading(state).filter(|_| self.past.is_news(state))?;
        Some(Stays::Ended { mark: mark(state), text: format!("{:>8}  {heading}", outcome(state)) })
    }

    /// Updates steps that became known, started or ended.
    fn learn(&mut self, trace: &Trace, now: Instant) {
        for digest in &trace.order {
            let state = &trace.vertices[digest];
            let Some(label) = state.label.as_ref().filter(|_| !state.is_internal()) else { continue };
            let step = self.steps.entry(digest.clone()).or_insert_with(|| ShownStep {
                targets: Vec::new(),
                label: label.clone(),
                shown: state.shown.clone(),
                began: None,
                ended: None,
            });
            if step.ended.is_some() {
                continue;
            }
            if step.targets.len() < state.targets.len() {
                step.targets.clone_from(&state.targets);
            }
            if state.started.is_some() && !state.cached {
                step.began.get_or_insert(now);
            }
            if state.completed.is_some() && state.error.is_empty() {
                step.ended = Some((!state.cached).then(|| state.seconds()));
            } else if state.completed.is_some() {
                step.began = None;
            }
        }
        self.running.retain(|row| trace.vertices.get(&row.digest).is_some_and(|state| state.is_running));
    }

    /// Updates the line of a running vertex.
    fn refresh(&mut self, digest: &str, state: &VertexState, event: &Event, now: Instant) {
        let Some(heading) = heading(state).filter(|_| state.is_running) else { return };
        let at = self.running.iter().position(|row| row.digest == digest).unwrap_or_else(|| {
            let (digest, detail) = (digest.to_owned(), String::new());
            self.running.push(Running { digest, began: now, heading: String::new(), detail });
            self.running.len() - 1
        });
        let row = &mut self.running[at];
        row.heading = heading;
        match event {
            Event::Line(_, line) if !line.trim().is_empty() => row.detail = terminal::plain(line.trim()),
            Event::Progress(_) => {
                let moved = state.transfers.bytes().map(bytes);
                row.detail = moved.or_else(|| state.transfers.doing().map(str::to_owned)).unwrap_or_default();
            }
            _ => {}
        }
    }

    /// Ends a call. In the next one, finished steps are found cached.
    pub(crate) fn call_is_over(&mut self) {
        let ended = std::mem::take(&mut self.steps).into_values().filter(|step| step.ended.is_some());
        for step in ended {
            let is_known = |known: &ShownStep| known.label == step.label && known.targets == step.targets;
            if !self.before.iter().any(is_known) {
                self.before.push(step);
            }
        }
        self.running.clear();
        self.past.call_is_over();
    }

    /// Returns the view to show.
    pub(crate) fn view(&mut self, forecast: Option<&Forecast>, now: Instant) -> BuildView {
        let elapsed = since(self.began, now);
        let rows = self.running.iter().map(|row| self.row(row, forecast, now)).collect();
        let remaining = forecast.and_then(|forecast| {
            let expected = forecast.expected?;
            let steps = self.predicted(forecast, now);
            Some(eta::remaining(expected.seconds, elapsed, &steps))
        });
        let remaining = remaining.map(|known| {
            let (at, shown) = self.remaining.unzip();
            let shown = eta::settled(shown, at.map_or(0.0, |at| since(at, now)), known);
            self.remaining = Some((now, shown));
            shown
        });
        let (done, all) = self.count();
        let part = self.part(elapsed, remaining, (done, all));
        BuildView { elapsed, rows, done, all, part, remaining }
    }

    /// Returns the completed part. It never decreases, because that would look like lost work.
    fn part(&mut self, elapsed: f64, remaining: Option<f64>, (done, all): (usize, usize)) -> f64 {
        let part = match remaining {
            Some(remaining) => (elapsed / (elapsed + remaining).max(0.001)).min(0.99),
            #[expect(clippy::cast_precision_loss, reason = "some dozens of steps")]
            None => done as f64 / all.max(1) as f64,
        };
        let is_same = self.part.1 == remaining.is_some();
        self.part = (if is_same { self.part.0.max(part) } else { part }, remaining.is_some());
        self.part.0
    }

    fn row(&self, row: &Running, forecast: Option<&Forecast>, now: Instant) -> ScreenRow {
        let step = self.steps.get(&row.digest);
        let predicted = step.and_then(|step| forecast?.of(&step.targets, &step.label));
        // All clocks advance at the same moment, so without events there is one redraw per second.
        let seconds = since(self.began, now).floor() - since(self.began, row.began).floor();
        ScreenRow {
            heading: row.heading.clone(),
            seconds,
            expected: predicted.and_then(|predicted| predicted.forecast.seconds),
            detail: row.detail.clone(),
        }
    }

    /// Returns the steps for the remaining time, each once.
    fn predicted(&self, forecast: &Forecast, now: Instant) -> Vec<eta::TimedStep> {
        let mut seen = BTreeSet::new();
        let time = |step: &StepForecast| {
            let (expected, at) = (step.forecast.seconds?, self.at(step, now));
            let counts = step.forecast.state != forecast::PredictedState::Cached
                || matches!(at, At::Running(_) | At::Ran(_));
            counts.then_some(eta::TimedStep { expected, at })
        };
        let all = forecast.steps.iter();
        let once = all.filter(|step| seen.insert((&step.stage, step.line, &step.instruction)));
        once.filter_map(time).collect()
    }

    fn at(&self, predicted: &StepForecast, now: Instant) -> At {
        let here = self.steps.values().find(|step| step.is(predicted)).map(|step| step.at(now));
        let before = || self.before.iter().find(|step| step.is(predicted)).map(|step| step.at(now));
        match here {
            Some(at @ (At::Running(_) | At::Ran(_))) => at,
            other => before().or(other).unwrap_or(At::Waiting),
        }
    }

    /// Returns the number of completed and of known steps.
    fn count(&mut self) -> (usize, usize) {
        if !self.steps.is_empty() {
            let is_done = |step: &&ShownStep| step.ended.is_some() || self.past.has(&step.label);
            self.counts = (self.steps.values().filter(is_done).count(), self.steps.len());
        }
        self.counts
    }
}

#[cfg(test)]
#[path = "build_state_tests.rs"]
mod tests;
