//! Views of chunks of BuildKit's stream.

use std::time::Duration;

use crate::forecast::ExpectedTime;
use crate::live::build_state::*;
use crate::live::lines::tests::{events, log, vertex};
use crate::project::dockerfile::Dockerfile;

const MAKE: &str = "[php 2/4] RUN make";
const COPY: &str = "[php 3/4] COPY a b";

struct Build {
    board: BuildState,
    trace: Trace,
    start: Instant,
}

impl Build {
    fn new() -> Self {
        let start = Instant::now();
        Self { board: BuildState::new(start), trace: Trace::new(&["app".to_owned()]), start }
    }

    fn at(&self, second: u64) -> Instant {
        self.start + Duration::from_secs(second)
    }

    fn take(&mut self, second: u64, chunk: &str) -> Vec<String> {
        let now = self.at(second);
        let size = crate::host::Size { columns: 80, lines: 24 };
        let events = events(&mut self.trace, &[chunk]);
        let taken = events.iter().filter_map(|event| self.board.take(&self.trace, event, now));
        taken.map(|stays| stays.line(size, false)).collect()
    }

    fn next_call(&mut self) {
        self.board.call_is_over();
        self.trace = Trace::new(&["app".to_owned()]);
    }
}

fn waiting(digest: &str, name: &str) -> String {
    format!(r#"{{"vertexes":[{{"digest":"{digest}","name":"{name}"}}]}}"#)
}

fn cached(digest: &str, name: &str) -> String {
    vertex(digest, name, 0, Some(0)).replace("}]}", r#","cached":true}]}"#)
}

fn forecast() -> Forecast {
    let step = |line: usize, instruction: &str, state, seconds| StepForecast {
        target: "app".into(),
        stage: "php".into(),
        instruction: instruction.into(),
        line,
        key: String::new(),
        forecast: forecast::StepPrediction { state, seconds: Some(seconds) },
        cause: None,
    };
    Forecast {
        twins: BTreeMap::new(),
        steps: vec![
            step(1, "RUN make", forecast::PredictedState::Runs, 30.0),
            step(2, "COPY a b", forecast::PredictedState::Runs, 10.0),
            step(3, "RUN old", forecast::PredictedState::Cached, 500.0),
        ],
        expected: Some(ExpectedTime { seconds: 40.0, low: 30.0, high: 60.0 }),
        files: [("app".to_owned(), Dockerfile::parse(b"FROM scratch AS php\nRUN make\nCOPY a b\nRUN old\n"))]
            .into(),
    }
}

#[test]
fn what_runs_has_its_time_and_its_last_line() {
    let mut build = Build::new();
    assert_eq!(build.take(0, &waiting("b", COPY)), [""; 0]);
    build.take(1, &vertex("a", MAKE, 0, None));
    build.take(2, &log("a", "\x1b[1mcc\x1b[0m x.c\n\n"));
    let view = build.board.view(None, build.at(5));
    let row =
        ScreenRow { heading: "php: RUN make".into(), seconds: 4.0, expected: None, detail: "cc x.c".into() };
    assert_eq!(view.rows, [row]);
    assert_eq!((view.done, view.all, view.remaining), (0, 2, None));
    assert_eq!(build.take(6, &vertex("a", MAKE, 0, Some(5))), ["✓    5.0 s  php: RUN make"]);
    let view = build.board.view(None, build.at(6));
    assert_eq!((view.rows.len(), view.done), (0, 1));
    assert!((view.part - 0.5).abs() < 0.01, "{}", view.part);
}

#[test]
fn bytes_that_move_are_shown_also_where_a_step_begins_again() {
    let mut build = Build::new();
    let from = "[php 1/4] FROM docker.io/library/debian";
    assert_eq!(build.take(0, &vertex("f", from, 0, Some(1))), [""; 0]);
    let again = r#"{"vertexes":[{"digest":"f","started":"2026-11-22T12:00:05Z"}],
        "statuses":[{"id":"sha256:a","vertex":"f","current":12000000,"total":45000000}]}"#;
    build.take(5, again);
    let view = build.board.view(None, build.at(6));
    assert_eq!(view.rows[0].heading, "php: FROM docker.io/library/debian");
    assert_eq!(view.rows[0].detail, "12.0 MB of 45.0 MB");
    assert_eq!((view.done, view.all), (0, 0), "no step of ours");
    let end = build.take(7, &vertex("f", "", 5, Some(7)));
    assert_eq!(end, ["✓ 7.0 s, 12.0 MB  php: FROM docker.io/library/debian"]);
    build.take(8, &vertex("a", MAKE, 8, None));
    assert_eq!(build.board.view(None, build.at(8)).rows.len(), 1);
}

#[test]
fn a_forecast_gives_times_and_what_is_left() {
    let (mut build, forecast) = (Build::new(), forecast());
    build.take(0, &waiting("b", COPY));
    build.take(0, &vertex("a", MAKE, 0, None));
    let view = build.board.view(Some(&forecast), build.at(10));
    assert_eq!(view.rows[0].expected, Some(30.0));
    assert!(view.remaining.is_some_and(|left| (left - 30.0).abs() < 0.1), "{view:?}");
    assert!((view.part - 0.25).abs() < 0.01, "{view:?}");
    let later = build.board.view(Some(&forecast), build.at(20));
    assert!(later.remaining.is_some_and(|left| (left - 20.0).abs() < 0.1), "{later:?}");
    let without = Forecast { expected: None, ..forecast };
    assert_eq!(build.board.view(Some(&without), build.at(21)).remaining, None);
}

#[test]
fn a_bar_survives_a_second_call() {
    let (mut build, forecast) = (Build::new(), forecast());
    build.take(0, &vertex("a", MAKE, 0, Some(30)));
    build.take(30, &vertex("b", COPY, 30, None));
    let before = build.board.view(Some(&forecast), build.at(30));
    build.next_call();
    let between = build.board.view(Some(&forecast), build.at(30));
    assert_eq!(between.rows, []);
    assert_eq!((between.done, between.all), (before.done, before.all));
    assert!(between.part >= before.part, "{before:?} {between:?}");
    assert_eq!(build.take(31, &cached("a2", MAKE)), [""; 0], "it was said");
    build.take(31, &vertex("b2", COPY, 31, None));
    let after = build.board.view(Some(&forecast), build.at(31));
    assert_eq!((after.done, after.all), (1, 2));
    assert!(after.part >= between.part, "{between:?} {after:?}");
    assert!(after.remaining.is_some_and(|left| (8.0..12.0).contains(&left)), "{after:?}");
}

#[test]
fn what_failed_is_marked_and_what_stopped_with_it() {
    let mut build = Build::new();
    let end = |digest: &str, name: &str, error: &str| {
        vertex(digest, name, 0, Some(1)).replace("}]}", &format!(r#","error":"{error}"}}]}}"#))
    };
    assert_eq!(build.take(1, &end("a", MAKE, "exit code: 2")), ["✗   failed  php: RUN make"]);
    assert_eq!(build.take(1, &end("b", COPY, "context canceled")), ["✗  stopped  php: COPY a b"]);
}
