//! The remaining time of a build: from the forecast, corrected by the progress. Pure.

/// The progress of a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum At {
    /// Not started.
    Waiting,
    /// Running for this many seconds.
    Running(f64),
    /// Ran for this many seconds.
    Ran(f64),
    Cached,
}

/// A step with an expected time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct TimedStep {
    /// Its expected time in seconds.
    pub expected: f64,
    /// Its progress.
    pub at: At,
}

/// The number of seconds of work after which the speed of the machine is corrected.
const PRIOR: f64 = 10.0;

/// Returns the remaining seconds of a build that was expected to take `whole` seconds and has been
/// running for `elapsed`.
///
/// Steps run in parallel, so their times don't add up. The remaining part counts in proportion to
/// the total of all steps. The result is never less than the remaining time of the longest running
/// step.
pub(crate) fn remaining(whole: f64, elapsed: f64, steps: &[TimedStep]) -> f64 {
    let work: f64 = steps.iter().map(|step| step.expected).sum();
    if work <= 0.0 {
        return (whole - elapsed).max(0.0);
    }
    let pace = pace(steps);
    let left = |step: &TimedStep| match step.at {
        At::Waiting => step.expected * pace,
        At::Running(seconds) => (step.expected * pace - seconds).max(0.0),
        At::Ran(_) | At::Cached => 0.0,
    };
    let running = steps.iter().filter(|step| matches!(step.at, At::Running(_)));
    let longest = running.map(left).fold(0.0, f64::max);
    let all: f64 = steps.iter().map(left).sum();
    longest.max(all * whole / work)
}

/// Returns the slowness of the machine: above 1 if completed steps took longer than expected.
fn pace(steps: &[TimedStep]) -> f64 {
    let ran = steps.iter().filter_map(|step| match step.at {
        At::Ran(seconds) => Some((seconds, step.expected)),
        _ => None,
    });
    let (took, expected) = ran.fold((PRIOR, PRIOR), |sums, ran| (sums.0 + ran.0, sums.1 + ran.1));
    (took / expected).clamp(0.5, 2.0)
}

/// The number of seconds after which half of a correction is shown.
const HALF: f64 = 2.0;

/// Returns the displayed time, which counts down and approaches the known one without a jump.
pub(crate) fn settled(shown: Option<f64>, passed: f64, known: f64) -> f64 {
    let Some(shown) = shown else { return known.max(0.0) };
    let counted = (shown - passed).max(0.0);
    let weight = 1.0 - 0.5_f64.powf(passed.max(0.0) / HALF);
    (counted + (known - counted) * weight).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(all: &[(f64, At)]) -> Vec<TimedStep> {
        all.iter().map(|(expected, at)| TimedStep { expected: *expected, at: *at }).collect()
    }

    fn close(left: f64, right: f64) {
        assert!((left - right).abs() < 0.01, "{left} is not {right}");
    }

    #[test]
    fn it_starts_with_the_forecast_and_counts_down() {
        let one_after_the_other = |a, b| remaining(100.0, 0.0, &steps(&[(60.0, a), (40.0, b)]));
        close(one_after_the_other(At::Waiting, At::Waiting), 100.0);
        close(one_after_the_other(At::Running(20.0), At::Waiting), 80.0);
        close(one_after_the_other(At::Ran(60.0), At::Running(10.0)), 30.0);
        close(one_after_the_other(At::Ran(60.0), At::Ran(40.0)), 0.0);
    }

    #[test]
    fn steps_side_by_side_do_not_add_up() {
        let side_by_side = |a, b| remaining(60.0, 0.0, &steps(&[(60.0, a), (60.0, b)]));
        close(side_by_side(At::Waiting, At::Waiting), 60.0);
        close(side_by_side(At::Running(30.0), At::Running(30.0)), 30.0);
        let unequal = remaining(60.0, 30.0, &steps(&[(60.0, At::Running(30.0)), (10.0, At::Ran(10.0))]));
        close(unequal, 30.0);
    }

    #[test]
    fn what_ended_corrects_what_is_left() {
        let slow = remaining(100.0, 90.0, &steps(&[(60.0, At::Ran(90.0)), (40.0, At::Waiting)]));
        assert!(slow > 50.0 && slow < 60.0, "{slow}");
        let cached = remaining(100.0, 1.0, &steps(&[(60.0, At::Cached), (40.0, At::Waiting)]));
        close(cached, 40.0);
        let twice = remaining(30.0, 40.0, &steps(&[(10.0, At::Ran(500.0)), (20.0, At::Waiting)]));
        close(twice, 40.0);
    }

    #[test]
    fn it_is_never_negative() {
        close(remaining(10.0, 99.0, &steps(&[(10.0, At::Running(99.0))])), 0.0);
        close(remaining(0.5, 3.0, &[]), 0.0);
        close(remaining(0.5, 0.2, &[]), 0.3);
        close(settled(None, 0.0, -1.0), 0.0);
        close(settled(Some(0.1), 5.0, 0.0), 0.0);
    }

    #[test]
    fn what_is_shown_does_not_jump() {
        close(settled(None, 0.0, 60.0), 60.0);
        close(settled(Some(60.0), 1.0, 59.0), 59.0);
        let mut shown = 60.0;
        for tenth in 0..150 {
            let next = settled(Some(shown), 0.1, 40.0 - 0.1 * f64::from(tenth));
            assert!(shown - next < 1.0, "{shown} -> {next}");
            shown = next;
        }
        assert!((shown - 25.0).abs() < 0.5, "{shown}");
    }
}
