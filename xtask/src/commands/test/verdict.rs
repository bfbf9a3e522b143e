//! The result of a run of the tests, in which failed tests have a second chance.
//!
//! A test that fails while others run and passes alone is flaky. It is named and counted. A few of
//! them do not fail a run: a busy machine would otherwise fail for another test each time.

use super::output::{Failure, Totals};

/// Flaky tests with which a run still succeeds.
const MOST_FLAKY: usize = 3;
/// If more tests than this fail, something is wrong that a second run does not change.
const MOST_AGAIN: usize = 10;

/// The totals of one run or two, with the failures of the first run.
#[derive(Debug)]
pub(super) struct Verdict {
    first: Totals,
    is_success: bool,
    flaky: Vec<Failure>,
    failed: Vec<Failure>,
}

impl Verdict {
    /// Judges a run, whose runner succeeded or not.
    pub(super) fn new((first, is_success): (Totals, bool)) -> Self {
        let failed = first.failures.clone();
        Self { first, is_success, flaky: Vec::new(), failed }
    }

    /// Returns the tests that deserve a second run.
    pub(super) fn names_to_run_again(&self) -> Vec<String> {
        if !self.first.is_explained() || self.failed.len() > MOST_AGAIN {
            return Vec::new();
        }
        self.failed.iter().map(|failure| failure.name.clone()).collect()
    }

    /// Takes in the run of those tests.
    pub(super) fn add_second_run(&mut self, (second, is_success): (Totals, bool)) {
        // A second run that went wrong as a whole proves nothing.
        if !second.is_explained() || second.passed + second.failed < self.first.failed {
            return;
        }
        let fails_again = |first: &Failure| second.failures.iter().any(|failure| failure.name == first.name);
        (self.failed, self.flaky) = self.failed.drain(..).partition(fails_again);
        self.is_success = is_success && self.failed.is_empty() && self.flaky.len() <= MOST_FLAKY;
    }

    /// Adds the tests that passed only because this machine cannot run them.
    pub(super) fn add_skips(&mut self, skips: &str) {
        self.first.add_skips(skips);
    }

    /// Returns true if no test failed twice, few were flaky, and the runner has no other complaint.
    pub(super) fn is_success(&self) -> bool {
        self.is_success
    }

    /// Returns a block for each test that failed, and the counts as the last line.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for (word, failures) in [("flaky", &self.flaky), ("failed", &self.failed)] {
            for Failure { name, message } in failures {
                text.push_str(&format!("{word}: {name}\n"));
                message.iter().for_each(|line| text.push_str(&format!("    {line}\n")));
            }
        }
        if self.flaky.len() > MOST_FLAKY {
            text.push_str(&format!("error: more than {MOST_FLAKY} tests are flaky\n"));
        }
        let again = u32::try_from(self.flaky.len()).unwrap_or(u32::MAX);
        let (passed, failed) = (self.first.passed + again, self.first.failed.saturating_sub(again));
        let second = if again == 0 { String::new() } else { format!(" ({again} of them on a second run)") };
        text + &format!("{passed} passed{second}, {failed} failed, {} skipped", self.first.skipped)
    }
}

#[cfg(test)]
mod tests {
    use super::super::output::TEST_TIMEOUT;
    use super::*;

    fn run(passed: u32, names: &[&str]) -> (Totals, bool) {
        let failures = names.iter().map(|name| Failure {
            name: (*name).to_owned(),
            message: vec![format!("src/{name}.rs:1:2"), format!("{name} is wrong")],
        });
        let mut totals = Totals::new(TEST_TIMEOUT);
        (totals.passed, totals.failed) = (passed, u32::try_from(names.len()).expect("few"));
        totals.failures = failures.collect();
        (totals, names.is_empty())
    }

    #[test]
    fn a_test_that_passes_alone_is_flaky_and_named_with_its_first_error() {
        let mut verdict = Verdict::new(run(5, &["a", "b"]));
        assert_eq!(verdict.names_to_run_again(), ["a", "b"]);
        verdict.add_second_run(run(2, &[]));
        assert!(verdict.is_success());
        assert_eq!(
            verdict.text(),
            "flaky: a\n    src/a.rs:1:2\n    a is wrong\nflaky: b\n    src/b.rs:1:2\n    b is wrong\n\
             7 passed (2 of them on a second run), 0 failed, 0 skipped"
        );
    }

    #[test]
    fn a_test_that_fails_twice_fails_the_run() {
        let mut verdict = Verdict::new(run(5, &["a", "b"]));
        verdict.add_second_run(run(1, &["b"]));
        assert!(!verdict.is_success());
        assert!(verdict.text().ends_with(
            "failed: b\n    src/b.rs:1:2\n    b is wrong\n\
             6 passed (1 of them on a second run), 1 failed, 0 skipped"
        ));
    }

    #[test]
    fn more_than_three_flaky_tests_fail_the_run() {
        let judged = |names: &[&str]| {
            let mut verdict = Verdict::new(run(5, names));
            verdict.add_second_run(run(u32::try_from(names.len()).expect("few"), &[]));
            verdict
        };
        assert!(judged(&["a", "b", "c"]).is_success());
        let four = judged(&["a", "b", "c", "d"]);
        assert!(!four.is_success() && four.text().contains("error: more than 3 tests are flaky\n"));
    }

    #[test]
    fn what_no_test_explains_is_not_run_again_and_fails() {
        let (mut ended, _) = run(5, &["a"]);
        ended.was_ended = true;
        let verdict = Verdict::new((ended, false));
        assert!(verdict.names_to_run_again().is_empty() && !verdict.is_success());
        // The sources do not compile.
        let verdict = Verdict::new((Totals::new(TEST_TIMEOUT), false));
        assert!(verdict.names_to_run_again().is_empty() && !verdict.is_success());
        let names: Vec<String> = (0..11).map(|number| format!("t{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert!(Verdict::new(run(5, &names)).names_to_run_again().is_empty(), "too many");
    }

    #[test]
    fn a_second_run_that_runs_too_few_tests_proves_nothing() {
        let mut verdict = Verdict::new(run(5, &["a", "b"]));
        verdict.add_second_run(run(1, &[]));
        assert!(!verdict.is_success() && verdict.text().ends_with("5 passed, 2 failed, 0 skipped"));
    }

    #[test]
    fn a_run_in_which_all_passed_says_nothing_else() {
        let mut verdict = Verdict::new(run(5, &[]));
        verdict.add_skips("setup::one: needs root\n");
        assert!(verdict.is_success());
        assert_eq!(verdict.text(), "4 passed, 0 failed, 1 skipped");
    }
}
