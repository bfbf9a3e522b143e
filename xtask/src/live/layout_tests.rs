//! Views with several widths.

use crate::live::layout::*;

fn row(heading: &str, seconds: f64, expected: Option<f64>, detail: &str) -> ScreenRow {
    ScreenRow { heading: heading.into(), seconds, expected, detail: detail.into() }
}

fn view() -> BuildView {
    BuildView {
        elapsed: 72.0,
        rows: vec![
            row(
                "php: RUN /tmp/build-php shared",
                61.5,
                Some(210.0),
                "cc -O2 -c ext/standard/array.c -o array.o",
            ),
            row("modules: RUN go mod download", 3.0, None, ""),
            row("base: FROM docker.io/library/debian:13-slim", 2.0, None, "12.3 MB of 45.0 MB"),
        ],
        done: 3,
        all: 26,
        part: 0.31,
        remaining: Some(161.0),
    }
}

fn at(columns: usize) -> Vec<String> {
    lines(&view(), Size { columns, lines: 24 }, false)
}

#[test]
fn at_120_columns() {
    assert_eq!(
        at(120),
        [
            " 1:01 of 3:30 php: RUN /tmp/build-php shared | cc -O2 -c ext/standard/array.c -o array.o",
            " 0:03         modules: RUN go mod download",
            " 0:02         base: FROM docker.io/library/debian:13-slim | 12.3 MB of 45.0 MB",
            " 1:12 [============>                           ] 31% about 2:40 left, 3 of 26 steps",
        ]
    );
}

#[test]
fn at_60_columns() {
    assert_eq!(
        at(60),
        [
            " 1:01 of 3:30 php: RUN /tmp/build-php sh… | cc -O2 -c ext/…",
            " 0:03         modules: RUN go mod download",
            " 0:02         base: FROM docker.io/li… | 12.3 MB of 45.0 MB",
            " 1:12 [====>           ] 31% about 2:40 left, 3 of 26 steps",
        ]
    );
}

#[test]
fn at_40_columns() {
    assert_eq!(
        at(40),
        [
            " 1:01 php: RUN /tmp/buil… | cc -O2 -c …",
            " 0:03 modules: RUN go mod download",
            " 0:02 base: FROM … | 12.3 MB of 45.0 MB",
            " 1:12 31% about 2:40 left, 3/26",
        ]
    );
}

#[test]
fn no_line_is_as_wide_as_the_terminal() {
    let mut view = view();
    view.rows[0].detail = "日本語の出力".repeat(20);
    view.rows[1].heading = "x".repeat(300);
    for columns in 1..140 {
        for color in [false, true] {
            for line in lines(&view, Size { columns, lines: 24 }, color) {
                let seen = crate::text::terminal::plain(&line);
                assert!(seen.width() < columns.max(1) || seen.is_empty(), "{columns}: {seen}");
            }
        }
    }
}

#[test]
fn a_short_detail_is_next_to_a_long_heading() {
    let view = BuildView { rows: vec![row(&"x".repeat(80), 1.0, None, "over")], ..view() };
    let shown = lines(&view, Size { columns: 60, lines: 24 }, false);
    assert!(shown[0].ends_with("x… | over"), "{}", shown[0]);
}

#[test]
fn half_of_the_height_stays_free() {
    let mut view = view();
    view.rows = (0..30).map(|number| row(&format!("s{number}: RUN x"), 1.0, None, "")).collect();
    let shown = lines(&view, Size { columns: 80, lines: 10 }, false);
    assert_eq!(shown.len(), 5);
    assert_eq!(shown[3], "      and 27 more");
    assert_eq!(lines(&view, Size { columns: 80, lines: 1 }, false).len(), 2);
}

#[test]
fn without_a_forecast_the_bar_counts_steps() {
    let mut view = view();
    (view.remaining, view.part) = (None, 0.5);
    view.rows.iter_mut().for_each(|row| row.expected = None);
    let shown = lines(&view, Size { columns: 60, lines: 24 }, false);
    assert_eq!(shown[1], " 0:03 modules: RUN go mod download");
    assert_eq!(shown[3], " 1:12 [==================>                  ] 3 of 26 steps");
    (view.remaining, view.all) = (Some(0.2), 26);
    assert!(lines(&view, Size { columns: 80, lines: 24 }, false)[3].contains("finishing, 3 of 26"));
}

#[test]
fn colours_are_there_only_where_they_are_wanted() {
    let size = Size { columns: 80, lines: 24 };
    assert!(lines(&view(), size, false).iter().all(|line| !line.contains('\x1b')));
    let colored = lines(&view(), size, true);
    assert!(colored[0].starts_with("\x1b[1m 1:01 of 3:30\x1b[0m php: "));
    let plain: Vec<String> = colored.iter().map(|line| crate::text::terminal::plain(line)).collect();
    assert_eq!(plain, at(80));
}
