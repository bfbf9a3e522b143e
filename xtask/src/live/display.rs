//! The live display on a terminal: running steps with their time and last output, and a bar for the
//! whole build. Completed steps scroll away above. A save or restore has one line. A thread draws,
//! so that clocks advance while BuildKit is silent, and a step with much output causes no more
//! redraws than others.

use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::SharedForecast;
use super::build_state::BuildState;
use super::layout::{self, Stays};
use super::side_task::SideTask;
use super::terminal::Painter;
use crate::host::{Size, stderr_size};
use crate::process::stdio;
use crate::progress::Watcher;
use crate::progress::event::Event;
use crate::progress::trace::Trace;
use crate::text::one_line;

/// The interval of redraws.
const TICK: Duration = Duration::from_millis(100);
/// The pause after a change of the terminal's size. While a window is resized, a terminal may be
/// ahead of the reported size (tmux 250 ms), and output for another width cannot be removed.
const STILL: Duration = Duration::from_millis(300);
/// The size if a terminal no longer reports it.
const USUAL: Size = Size { columns: 80, lines: 24 };

/// Draws the display.
pub(crate) struct LiveDisplay {
    screen: Arc<Mutex<Screen>>,
    ticker: Option<(Arc<AtomicBool>, JoinHandle<()>)>,
}

/// The content of the display.
enum Shown {
    Build(BuildState),
    SideTask(SideTask),
}

impl Shown {
    fn take(&mut self, trace: &Trace, event: &Event, now: Instant) -> Option<Stays> {
        match self {
            Self::Build(board) => return board.take(trace, event, now),
            Self::SideTask(task) => task.take(trace, event),
        }
        None
    }

    fn lines(&mut self, forecast_slot: &SharedForecast, size: Size, color: bool) -> Vec<String> {
        let now = Instant::now();
        match self {
            Self::Build(board) => layout::lines(&board.view(forecast_slot.confirmed.get(), now), size, color),
            Self::SideTask(task) => vec![layout::line(&task.row(now), size, color)],
        }
    }
}

/// The common state of the thread and the events.
struct Screen {
    shown: Shown,
    painter: Painter,
    /// Lines to keep above the display.
    above: Vec<String>,
    forecast_slot: SharedForecast,
    color: bool,
    size: Size,
    /// The time of the last change of the size.
    resized: Option<Instant>,
}

impl Screen {
    fn draw(&mut self, is_over: bool) {
        let size = stderr_size().unwrap_or(USUAL);
        if size != self.size {
            (self.size, self.resized) = (size, Some(Instant::now()));
        } else if !is_over && self.resized.is_some_and(|at| at.elapsed() < STILL) {
            return;
        }
        let frame =
            if is_over { Vec::new() } else { self.shown.lines(&self.forecast_slot, size, self.color) };
        let above = std::mem::take(&mut self.above);
        if let Some(text) = self.painter.paint(&above, frame, size.columns) {
            // Foreign text was filtered when it became a line.
            let _ = stdio::stderr().write_all(text.as_bytes());
        }
    }
}

fn lock(screen: &Mutex<Screen>) -> MutexGuard<'_, Screen> {
    screen.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LiveDisplay {
    /// Creates the display of a build. It draws nothing before the first event.
    pub(crate) fn build(forecast_slot: SharedForecast, color: bool) -> Self {
        Self::new(Shown::Build(BuildState::new(Instant::now())), forecast_slot, color)
    }

    /// Creates the display of a side task.
    pub(crate) fn side_task(what: &str, color: bool) -> Self {
        Self::new(Shown::SideTask(SideTask::new(what, Instant::now())), SharedForecast::default(), color)
    }

    fn new(shown: Shown, forecast_slot: SharedForecast, color: bool) -> Self {
        let size = stderr_size().unwrap_or(USUAL);
        let (painter, above) = (Painter::default(), Vec::new());
        let screen = Screen { shown, painter, above, forecast_slot, color, size, resized: None };
        Self { screen: Arc::new(Mutex::new(screen)), ticker: None }
    }

    fn start(&mut self) {
        let (screen, over) = (Arc::clone(&self.screen), Arc::new(AtomicBool::new(false)));
        let is_over = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                lock(&screen).draw(false);
                std::thread::park_timeout(TICK);
            }
        });
        self.ticker = Some((over, thread));
    }

    /// Removes the display from the terminal.
    fn stop(&mut self) {
        let Some((over, thread)) = self.ticker.take() else { return };
        over.store(true, Ordering::Relaxed);
        thread.thread().unpark();
        let _ = thread.join();
        lock(&self.screen).draw(true);
    }
}

impl Watcher for LiveDisplay {
    fn event(&mut self, trace: &Trace, event: &Event) {
        if self.ticker.is_none() {
            self.start();
        }
        let screen = &mut *lock(&self.screen);
        if let Some(stays) = screen.shown.take(trace, event, Instant::now()) {
            screen.above.push(stays.line(screen.size, screen.color));
        }
    }

    fn say(&mut self, line: &str) {
        let screen = &mut *lock(&self.screen);
        screen.above.push(one_line(line, screen.size.columns.saturating_sub(1)));
    }

    fn carried(&mut self, bytes: &Arc<AtomicU64>, total: Option<u64>) {
        if let Shown::SideTask(task) = &mut lock(&self.screen).shown {
            task.carried(Arc::clone(bytes), total);
        }
    }

    fn end(&mut self, _: &Trace) {
        self.stop();
        if let Shown::Build(board) = &mut lock(&self.screen).shown {
            board.call_is_over();
        }
    }
}

/// A failed build prints its error on a clean terminal.
impl Drop for LiveDisplay {
    fn drop(&mut self) {
        self.stop();
    }
}
