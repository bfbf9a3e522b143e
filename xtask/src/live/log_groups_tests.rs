//! Folds of chunks of BuildKit's stream.

use crate::live::lines::tests::{events, log, vertex};
use crate::live::log_groups::*;

const MAKE: &str = "[php 2/3] RUN make";
const GO: &str = "[modules 2/3] RUN go build";

fn shown(style: Style, chunks: &[String]) -> String {
    let mut folds = LogGroups::new(style, false, Timestamp::from_second(1000).expect("a time"));
    let mut trace = Trace::new(&["app".to_owned()]);
    let mut out = Vec::new();
    for (second, chunk) in (1000..).zip(chunks) {
        for event in events(&mut trace, &[chunk]) {
            folds.take(&trace, &event, second, &mut out).expect("memory");
        }
    }
    folds.close(1099, &mut out).expect("memory");
    String::from_utf8(out).expect("text")
}

fn side_by_side() -> [String; 7] {
    let failed = vertex("b", GO, 0, Some(3)).replace("}]}", r#","error":"exit code: 1"}]}"#);
    [
        vertex("a", MAKE, 0, None),
        log("a", "one\n"),
        vertex("b", GO, 0, None),
        log("b", "broken\n"),
        failed,
        log("a", "two\n"),
        vertex("a", MAKE, 0, Some(2)),
    ]
}

#[test]
fn steps_side_by_side_have_folds_one_after_the_other() {
    let expected = "::group::php: RUN make\n  php | one\n  php | two\n::endgroup::\nphp: RUN make: 2.0 s\n\
                    \x20 modules | broken\nmodules: RUN go build: failed\n";
    assert_eq!(shown(Style::GitHub, &side_by_side()), expected);
}

#[test]
fn gitlabs_sections_have_times_and_names_of_their_own() {
    let mut chunks = side_by_side();
    chunks[4] = vertex("b", GO, 0, Some(3));
    let expected = "\x1b[0Ksection_start:1000:durango_1000_1\r\x1b[0Kphp: RUN make\n  php | one\n  php | two\n\
                    \x1b[0Ksection_end:1006:durango_1000_1\r\x1b[0K\nphp: RUN make: 2.0 s\n\
                    \x1b[0Ksection_start:1002:durango_1000_2[collapsed=true]\r\x1b[0Kmodules: RUN go build\n  modules | broken\n\
                    \x1b[0Ksection_end:1004:durango_1000_2\r\x1b[0K\nmodules: RUN go build: 3.0 s\n";
    assert_eq!(shown(Style::GitLab, &chunks), expected);
}

#[test]
fn a_failed_step_is_printed_again_below_its_fold() {
    let failed = vertex("a", MAKE, 0, Some(3)).replace("}]}", r#","error":"exit code: 1"}]}"#);
    let chunks = [vertex("a", MAKE, 0, None), log("a", "broken\n"), failed];
    let end = "  php | broken\n::endgroup::\nphp: RUN make: failed\n  | broken\n";
    let shown_there = shown(Style::GitHub, &chunks);
    assert!(shown_there.ends_with(end), "{shown_there}");
    // GitLab's sections are expanded unless they are collapsed explicitly.
    assert!(shown(Style::GitLab, &chunks).ends_with("\nphp: RUN make: failed\n"));
}

#[test]
fn what_never_ended_and_what_is_silent() {
    let cached = r#"{"vertexes":[{"digest":"c","name":"[php 1/3] COPY a b","started":"2026-11-22T12:00:00Z","completed":"2026-11-22T12:00:00Z","cached":true}]}"#;
    let chunks = [
        cached.to_owned(),
        vertex("a", MAKE, 0, None),
        vertex("b", GO, 0, None),
        vertex("b", GO, 0, Some(1)),
        log("a", "one\n"),
    ];
    let expected = "php: COPY a b: cached\n::group::php: RUN make\n  php | one\n::endgroup::\nphp: RUN make: stopped\n\
                    modules: RUN go build: 1.0 s\n";
    assert_eq!(shown(Style::GitHub, &chunks), expected);
}

#[test]
fn much_output_of_a_waiting_step_is_kept_whole() {
    let line = "x".repeat(99) + "\n";
    let mut chunks = vec![vertex("a", MAKE, 0, None), vertex("b", GO, 0, None)];
    chunks.extend((0..50).map(|_| log("b", &line.repeat(100))));
    chunks.push(vertex("a", MAKE, 0, Some(1)));
    chunks.push(vertex("b", GO, 0, Some(1)));
    assert_eq!(shown(Style::GitHub, &chunks).matches("modules | xxx").count(), 5000);
}
