//! The forecast line, printed before the outcome.

use super::SharedForecast;
use crate::forecast::Forecast;
use crate::progress::Watcher;
use crate::progress::event::Event;
use crate::progress::trace::Trace;
use crate::report::forecast;
use crate::text::terminal;

/// Prints the forecast as soon as it is known. Events of cached steps, and of the export after
/// them, wait for it while no step runs.
pub(super) struct ForecastHeader {
    shown: Box<dyn Watcher>,
    forecast_slot: SharedForecast,
    is_said: bool,
    /// Whether a step ran.
    did_run: bool,
    /// The waiting events.
    waiting: Vec<Event>,
}

impl ForecastHeader {
    pub(super) fn new(shown: Box<dyn Watcher>, forecast_slot: SharedForecast) -> Self {
        Self { shown, forecast_slot, is_said: false, did_run: false, waiting: Vec::new() }
    }

    fn say(&mut self, forecast: &Forecast) {
        self.is_said = true;
        forecast::head(forecast).iter().for_each(|line| self.shown.say(&terminal::plain(line)));
    }

    fn pass_on(&mut self, trace: &Trace) {
        std::mem::take(&mut self.waiting).iter().for_each(|event| self.shown.event(trace, event));
    }
}

impl Watcher for ForecastHeader {
    fn event(&mut self, trace: &Trace, event: &Event) {
        let forecast_slot = SharedForecast::clone(&self.forecast_slot);
        if let Some(forecast) = forecast_slot.confirmed.get().filter(|_| !self.is_said) {
            self.say(forecast);
        }
        let vertex = match event {
            Event::Started(digest) | Event::Ended(digest) => trace.vertices.get(digest),
            _ => None,
        };
        self.did_run |= vertex.is_some_and(|vertex| !vertex.is_internal() && !vertex.cached);
        // All steps are cached if an image is exported and none ran.
        let waits = vertex.is_some_and(|vertex| vertex.cached || vertex.name.starts_with("exporting"));
        if waits && !self.is_said && !self.did_run {
            self.waiting.push(event.clone());
            return;
        }
        if self.is_said || self.did_run {
            self.pass_on(trace);
        }
        self.shown.event(trace, event);
    }

    fn end(&mut self, trace: &Trace) {
        let forecast_slot = SharedForecast::clone(&self.forecast_slot);
        let known = forecast_slot.confirmed.get().or(forecast_slot.provisional.get());
        if let Some(forecast) = known.filter(|_| !self.is_said && !self.did_run) {
            self.say(forecast);
        }
        self.pass_on(trace);
        self.shown.end(trace);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;
    use crate::live::lines::tests::{events, vertex};

    struct Lines(Rc<RefCell<Vec<String>>>);

    impl Watcher for Lines {
        fn event(&mut self, trace: &Trace, event: &Event) {
            if let Event::Ended(digest) = event {
                self.0.borrow_mut().push(trace.vertices[digest].name.clone());
            }
        }

        fn say(&mut self, line: &str) {
            self.0.borrow_mut().push(line.to_owned());
        }
    }

    /// Returns the text of a cached step, and with `second` that of another ended one.
    fn shown(forecast_slot: &SharedForecast, second: Option<String>) -> Vec<String> {
        let lines = Rc::new(RefCell::new(Vec::new()));
        let mut watcher =
            ForecastHeader::new(Box::new(Lines(Rc::clone(&lines))), SharedForecast::clone(forecast_slot));
        let mut trace = Trace::new(&["app".to_owned()]);
        let cached =
            vertex("a", "[php 1/2] RUN a", 0, Some(0)).replace("\"name\"", "\"cached\":true,\"name\"");
        for chunk in std::iter::once(cached).chain(second) {
            events(&mut trace, &[&chunk]).iter().for_each(|event| watcher.event(&trace, event));
        }
        watcher.end(&trace);
        lines.take()
    }

    #[test]
    fn the_forecast_comes_first() {
        let forecast_slot = SharedForecast::default();
        let _ = forecast_slot.provisional.set(Forecast::default());
        assert_eq!(shown(&forecast_slot, None), ["forecast: all 0 steps cached", "[php 1/2] RUN a"]);
        let ran = vertex("b", "[php 2/2] RUN b", 0, Some(2));
        assert_eq!(
            shown(&forecast_slot, Some(ran.clone())),
            ["[php 1/2] RUN a", "[php 2/2] RUN b"],
            "a guess alone"
        );
        let _ = forecast_slot.confirmed.set(Forecast::default());
        assert_eq!(
            shown(&forecast_slot, Some(ran)),
            ["forecast: all 0 steps cached", "[php 1/2] RUN a", "[php 2/2] RUN b"]
        );
    }
}
