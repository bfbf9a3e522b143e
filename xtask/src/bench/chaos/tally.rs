//! The line of one fault: how often it was tried, and what did not hold.

use std::fmt::Write;

use serde::Serialize;

use crate::process::stdio::errln;
use crate::text;

/// The counts of one fault.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Tally {
    /// The fault.
    pub(crate) name: String,
    /// Rounds in which the fault happened and everything held.
    pub(crate) held: usize,
    /// Rounds whose command had ended before the fault.
    pub(crate) too_late: usize,
    /// The conditions that did not hold, one text for each such round.
    pub(crate) failures: Vec<String>,
    /// Why this machine cannot have the fault.
    pub(crate) skipped: Option<String>,
    /// Time of all rounds.
    pub(crate) seconds: f64,
}

impl Tally {
    pub(super) fn new(name: String) -> Self {
        Self { name, ..Self::default() }
    }

    pub(super) fn tried(&self) -> usize {
        self.held + self.too_late + self.failures.len()
    }

    pub(super) fn fail(&mut self, text: String) {
        errln!("  round {} failed: {text}", self.tried());
        self.failures.push(text);
    }

    /// Its line of the table.
    pub(super) fn line(&self) -> String {
        let skipped = self.skipped.as_ref().map(|reason| format!("  skipped: {reason}")).unwrap_or_default();
        format!(
            "{:<22} {:>6} {:>8} {:>7} {:>9}{skipped}",
            self.name,
            self.held,
            self.too_late,
            self.failures.len(),
            text::seconds(self.seconds)
        )
    }
}

/// All lines as text, then what did not hold.
pub(crate) fn table(tallies: &[Tally], seed: u64) -> String {
    let mut text = format!("{:<22} {:>6} {:>8} {:>7} {:>9}\n", "fault", "held", "too late", "failed", "time");
    for tally in tallies {
        text += &tally.line();
        text.push('\n');
    }
    for tally in tallies {
        for failure in &tally.failures {
            let _ = writeln!(text, "{}: {failure}", tally.name);
        }
    }
    let sum = |of: fn(&Tally) -> usize| tallies.iter().map(of).sum::<usize>();
    let (rounds, failed) = (sum(Tally::tried), sum(|tally| tally.failures.len()));
    let _ = writeln!(text, "seed {seed}: {rounds} rounds, {failed} failed");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_the_counts_and_the_seed() {
        let tally =
            Tally { held: 3, too_late: 1, failures: vec!["lost".into()], ..Tally::new("kill save".into()) };
        let skipped = Tally { skipped: Some("needs root".into()), ..Tally::new("full".into()) };
        let text = table(&[tally, skipped], 7);
        let lines: Vec<String> =
            text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(lines[1], "kill save 3 1 1 0.0 s");
        assert_eq!(lines[2], "full 0 0 0 0.0 s skipped: needs root");
        assert_eq!(lines[3..], ["kill save: lost", "seed 7: 5 rounds, 1 failed"]);
    }
}
