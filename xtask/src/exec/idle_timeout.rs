//! Ends a call that waits for a server that never answers. BuildKit prints nothing while it
//! transfers one layer, even if the server doesn't read it.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// When a silent call counts as dead.
#[derive(Clone, Copy)]
pub(crate) struct IdleTimeout<'a> {
    /// The length of silence after which it is checked.
    pub after: Duration,
    /// Returns whether the server is gone, for the length of the silence.
    pub is_gone: &'a (dyn Fn(Duration) -> bool + Sync),
}

/// The time of a call's last output.
pub(crate) struct LastOutput(Mutex<Instant>);

impl LastOutput {
    /// Starts now.
    pub(crate) fn begin() -> Self {
        Self(Mutex::new(Instant::now()))
    }

    /// Records an output.
    pub(crate) fn now(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Returns the time since the last output.
    pub(crate) fn silence(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::bake::{self, Call};
    use crate::progress::Watcher;
    use crate::progress::bake_outcome::{BakeOutcome, BakeStatus};
    use crate::progress::event::Event;
    use crate::progress::trace::Trace;
    use crate::record::log::Log;
    use crate::redact::Redactor;
    use crate::step::Command;

    struct Nobody;
    impl Watcher for Nobody {
        fn event(&mut self, _trace: &Trace, _event: &Event) {}
    }

    /// Watches a call that prints a line and then nothing for an hour.
    fn silent(is_gone: &(dyn Fn(Duration) -> bool + Sync), seconds: &str) -> BakeOutcome {
        let command = Command::new(["sh", "-c", &format!("echo here >&2; exec sleep {seconds}")]);
        let file = tempfile::NamedTempFile::new().expect("a log");
        let log = Log::new(file.path(), Redactor::default());
        let idle_timeout = Some(IdleTimeout { after: Duration::from_millis(100), is_gone });
        let call = Call { idle_timeout, ..Call::new(&command, &[], &log) };
        bake::run(&call, &mut Nobody).expect("it ran")
    }

    #[test]
    fn a_call_that_waits_for_somebody_who_is_gone_is_ended() {
        let ended = silent(&|silence| silence >= Duration::from_millis(100), "3600");
        assert_eq!(ended.status, BakeStatus::Stalled);
        assert_eq!(ended.text, ["here"]);
    }

    #[test]
    fn a_call_that_waits_for_somebody_slow_is_left_alone() {
        let asked = std::sync::atomic::AtomicU32::new(0);
        let is_there = |_| {
            asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            false
        };
        let ended = silent(&is_there, "0.5");
        assert_eq!(ended.status, BakeStatus::Succeeded);
        assert!(asked.into_inner() > 0, "somebody asked");
    }
}
