//! Reads the output of the test runners, libtest and nextest: counts, failures, slow tests.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::text;

/// A test that runs longer than this is ended, with all other tests. A cold build of the images
/// takes about 10 minutes.
pub(super) const TEST_TIMEOUT: Duration = Duration::from_secs(30 * 60);
/// libtest names a test that runs longer than this.
const NAMED_AFTER: Duration = Duration::from_secs(60);
/// Lines of a failed test's panic message that are kept.
const LINES: usize = 6;
/// Columns of such a line. A whole report in an assertion is one line.
const COLUMNS: usize = 300;

/// A failed test.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) name: String,
    /// The place of the panic and the first lines of its message.
    pub(super) message: Vec<String>,
}

/// The counts of a run, and the failed tests.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) passed: u32,
    pub(super) failed: u32,
    pub(super) skipped: u32,
    pub(super) failures: Vec<Failure>,
    /// The tests were ended before all had run.
    pub(super) was_ended: bool,
    /// Test binaries that began and did not print a result.
    open_binaries: u32,
    /// The lines that come next.
    section: Section,
    /// The longest that a test may run.
    limit: Duration,
    /// Tests that run for long, each with the end of its time.
    slow: BTreeMap<String, Instant>,
}

/// A part of a runner's output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Section {
    #[default]
    Tests,
    /// The output of the failed test at this place, before its panic.
    Output(usize),
    /// The message of its panic.
    Message(usize),
    /// libtest's list of the names of failed tests.
    Names,
}

