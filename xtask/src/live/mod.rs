//! The display of a running build on stderr: drawn on a terminal ([`terminal`]), otherwise line by
//! line ([`plain`]), with folds in a CI ([`log_groups`]). One watcher sees all calls of a build.

pub(crate) mod build_state;
pub(crate) mod display;
pub(crate) mod eta;
mod forecast_header;
pub(crate) mod layout;
pub(crate) mod lines;
pub(crate) mod log_groups;
pub(crate) mod plain;
pub(crate) mod side_task;
pub(crate) mod terminal;

use std::io::Write;
use std::sync::{Arc, OnceLock};

use crate::forecast::Forecast;
use crate::process::stdio;
use crate::progress::Watcher;
use crate::progress::event::Event;
use crate::progress::trace::Trace;
use crate::session::Progress;
use crate::session::Session;
use crate::text::progress_stream::StreamRedactor;
use forecast_header::ForecastHeader;

/// The forecast of the build, which arrives while the build starts, or never.
pub(crate) type SharedForecast = Arc<ForecastSlot>;

/// A confirmed forecast, and a provisional one before it: the query of the builder takes as long as
/// a build in which everything is cached.
#[derive(Debug, Default)]
pub(crate) struct ForecastSlot {
    /// The confirmed forecast.
    pub confirmed: OnceLock<Forecast>,
    /// The forecast if the builder has removed nothing. A build that ends before, without running a
    /// step, confirms it.
    pub provisional: OnceLock<Forecast>,
}

/// Returns the watcher for the options and the terminal.
pub(crate) fn watcher(session: &Session, forecast_slot: SharedForecast) -> Box<dyn Watcher> {
    let host = &session.host;
    let color = session.color(host.stderr_is_terminal);
    let shown: Box<dyn Watcher> = match session.globals.progress {
        Progress::Quiet => return Box::new(Quiet),
        Progress::RawJson => return Box::new(RawJson(StreamRedactor::new(&session.redactor))),
        Progress::Auto if host.can_draw() => {
            Box::new(display::LiveDisplay::build(Arc::clone(&forecast_slot), color))
        }
        Progress::Auto | Progress::Plain => match log_groups::Style::of(host) {
            Some(style) => Box::new(log_groups::LogGroups::new(style, color, host.now)),
            None => Box::new(plain::Plain::new(color)),
        },
    };
    Box::new(ForecastHeader::new(shown, forecast_slot))
}

/// Returns the watcher of a side task, which already has a line: shows its time and bytes on a
/// terminal that can be drawn on.
pub(crate) fn side_task(session: &Session, what: &str) -> Box<dyn Watcher> {
    let host = &session.host;
    match session.globals.progress {
        Progress::Auto if host.can_draw() => {
            Box::new(display::LiveDisplay::side_task(what, session.color(host.stderr_is_terminal)))
        }
        _ => Box::new(Quiet),
    }
}

/// Shows nothing. Also used for calls that are not the user's build.
pub struct Quiet;

impl Watcher for Quiet {
    fn event(&mut self, _: &Trace, _: &Event) {}
}

/// Passes BuildKit's stream on, redacted.
struct RawJson(StreamRedactor);

impl Watcher for RawJson {
    fn event(&mut self, _: &Trace, _: &Event) {}

    fn raw(&mut self, text: &str) {
        let _ = writeln!(stdio::stderr(), "{}", self.0.item(text));
    }

    fn end(&mut self, _: &Trace) {
        if let Some(rest) = self.0.rest() {
            let _ = writeln!(stdio::stderr(), "{rest}");
        }
    }
}
