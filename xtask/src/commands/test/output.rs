//! Reads what the test runners print, libtest's text and nextest's: counts, failures, slow tests.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A test that runs for longer than this is ended, and everything with it. A cold build of the
/// images takes some 10 minutes.
pub(super) const LIMIT: Duration = Duration::from_secs(30 * 60);
/// libtest names a test that runs for longer than this.
const NAMED_AFTER: Duration = Duration::from_secs(60);
/// Lines of a failing test's output that are repeated at the end.
const LINES: usize = 24;

/// The counts of a run, and the beginnings of the failing tests' outputs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) passed: u32,
    pub(super) failed: u32,
    pub(super) skipped: u32,
    pub(super) failures: Vec<String>,
    /// Lines still to come of a failure.
    open: usize,
    /// The longest that a test may run.
    limit: Duration,
    /// Tests that run for long, each with the end of its time.
    slow: BTreeMap<String, Instant>,
}

impl Totals {
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, ..Self::default() }
    }

    /// Reads a line.
    pub(super) fn add(&mut self, line: &str, now: Instant) {
        if let Some(summary) = line.trim_start().strip_prefix("Summary [") {
            self.add_counts(summary.split_once(" run: ").map_or("", |(_, counts)| counts), ',');
        } else if let Some(result) = line.strip_prefix("test result: ") {
            self.add_counts(result.split_once(". ").map_or("", |(_, counts)| counts), ';');
        } else if let Some(test) = line.strip_prefix("test ") {
            self.add_test(test, now);
        }
        if line.starts_with("---- ") && line.ends_with(" stdout ----") {
            self.open = LINES;
        } else if line == "failures:" {
            self.open = 0;
        }
        if self.open > 0 {
            self.open -= 1;
            self.failures.push(line.to_owned());
        }
    }

    fn add_test(&mut self, test: &str, now: Instant) {
        if let Some((name, _)) = test.split_once(" has been running for over ") {
            self.slow.insert(name.to_owned(), now + self.limit.saturating_sub(NAMED_AFTER));
        } else if let Some((name, _)) = test.split_once(" ... ") {
            self.slow.remove(name);
        }
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
        let (mut totals, now) = (Totals::new(LIMIT), Instant::now());
        output.lines().for_each(|line| totals.add(line, now));
        totals
    }

    fn counts(totals: &Totals) -> (u32, u32, u32) {
        (totals.passed, totals.failed, totals.skipped)
    }

    #[test]
    fn the_beginning_of_each_failure_is_kept() {
        let long = "x\n".repeat(100);
        let totals = read(&format!(
            "failures:\n\n---- one stdout ----\nexit code 3\n{long}\n---- two stdout ----\nno\n\nfailures:\n    one"
        ));
        assert_eq!(totals.failures.len(), LINES + 3, "{totals:?}");
        assert_eq!(totals.failures[1], "exit code 3");
        assert_eq!(totals.failures[LINES..], ["---- two stdout ----", "no", ""]);
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
        let (mut totals, now) = (Totals::new(LIMIT), Instant::now());
        totals.add("test it::slow has been running for over 60 seconds", now);
        totals.add("test it::long has been running for over 60 seconds", now);
        assert_eq!(totals.overdue(now + LIMIT - NAMED_AFTER - Duration::from_secs(1)), None);
        assert_eq!(totals.overdue(now + LIMIT), Some("it::long"));
        totals.add("test it::long ... ok", now);
        assert_eq!(totals.overdue(now + LIMIT), Some("it::slow"));
    }
}
