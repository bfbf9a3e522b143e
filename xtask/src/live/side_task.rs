//! Calls that are not the user's build: saved, pushed, pulled and restored layers and cache mounts.
//! One line, with all their bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::layout::ScreenRow;
use super::lines::bytes;
use crate::progress::event::Event;
use crate::progress::trace::Trace;
use crate::progress::transfers::Bytes;

/// The state of a side task.
pub(crate) struct SideTask {
    what: String,
    began: Instant,
    detail: String,
    /// Bytes that are not in BuildKit's stream: transferred and total.
    carried: Option<(Arc<AtomicU64>, Option<u64>)>,
}

impl SideTask {
    /// Starts the task.
    pub(crate) fn new(what: &str, now: Instant) -> Self {
        Self { what: what.to_owned(), began: now, detail: String::new(), carried: None }
    }

    /// Adds an event.
    pub(crate) fn take(&mut self, trace: &Trace, event: &Event) {
        if !matches!(event, Event::Progress(_)) {
            return;
        }
        let parts = || trace.vertices.values().filter_map(|state| state.transfers.bytes());
        let total = parts().map(|part| part.total).sum::<Option<u64>>();
        let current = parts().map(|part| part.current).sum();
        if current > 0 {
            self.detail = bytes(Bytes { current, total });
        }
    }

    /// Uses this counter of bytes from now on.
    pub(crate) fn carried(&mut self, bytes: Arc<AtomicU64>, total: Option<u64>) {
        self.carried = Some((bytes, total));
    }

    /// Returns the line to show.
    pub(crate) fn row(&self, now: Instant) -> ScreenRow {
        let carried = self.carried.as_ref().map(|(now, total)| (now.load(Ordering::Relaxed), *total));
        let carried = carried.filter(|(current, _)| *current > 0);
        let detail =
            carried.map_or_else(|| self.detail.clone(), |(current, total)| bytes(Bytes { current, total }));
        let seconds = now.saturating_duration_since(self.began).as_secs_f64();
        ScreenRow { heading: self.what.clone(), seconds, expected: None, detail }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::live::lines::tests::{events, vertex};

    #[test]
    fn the_bytes_of_all_its_parts_add_up() {
        let begun = Instant::now();
        let mut task = SideTask::new("saving layers", begun);
        let mut trace = Trace::new(&["app".to_owned()]);
        let moved = r#"{"statuses":[{"id":"x","vertex":"a","current":1000000,"total":4000000},{"id":"y","vertex":"b","current":2000000,"total":2000000}]}"#;
        let chunks = [
            vertex("a", "exporting to x", 0, None),
            vertex("b", "exporting to y", 0, None),
            moved.to_owned(),
        ];
        for chunk in &chunks {
            events(&mut trace, &[chunk]).iter().for_each(|event| task.take(&trace, event));
        }
        let row = task.row(begun + Duration::from_secs(3));
        assert_eq!((row.heading.as_str(), row.detail.as_str()), ("saving layers", "3.0 MB of 6.0 MB"));
        assert!((row.seconds - 3.0).abs() < 0.01);
    }

    #[test]
    fn what_goes_another_way_is_counted_as_it_goes() {
        let mut task = SideTask::new("restoring cache mounts", Instant::now());
        let counter = Arc::new(AtomicU64::new(0));
        task.carried(Arc::clone(&counter), Some(6_000_000));
        assert_eq!(task.row(Instant::now()).detail, "");
        counter.store(3_000_000, Ordering::Relaxed);
        assert_eq!(task.row(Instant::now()).detail, "3.0 MB of 6.0 MB");
    }
}
