//! The display on a terminal: what runs with its time and its last output, and a bar for the whole.
//! What ended scrolls away above. What is done beside a build, saving and putting back, has one
//! line. A thread draws, so that clocks go on while BuildKit says nothing, and a step that prints
//! much is drawn no more often than others.

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
use crate::progress::trace::{Event, Trace};
use crate::text::one_line;

/// How often it is drawn.
const TICK: Duration = Duration::from_millis(100);
/// How long nothing is drawn after a change of size: while a window is dragged, a terminal may be
/// ahead of what it tells (tmux 250 ms), and what is drawn for another width than it has cannot be
/// taken back.
const STILL: Duration = Duration::from_millis(300);
/// Where a terminal has lost its size, which it had at first.
const USUAL: Size = Size { columns: 80, lines: 24 };

/// Draws.
pub(crate) struct LiveDisplay {
    screen: Arc<Mutex<Screen>>,
    ticker: Option<(Arc<AtomicBool>, JoinHandle<()>)>,
}

/// What is shown.
enum Shown {
    Build(BuildState),
    SideTask(SideTask),
}

impl Shown {
    fn take(&mut self, trace: &Trace, event: &Event, now: Instant) -> Option<Stays> {
        match self {
            Self::Build(board) => return board.take(trace, event, now),
            Self::SideTask(aside) => aside.take(trace, event),
        }
        None
    }

    fn lines(&mut self, forecast_slot: &SharedForecast, size: Size, color: bool) -> Vec<String> {
        let now = Instant::now();
        match self {
            Self::Build(board) => layout::lines(&board.view(forecast_slot.confirmed.get(), now), size, color),
            Self::SideTask(aside) => vec![layout::line(&aside.row(now), size, color)],
        }
    }
}

/// What the thread and the events share.
struct Screen {
    shown: Shown,
    painter: Painter,
    /// Lines that are to stay.
    above: Vec<String>,
    forecast_slot: SharedForecast,
    color: bool,
    size: Size,
    /// When the size changed.
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
            // What is foreign in it was filtered when it became a line.
            let _ = stdio::stderr().write_all(text.as_bytes());
        }
    }
}

fn lock(screen: &Mutex<Screen>) -> MutexGuard<'_, Screen> {
    screen.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LiveDisplay {
    /// A build; nothing is drawn until something happens.
    pub(crate) fn build(forecast_slot: SharedForecast, color: bool) -> Self {
        Self::new(Shown::Build(BuildState::new(Instant::now())), forecast_slot, color)
    }

    /// What is done beside a build.
    pub(crate) fn aside(what: &str, color: bool) -> Self {
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

    /// Nothing of it is left on the terminal.
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
        if let Shown::SideTask(aside) = &mut lock(&self.screen).shown {
            aside.carried(Arc::clone(bytes), total);
        }
    }

    fn end(&mut self, _: &Trace) {
        self.stop();
        if let Shown::Build(board) = &mut lock(&self.screen).shown {
            board.call_is_over();
        }
    }
}

/// A build that an error ends says so on a clean terminal.
impl Drop for LiveDisplay {
    fn drop(&mut self) {
        self.stop();
    }
}
