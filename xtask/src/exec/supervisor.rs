//! The thread that supervises a running call of bake while its output is read. It passes an
//! interrupt on, and ends a call that hangs or that the caller has a reason to end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::idle_timeout::{IdleTimeout, LastOutput};
use crate::process::signals;
use crate::progress::bake_outcome::BakeStatus;

/// A caller's reason to end a call.
pub(crate) type Condition<'a> = &'a (dyn Fn() -> bool + Sync);

/// The interval of checks for the time and interrupts.
const TICK: Duration = Duration::from_millis(20);
/// The interval of checks of the caller's condition.
const CONDITION_INTERVAL: Duration = Duration::from_millis(100);

/// The conditions and the result of the supervision.
pub(super) struct Supervisor<'a> {
    /// Sends a signal to the call's processes.
    pub send: Box<dyn Fn(Signal) + Send + Sync>,
    /// Set when the call has ended.
    pub is_over: AtomicBool,
    /// The time of the last output.
    pub last_heard: LastOutput,
    /// Whether the call was ended because it hung.
    has_stalled: AtomicBool,
    /// Whether the call was ended because of the caller's condition.
    was_met: AtomicBool,
    idle_timeout: Option<IdleTimeout<'a>>,
    end_if: Option<Condition<'a>>,
}

/// Ends the supervisor's thread on drop.
pub(super) struct OverGuard<'a> {
    pub is_over: &'a AtomicBool,
    pub thread: Thread,
}

impl Drop for OverGuard<'_> {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.unpark();
    }
}

impl<'a> Supervisor<'a> {
    pub(super) fn new(
        send: impl Fn(Signal) + Send + Sync + 'static,
        idle_timeout: Option<IdleTimeout<'a>>,
        end_if: Option<Condition<'a>>,
    ) -> Self {
        Self {
            send: Box::new(send),
            is_over: AtomicBool::new(false),
            last_heard: LastOutput::begin(),
            has_stalled: AtomicBool::new(false),
            was_met: AtomicBool::new(false),
            idle_timeout,
            end_if,
        }
    }

    /// Returns why it ended the call, if it did.
    pub(super) fn ended_for(&self) -> Option<BakeStatus> {
        if self.was_met.load(Ordering::Relaxed) {
            return Some(BakeStatus::ConditionMet);
        }
        self.has_stalled.load(Ordering::Relaxed).then_some(BakeStatus::Stalled)
    }

    /// Supervises until the call is over, which wakes its thread up.
    pub(super) fn run(&self) {
        let (mut interrupted, mut looked_for_stall, mut checked_condition) =
            (None, Instant::now(), Instant::now());
        while !self.is_over.load(Ordering::Relaxed) {
            self.pass_on_interrupt(&mut interrupted);
            if checked_condition.elapsed() >= CONDITION_INTERVAL {
                checked_condition = Instant::now();
                self.end_if_met();
            }
            if self.idle_timeout.is_some_and(|stall| looked_for_stall.elapsed() >= stall.after) {
                looked_for_stall = Instant::now();
                self.end_if_stalled();
            }
            std::thread::park_timeout(TICK);
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

    fn end_if_met(&self) {
        let Some(is_met) = self.end_if.filter(|_| !self.was_met.load(Ordering::Relaxed)) else { return };
        if is_met() {
            self.was_met.store(true, Ordering::Relaxed);
            (self.send)(Signal::INT);
        }
    }

    fn end_if_stalled(&self) {
        let Some(stall) = self.idle_timeout.filter(|_| !self.has_stalled.load(Ordering::Relaxed)) else {
            return;
        };
        let silence = self.last_heard.silence();
        if silence >= stall.after && (stall.is_gone)(silence) && !self.is_over.load(Ordering::Relaxed) {
            self.has_stalled.store(true, Ordering::Relaxed);
            (self.send)(Signal::KILL);
        }
    }
}
