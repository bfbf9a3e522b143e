use crate::progress::decode::Chunk;
use crate::record::log::*;

struct Build(Trace, Log, #[expect(dead_code, reason = "the log is in it")] tempfile::TempDir);

impl Build {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let log = Log::new(dir.path().join("log"), Redactor::default());
        log.open();
        Self(Trace::new(&["app".to_owned()]), log, dir)
    }

    fn vertex(&mut self, json: &serde_json::Value) {
        let chunk: Chunk =
            serde_json::from_value(serde_json::json!({ "vertexes": [json] })).expect("well formed");
        for event in self.0.apply(&chunk) {
            self.1.event(&self.0, &event);
        }
    }

    fn step(&mut self, digest: &str, lines: usize, error: &str) -> String {
        let name = format!("[{digest} 2/2] RUN x");
        self.vertex(&serde_json::json!({"digest": digest, "name": name, "started": "2026-11-22T12:00:00Z"}));
        for line in 0..lines {
            let event = Event::Line(digest.to_owned(), format!("line {line}"));
            self.1.event(&self.0, &event);
        }
        self.vertex(
            &serde_json::json!({"digest": digest, "completed": "2026-11-22T12:00:01Z", "error": error}),
        );
        std::fs::read_to_string(self.1.path()).expect("read")
    }
}

#[test]
fn a_short_output_is_there_as_it_came() {
    let text = Build::new().step("a", 2, "");
    assert_eq!(text, "[a 2/2] RUN x\n[a 2/2] line 0\n[a 2/2] line 1\n[a 2/2] RUN x -- 1.0 s\n");
}

#[test]
fn of_a_long_output_beginning_and_end_stay_and_of_one_that_failed_much_more() {
    let mut build = Build::new();
    let text = build.step("a", 100_000, "");
    assert!(text.len() < 10_000, "{}", text.len());
    assert!(text.contains("] line 0\n") && text.contains("] line 99999\n") && text.contains("lines skipped"));
    let failed = build.step("b", 100_000, "exit code: 1");
    let more = failed.len() - text.len();
    assert!((40_000..60_000).contains(&more), "{more}");
    assert!(failed.ends_with("] line 99999\n[b 2/2] RUN x -- 1.0 s exit code: 1\n"));
    for step in 0..100 {
        build.step(&format!("c{step}"), 1000, "exit code: 1");
    }
    assert!(build.step("d", 1000, "").len() <= MAX_BYTES, "it never takes more");
}

#[test]
fn lines_that_come_after_their_step_are_not_lost() {
    let mut build = Build::new();
    build.step("a", 2, "exit code: 1");
    build.1.event(&build.0, &Event::Line("a".into(), "late".into()));
    build.1.end_of_call();
    let text = std::fs::read_to_string(build.1.path()).expect("read");
    assert!(text.ends_with("exit code: 1\n[a 2/2] late\n"), "{text}");
}

#[test]
fn steps_running_at_the_end_of_a_call_are_reported() {
    let mut build = Build::new();
    build.vertex(
        &serde_json::json!({"digest": "a", "name": "[2/2] RUN x", "started": "2026-11-22T12:00:00Z"}),
    );
    for line in 0..10_000 {
        build.1.event(&build.0, &Event::Line("a".into(), format!("line {line}")));
    }
    build.1.end_of_call();
    assert!(std::fs::read_to_string(build.1.path()).expect("read").ends_with("] line 9999\n"));
}

#[test]
fn a_log_that_can_not_be_written_is_given_up_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let missing = Log::new(dir.path().join("no/log"), Redactor::default());
    missing.open();
    missing.text("a");
    assert!(missing.problem().is_some_and(|problem| problem.contains("No such file")));
    // Every write to this device fails as on a full disk.
    let full = Log::new("/dev/full", Redactor::default());
    full.open();
    assert_eq!(full.problem(), None);
    full.text("a");
    let problem = full.problem().expect("it was given up");
    assert!(problem.contains("`/dev/full` is not complete: No space left"), "{problem}");
    full.open();
    full.text("b");
    full.end_of_call();
    assert_eq!(full.problem().as_ref(), Some(&problem), "it stays given up");
}
