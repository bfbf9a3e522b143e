//! Calls that are no build of the user's: layers and cache mounts that are saved, pushed, fetched and put back. One line, with all their bytes.

use std::time::Instant;

use super::frame::Row;
use super::words::bytes;
use crate::exec::trace::{Event, Trace};
use crate::exec::transfers::Bytes;

/// What is known of it.
pub struct Aside {
    what: String,
    began: Instant,
    detail: String,
}

impl Aside {
    /// It begins.
    pub fn new(what: &str, now: Instant) -> Self {
        Self { what: what.to_owned(), began: now, detail: String::new() }
    }

    /// Takes an event in.
    pub fn take(&mut self, trace: &Trace, event: &Event) {
        if !matches!(event, Event::Moved(_)) {
            return;
        }
        let parts = || trace.vertices.values().filter_map(|state| state.transfers.bytes());
        let total = parts().map(|part| part.total).sum::<Option<u64>>();
        let current = parts().map(|part| part.current).sum();
        if current > 0 {
            self.detail = bytes(Bytes { current, total });
        }
    }

    /// What is shown.
    pub fn row(&self, now: Instant) -> Row {
        let seconds = now.saturating_duration_since(self.began).as_secs_f64();
        Row { heading: self.what.clone(), seconds, expected: None, detail: self.detail.clone() }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::words::tests::{events, vertex};
    use super::*;

    #[test]
    fn the_bytes_of_all_its_parts_add_up() {
        let begun = Instant::now();
        let mut aside = Aside::new("saving layers", begun);
        let mut trace = Trace::new(&["app".to_owned()]);
        let moved = r#"{"statuses":[{"id":"x","vertex":"a","current":1000000,"total":4000000},{"id":"y","vertex":"b","current":2000000,"total":2000000}]}"#;
        let chunks = [
            vertex("a", "exporting to x", 0, None),
            vertex("b", "exporting to y", 0, None),
            moved.to_owned(),
        ];
        for chunk in &chunks {
            events(&mut trace, &[chunk]).iter().for_each(|event| aside.take(&trace, event));
        }
        let row = aside.row(begun + Duration::from_secs(3));
        assert_eq!((row.heading.as_str(), row.detail.as_str()), ("saving layers", "3.0 MB of 6.0 MB"));
        assert!((row.seconds - 3.0).abs() < 0.01);
    }
}
