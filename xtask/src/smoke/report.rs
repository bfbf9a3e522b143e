//! The results of the checks as lines and as one JSON document.

use std::time::Duration;

use serde::Serialize;

use crate::json::SCHEMA;

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ProofState {
    /// Passed.
    Ok,
    /// Failed, or not possible.
    Fail,
    /// Skipped for this image.
    Skip,
}

/// The result of one check.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Outcome {
    /// The check.
    pub name: String,
    /// Its result.
    pub state: ProofState,
    /// Details, or the expectation.
    pub detail: String,
    /// Its time.
    #[serde(serialize_with = "seconds")]
    pub seconds: Duration,
}

fn seconds<S: serde::Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((time.as_secs_f64() * 1000.0).round() / 1000.0)
}

impl Outcome {
    /// Returns the line of a check. Text from the image cannot move the cursor or add lines.
    pub(crate) fn line(&self, color: bool) -> String {
        let detail: String =
            self.detail.trim().replace('\n', " | ").chars().filter(|c| !c.is_control()).collect();
        let (word, code) = match self.state {
            ProofState::Ok => ("ok  ", "32"),
            ProofState::Fail => ("FAIL", "31"),
            ProofState::Skip => ("skip", "33"),
        };
        let word = if color { format!("\x1b[{code}m{word}\x1b[0m") } else { word.into() };
        match self.state {
            ProofState::Skip => format!("{word} {}: {detail}", self.name),
            _ => format!("{word} {}: {detail}  ({} ms)", self.name, self.seconds.as_millis()),
        }
    }
}

/// The whole run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Report {
    /// The image as it was named.
    pub image: String,
    /// Every check, in the order of the run.
    pub checks: Vec<Outcome>,
    /// The whole run.
    pub seconds: Duration,
}

impl Report {
    /// Returns whether no check failed.
    pub(crate) fn passed(&self) -> bool {
        self.count(ProofState::Fail) == 0 && !self.checks.is_empty()
    }

    /// Returns the last line.
    pub(crate) fn summary(&self) -> String {
        let result = if self.passed() { "passed" } else { "failed" };
        let (ok, fail, skip) =
            (self.count(ProofState::Ok), self.count(ProofState::Fail), self.count(ProofState::Skip));
        format!(
            "{}: smoke {result}: {ok} ok, {fail} failed, {skip} skipped, in {:.1} s",
            self.image,
            self.seconds.as_secs_f64()
        )
    }

    /// Returns the output of `--json`.
    pub(crate) fn json(&self) -> String {
        let result = if self.passed() { "passed" } else { "failed" };
        serde_json::json!({"schema": SCHEMA, "image": self.image, "result": result, "checks": self.checks})
            .to_string()
    }

    fn count(&self, state: ProofState) -> usize {
        self.checks.iter().filter(|outcome| outcome.state == state).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(state: ProofState, detail: &str) -> Outcome {
        Outcome { name: "gd".into(), state, detail: detail.into(), seconds: Duration::from_micros(12_345) }
    }

    fn report(states: &[ProofState]) -> Report {
        let checks = states.iter().map(|state| outcome(*state, "d")).collect();
        Report { image: "a:b".into(), checks, seconds: Duration::from_millis(1500) }
    }

    #[test]
    fn one_line_a_check() {
        assert_eq!(outcome(ProofState::Ok, "png").line(false), "ok   gd: png  (12 ms)");
        assert_eq!(outcome(ProofState::Fail, "a\n\x1b[2Jb").line(false), "FAIL gd: a | [2Jb  (12 ms)");
        assert_eq!(outcome(ProofState::Skip, "not here").line(true), "\x1b[33mskip\x1b[0m gd: not here");
    }

    #[test]
    fn one_failure_fails_the_run_and_so_do_no_checks_at_all() {
        assert!(report(&[ProofState::Ok, ProofState::Skip]).passed());
        assert!(!report(&[ProofState::Ok, ProofState::Fail]).passed());
        assert!(!report(&[]).passed());
        assert_eq!(
            report(&[ProofState::Ok, ProofState::Fail]).summary(),
            "a:b: smoke failed: 1 ok, 1 failed, 0 skipped, in 1.5 s"
        );
    }

    #[test]
    fn json_keeps_its_contract() {
        assert_eq!(
            report(&[ProofState::Ok]).json(),
            r#"{"checks":[{"detail":"d","name":"gd","seconds":0.012,"state":"ok"}],"image":"a:b","result":"passed","schema":1}"#
        );
    }
}
