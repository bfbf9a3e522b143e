//! The event stream of BuildKit: decoded, kept as a trace of vertices, handed to a watcher.

pub(crate) mod bake_outcome;
pub(crate) mod decode;
pub(crate) mod step_name;
pub(crate) mod trace;
pub(crate) mod transfers;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::process::stdio::errln;
use trace::{Event, Trace};

/// Somebody who looks on while a build runs.
pub trait Watcher {
    /// Something happened.
    fn event(&mut self, trace: &Trace, event: &Event);
    /// One item of the stream as it came, for those that pass it on.
    fn raw(&mut self, _text: &str) {}
    /// A line that is to stay in view.
    fn say(&mut self, line: &str) {
        errln!("{line}");
    }
    /// Bytes go another way than BuildKit's: how many by now, and in all where that is known.
    fn carried(&mut self, _bytes: &Arc<AtomicU64>, _total: Option<u64>) {}
    /// The build is over.
    fn end(&mut self, _trace: &Trace) {}
}
