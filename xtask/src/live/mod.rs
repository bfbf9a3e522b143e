//! Showing a build while it runs, on stderr: drawn on a terminal ([`terminal`]), line by line
//! elsewhere ([`plain`]), folded where a CI folds ([`log_groups`]). One watcher sees all the calls
//! of a build.

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
use crate::progress::trace::{Event, Trace};
use crate::redact::Redactor;
use crate::session::Progress;
use crate::session::Session;
use crate::text::output;
use forecast_header::ForecastHeader;

/// What is foreseen of the build; it comes while the build begins, or never.
pub(crate) type SharedForecast = Arc<ForecastSlot>;

/// A forecast, and one that comes before it: asking what the builder holds takes as long as a build
/// of which all is cached.
#[derive(Debug, Default)]
pub(crate) struct ForecastSlot {
    /// What is foreseen.
    pub confirmed: OnceLock<Forecast>,
    /// The same if the builder has dropped nothing; a build that is over before, and ran no step,
    /// has proven it.
    pub provisional: OnceLock<Forecast>,
}

/// The watcher that the options and the terminal ask for.
pub(crate) fn watcher(session: &Session, forecast_slot: SharedForecast) -> Box<dyn Watcher> {
    let host = &session.host;
    let color = session.color(host.stderr_is_terminal);
    let shown: Box<dyn Watcher> = match session.globals.progress {
        Progress::Quiet => return Box::new(Quiet),
        Progress::RawJson => return Box::new(RawJson(session.redactor.clone())),
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

/// For what is done beside a build, which was said in a line already: how long it takes, and its
/// bytes, where a terminal can be drawn upon.
pub(crate) fn side_task(session: &Session, what: &str) -> Box<dyn Watcher> {
    let host = &session.host;
    match session.globals.progress {
        Progress::Auto if host.can_draw() => {
            Box::new(display::LiveDisplay::aside(what, session.color(host.stderr_is_terminal)))
        }
        _ => Box::new(Quiet),
    }
}

/// Shows nothing; also used where a call is no build of the user's.
pub struct Quiet;

impl Watcher for Quiet {
    fn event(&mut self, _: &Trace, _: &Event) {}
}

/// Passes BuildKit's stream through, redacted.
struct RawJson(Redactor);

impl Watcher for RawJson {
    fn event(&mut self, _: &Trace, _: &Event) {}

    fn raw(&mut self, text: &str) {
        let _ = writeln!(stdio::stderr(), "{}", output::item(&self.0, text));
    }
}
