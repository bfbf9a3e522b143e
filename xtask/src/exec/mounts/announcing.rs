//! A watcher of a call that also says the lines of another thread.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::Receiver;

use crate::progress::Watcher;
use crate::progress::event::Event;
use crate::progress::trace::Trace;

/// Passes everything on. The call's supervisor has no watcher, so its lines are said with the next
/// item of the stream: a RUN that waits prints a line every five seconds.
pub(super) struct Announcing<'a> {
    pub watcher: &'a mut dyn Watcher,
    pub lines: Receiver<String>,
}

impl Watcher for Announcing<'_> {
    fn event(&mut self, trace: &Trace, event: &Event) {
        self.watcher.event(trace, event);
    }

    fn raw(&mut self, text: &str) {
        self.lines.try_iter().for_each(|line| self.watcher.say(&line));
        self.watcher.raw(text);
    }

    fn say(&mut self, line: &str) {
        self.watcher.say(line);
    }

    fn carried(&mut self, bytes: &Arc<AtomicU64>, total: Option<u64>) {
        self.watcher.carried(bytes, total);
    }

    fn end(&mut self, trace: &Trace) {
        self.watcher.end(trace);
    }
}
