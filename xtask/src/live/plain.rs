//! Prints a line when a step starts and ends, and its output with the stage as prefix.

use std::io::Write;

use super::lines::{EarlierSteps, heading, outcome, prefix};
use crate::process::stdio;
use crate::progress::Watcher;
use crate::progress::event::Event;
use crate::progress::trace::Trace;
use crate::text::terminal;

/// Prints lines.
pub(crate) struct Plain {
    color: bool,
    past: EarlierSteps,
}

impl Plain {
    /// Prints the steps' own colors, or none.
    pub(crate) fn new(color: bool) -> Self {
        Self { color, past: EarlierSteps::default() }
    }

    fn line(&mut self, trace: &Trace, event: &Event) -> Option<String> {
        match event {
            Event::Started(digest) => {
                let state = &trace.vertices[digest];
                self.past.is_news(state).then(|| Some(format!("{} ...", heading(state)?)))?
            }
            Event::Ended(digest) => {
                let state = &trace.vertices[digest];
                self.past.ended(state);
                self.past.is_news(state).then(|| Some(format!("{}: {}", heading(state)?, outcome(state))))?
            }
            Event::Line(digest, line) => {
                let state = &trace.vertices[digest];
                let line = || format!("  {} | {}", prefix(state), terminal::line(line, self.color));
                self.past.is_news(state).then(line)
            }
            Event::Warning(text) => Some(format!("warning: {}", terminal::plain(text))),
            Event::Progress(_) => None,
        }
    }
}

impl Watcher for Plain {
    fn event(&mut self, trace: &Trace, event: &Event) {
        if let Some(line) = self.line(trace, event) {
            let _ = writeln!(stdio::stderr(), "{line}");
        }
    }

    fn end(&mut self, _: &Trace) {
        self.past.call_is_over();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::lines::tests::{events, log, vertex};

    #[test]
    fn a_line_when_a_step_starts_and_ends() {
        let mut trace = Trace::new(&["app".to_owned()]);
        let name = "[php 2/3] RUN make";
        let chunks =
            [vertex("a", name, 0, None), log("a", "\x1b[31mred\x1b[0m\n"), vertex("a", name, 0, Some(2))];
        let mut plain = Plain::new(false);
        let mut lines = Vec::new();
        for chunk in &chunks {
            let events = events(&mut trace, &[chunk]);
            lines.extend(events.iter().filter_map(|event| plain.line(&trace, event)));
        }
        assert_eq!(lines, ["php: RUN make ...", "  php | red", "php: RUN make: 2.0 s"]);
        let colored = Plain::new(true).line(&trace, &Event::Line("a".into(), "\x1b[31mred".into()));
        assert_eq!(colored.as_deref(), Some("  php | \x1b[31mred\x1b[0m"));
    }
}
