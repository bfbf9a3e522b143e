//! The thread that supervises a running call of bake while its output is read. It passes an
//! interrupt on, and ends a call that hangs or whose directory is full.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::idle_timeout::{IdleTimeout, LastOutput};
use crate::process::signals;

/// The interval of checks for the time and interrupts.
const TICK: Duration = Duration::from_millis(20);
/// The interval of checks for a full directory.
const FULL_INTERVAL: Duration = Duration::from_millis(100);

/// The conditions and the result of the supervision.
pub(super) struct Supervisor<'a> {
    /// Sends a signal to the call's processes.
    pub send: Box<dyn Fn(Signal) + Send + Sync>,
    /// Set when the call has ended.
    pub is_over: AtomicBool,
    /// The time of the last output.
    pub last_heard: LastOutput,
    /// Whether the call was ended because it hung.
    pub has_stalled: AtomicBool,
    /// Whether the call was ended because its directory was full.
    pub was_full: AtomicBool,
    stall: Option<IdleTimeout<'a>>,
    is_full: Option<&'a (dyn Fn() -> bool + Sync)>,
}

/// Ends the supervisor's thread on drop.
pub(super) struct OverGuard<'a>(pub &'a AtomicBool);

impl Drop for OverGuard<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl<'a> Supervisor<'a> {
    pub(super) fn new(
        send: impl Fn(Signal) + Send + Sync + 'static,
        stall: Option<IdleTimeout<'a>>,
        is_full: Option<&'a (dyn Fn() -> bool + Sync)>,
    ) -> Self {
        Self {
            send: Box::new(send),
            is_over: AtomicBool::new(false),
            last_heard: LastOutput::begin(),
            has_stalled: AtomicBool::new(false),
            was_full: AtomicBool::new(false),
            stall,
            is_full,
        }
    }

    /// Supervises until the call is over.
    pub(super) fn run(&self) {
        let (mut interrupted, mut looked_for_stall, mut looked_for_room) =
            (None, Instant::now(), Instant::now());
        while !self.is_over.load(Ordering::Relaxed) {
            self.pass_on_interrupt(&mut interrupted);
            if looked_for_room.elapsed() >= FULL_INTERVAL {
                looked_for_room = Instant::now();
                self.end_if_full();
            }
            if self.stall.is_some_and(|stall| looked_for_stall.elapsed() >= stall.after) {
                looked_for_stall = Instant::now();
                self.end_if_stalled();
            }
            std::thread::sleep(TICK);
        }
    }

    fn pass_on_interrupt(&self, since: &mut Option<Instant>) {
        match since {
            None if signals::interrupted() => {
                *since = Some(Instant::now());
                (self.send)(Signal::INT);
            }
            Some(since) if since.elapsed() > signals::GRACE => (self.send)(Signal::KILL),
            _ => {}
        }
    }

    fn end_if_full(&self) {
        let Some(is_full) = self.is_full.filter(|_| !self.was_full.load(Ordering::Relaxed)) else { return };
        if is_full() {
            self.was_full.store(true, Ordering::Relaxed);
            (self.send)(Signal::INT);
        }
    }

    fn end_if_stalled(&self) {
        let Some(stall) = self.stall.filter(|_| !self.has_stalled.load(Ordering::Relaxed)) else { return };
        let silence = self.last_heard.silence();
        if silence >= stall.after && (stall.is_gone)(silence) && !self.is_over.load(Ordering::Relaxed) {
            self.has_stalled.store(true, Ordering::Relaxed);
            (self.send)(Signal::KILL);
        }
    }
}