impl Totals {
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, ..Self::default() }
    }

    /// Returns true if each failure is a failed test whose name is known.
    pub(super) fn is_explained(&self) -> bool {
        !self.was_ended && self.open_binaries == 0 && self.failures.len() == self.failed as usize
    }

    /// Reads a line.
    pub(super) fn add(&mut self, line: &str, now: Instant) {
        if let Some(summary) = line.trim_start().strip_prefix("Summary [") {
            self.section = Section::Tests;
            self.add_counts(summary.split_once(" run: ").map_or("", |(_, counts)| counts), ',');
        } else if let Some(result) = line.strip_prefix("test result: ") {
            self.section = Section::Tests;
            self.open_binaries = self.open_binaries.saturating_sub(1);
            self.add_counts(result.split_once(". ").map_or("", |(_, counts)| counts), ';');
        } else if line.starts_with("running ") && line.trim_end_matches('s').ends_with(" test") {
            self.open_binaries += 1;
        } else if let Some(test) = line.strip_prefix("test ") {
            self.add_test(test, now);
        }
        self.add_failure(line);
    }

    fn add_test(&mut self, test: &str, now: Instant) {
        if let Some((name, _)) = test.split_once(" has been running for over ") {
            self.slow.insert(name.to_owned(), now + self.limit.saturating_sub(NAMED_AFTER));
        } else if let Some((name, _)) = test.split_once(" ... ") {
            self.slow.remove(name);
        }
    }

    /// Reads the parts of the output that describe failures.
    fn add_failure(&mut self, line: &str) {
        let header = line.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" stdout ----"));
        let nextest = || {
            let states = ["FAIL [", "TIMEOUT [", "SIGABRT [", "SIGSEGV ["];
            let is_failed = states.iter().any(|state| line.trim_start().starts_with(state));
            line.split_whitespace().next_back().filter(|_| is_failed)
        };
        if let Some(name) = header.or_else(nextest) {
            self.section = Section::Output(self.failure(name));
            return;
        }
        if line == "failures:" {
            self.section = Section::Names;
            return;
        }
        let text = line.trim();
        let panic = text.strip_prefix("thread '").and_then(|rest| rest.split_once(" panicked at "));
        match (self.section, panic) {
            (Section::Output(at), Some((_, place))) => {
                self.failures[at].message = vec![place.trim_end_matches(':').to_owned()];
                self.section = Section::Message(at);
            }
            (Section::Message(at), _) => {
                let is_over =
                    text == "stack backtrace:" || text.starts_with("note: run with `RUST_BACKTRACE");
                if is_over || self.failures[at].message.len() > LINES {
                    self.section = Section::Tests;
                } else if !text.is_empty() {
                    self.failures[at].message.push(text::one_line(text, COLUMNS));
                }
            }
            (Section::Names, _) if line.starts_with("    ") => drop(self.failure(text)),
            _ => {}
        }
    }

    /// Returns the place of a failed test in the list, where it is added once.
    fn failure(&mut self, name: &str) -> usize {
        let found = self.failures.iter().position(|failure| failure.name == name);
        found.unwrap_or_else(|| {
            self.failures.push(Failure { name: name.to_owned(), ..Failure::default() });
            self.failures.len() - 1
        })
    }

    /// Adds `3 passed; 1 failed` of libtest, or `3 passed (1 slow), 1 timed out` of nextest.
    fn add_counts(&mut self, counts: &str, separator: char) {
        for (number, what) in counts.split(separator).filter_map(|part| part.trim().split_once(' ')) {
            let Ok(number) = number.parse::<u32>() else { continue };
            match what.split(" (").next().unwrap_or_default() {
                "passed" => self.passed += number,
                "failed" | "timed out" | "exec failed" => self.failed += number,
                "ignored" | "skipped" => self.skipped += number,
                _ => {}
            }
        }
    }

    /// Adds what tests wrote when this machine could not run them: they passed as far as the runner
    /// knows.
    pub(super) fn add_skips(&mut self, skips: &str) {
        let skips = u32::try_from(skips.lines().count()).unwrap_or(u32::MAX);
        self.passed = self.passed.saturating_sub(skips);
        self.skipped = self.skipped.saturating_add(skips);
    }

    /// The test whose time is over.
    pub(super) fn overdue(&self, now: Instant) -> Option<&str> {
        self.slow.iter().find(|(_, end)| now >= **end).map(|(name, _)| name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(output: &str) -> Totals {
        let (mut totals, now) = (Totals::new(TEST_TIMEOUT), Instant::now());
        output.lines().for_each(|line| totals.add(line, now));
        totals
    }

    fn counts(totals: &Totals) -> (u32, u32, u32) {
        (totals.passed, totals.failed, totals.skipped)
    }

    /// Returns what libtest prints of two failed tests.
    fn libtest(rest: &str) -> String {
        let long = "x\n".repeat(100);
        format!(
            "running 3 tests\ntest a::one ... FAILED\ntest a::two ... FAILED\ntest b ... ok\n\nfailures:\n\n\
             ---- a::one stdout ----\nexit code 3\n\nthread 'a::one' (17) panicked at src/a.rs:1:2:\n\
             not equal\n\n  left: 1\n{long}stack backtrace:\n   0: core\n\n\
             ---- a::two stdout ----\n\nthread 'other' panicked at src/b.rs:3:4:\nno\n\
             note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n\n\n\
             failures:\n    a::one\n    a::two\n    silent\n\n{rest}"
        )
    }

    #[test]
    fn each_failed_test_has_its_name_and_the_beginning_of_its_message() {
        let totals = read(&libtest("test result: FAILED. 1 passed; 3 failed; 0 ignored\n"));
        let messages: Vec<(&str, String)> = totals
            .failures
            .iter()
            .map(|failure| (failure.name.as_str(), failure.message.join("|")))
            .collect();
        let expected = [
            ("a::one", "src/a.rs:1:2|not equal|left: 1|x|x|x|x"),
            ("a::two", "src/b.rs:3:4|no"),
            ("silent", ""),
        ];
        assert_eq!(messages, expected.map(|(name, message)| (name, message.to_owned())));
        assert!(totals.is_explained(), "{totals:?}");
    }

    #[test]
    fn a_failure_without_a_test_is_not_explained() {
        assert!(!read(&libtest("")).is_explained(), "the binary ended without a result");
        assert!(!read(&libtest("test result: FAILED. 0 passed; 4 failed; 0 ignored\n")).is_explained());
        assert!(read("running 1 test\ntest result: ok. 1 passed; 0 failed; 0 ignored\n").is_explained());
    }

    #[test]
    fn a_long_line_of_a_message_is_cut() {
        let line = "y".repeat(5000);
        let totals = read(&format!("---- a stdout ----\nthread 'a' panicked at src/a.rs:1:2:\n{line}\n"));
        assert!(totals.failures[0].message[1].len() < 2 * COLUMNS);
    }

    #[test]
    fn nextest_s_failures_are_read() {
        let totals = read(
            "        FAIL [   0.005s] (1/9) xtask::it smoke::page\n  stdout ───\n\n    running 1 test\n\
             \n  stderr ───\n\n    thread 'smoke::page' (9) panicked at src/a.rs:1:2:\n    no page\n\
             \x20   note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n\
             ────────────\n     Summary [   8.12s] 9 tests run: 8 passed, 1 failed, 4 skipped\n\
             \x20       FAIL [   0.005s] (1/9) xtask::it smoke::page\n",
        );
        let message = vec!["src/a.rs:1:2".to_owned(), "no page".to_owned()];
        assert_eq!(totals.failures, [Failure { name: "smoke::page".into(), message }]);
        assert!(totals.is_explained(), "{totals:?}");
    }

    #[test]
    fn totals_are_sums_over_all_binaries() {
        let totals = read(
            "test result: ok. 12 passed; 0 failed; 3 ignored; 0 measured; 1 filtered out; finished in 0.01s\n\
             test tests::x ... ok\n\
             test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s\n",
        );
        assert_eq!(counts(&totals), (13, 2, 3));
    }

    #[test]
    fn nextest_s_summary_has_the_same_counts() {
        let totals = read(
            "     Summary [   8.12s] 9 tests run: 5 passed (1 slow), 3 failed, 1 timed out, 4 skipped\n",
        );
        assert_eq!(counts(&totals), (5, 4, 4));
    }

    #[test]
    fn what_a_machine_cannot_run_did_not_pass() {
        let mut totals = read("test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured\n");
        totals.add_skips("setup::one: needs root\nsmoke::two: no `zstd`\n");
        assert_eq!(counts(&totals), (3, 0, 3));
    }

    #[test]
    fn a_test_has_its_time_and_no_more() {
        let (mut totals, now) = (Totals::new(TEST_TIMEOUT), Instant::now());
        totals.add("test it::slow has been running for over 60 seconds", now);
        totals.add("test it::long has been running for over 60 seconds", now);
        assert_eq!(totals.overdue(now + TEST_TIMEOUT - NAMED_AFTER - Duration::from_secs(1)), None);
        assert_eq!(totals.overdue(now + TEST_TIMEOUT), Some("it::long"));
        totals.add("test it::long ... ok", now);
        assert_eq!(totals.overdue(now + TEST_TIMEOUT), Some("it::slow"));
    }
}
