//! The event stream of BuildKit: decoded, recorded as a trace of vertices, passed to a watcher.

pub(crate) mod bake_outcome;
pub(crate) mod decode;
mod doubt;
pub(crate) mod event;
pub(crate) mod lookups;
pub(crate) mod step_name;
pub(crate) mod trace;
pub(crate) mod transfers;
pub(crate) mod vertex;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::process::stdio::errln;
use event::Event;
use trace::Trace;

/// An observer of a running build.
pub trait Watcher {
    /// Handles an event.
    fn event(&mut self, trace: &Trace, event: &Event);
    /// Handles one raw item of the stream.
    fn raw(&mut self, _text: &str) {}
    /// Shows a line permanently.
    fn say(&mut self, line: &str) {
        errln!("{line}");
    }
    /// Counts bytes outside of BuildKit's stream: transferred, and total if known.
    fn carried(&mut self, _bytes: &Arc<AtomicU64>, _total: Option<u64>) {}
    /// Handles the end of the build.
    fn end(&mut self, _trace: &Trace) {}
}
