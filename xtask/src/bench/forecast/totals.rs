//! The results of all edits, and the limits that they are judged by.

use std::collections::BTreeMap;

use super::compare::Outcome;
use super::edit::Edit;
use crate::bench::Row;
use crate::bench::cases::Case;
use crate::process::stdio::errln;

/// Shares of fewer steps say little, and are not judged: one project in four has much from servers,
/// and then a sixth of its steps may run.
const JUDGED_STEPS: usize = 4000;

/// The results of all edits.
#[derive(Default)]
pub(super) struct Totals {
    pub(super) edits: usize,
    pub(super) refused: usize,
    pub(super) wrong: usize,
    /// Whether every wrong forecast is made small, even one that costs no more than a surprise.
    pub(super) shrinks_all: bool,
    steps: usize,
    decided: usize,
    right: usize,
    open: usize,
    missed: usize,
    unnamed: usize,
    /// Edits after which a step ran, and those of them whose reason was forecast, and named.
    reasons: usize,
    forecast: usize,
    named: usize,
    /// The number of steps that may run by the kind of their reason, and of those that ran.
    open_by: BTreeMap<String, (usize, usize)>,
}

impl Totals {
    /// Adds the result of one edit.
    pub(super) fn add(&mut self, outcome: &Outcome, edit: &Edit) {
        self.edits += 1;
        self.steps += outcome.steps;
        self.decided += outcome.decided;
        self.right += outcome.right;
        self.open += outcome.open.len();
        self.missed += outcome.missed.len();
        self.unnamed += outcome.unnamed.len();
        for (reason, did_run) in &outcome.open {
            let (all, ran) = self.open_by.entry(kind(reason)).or_default();
            *all += 1;
            *ran += usize::from(*did_run);
        }
        for step in &outcome.early {
            errln!("  forecast to run, but cached after {}: {}", edit.what, step.replace('\n', "\\n"));
        }
        if let Some((step, plan, report)) = &outcome.reasons {
            // A server changes without an edit.
            let is_remote = |text: &str| text.contains("://127.0.0.1:");
            let is_one = |text: &str| {
                edit.reasons.iter().any(|kind| text.split(' ').next() == Some(kind)) || is_remote(text)
            };
            self.reasons += 1;
            self.forecast += usize::from(is_one(plan));
            self.named += usize::from(is_one(report));
            if !is_one(plan) || !is_one(report) {
                let step = step.replace('\n', "\\n");
                errln!("  reason of {step} after {}: plan `{plan}`, build `{report}`", edit.what);
            }
        }
    }

    /// The figures in one line.
    pub(super) fn line(&self) -> String {
        format!(
            "{} edits, {} refused: {} steps, {} of {} right, {} open, {} ran in spite of `cached`, {} named \
             differently",
            self.edits,
            self.refused,
            self.steps,
            self.right,
            self.decided,
            self.open,
            self.missed,
            self.unnamed
        )
    }

    /// Prints why steps may have run, the most frequent reason first.
    pub(super) fn tell_open(&self) {
        let mut all: Vec<_> = self.open_by.iter().collect();
        all.sort_by_key(|(_, (count, _))| std::cmp::Reverse(*count));
        for (kind, (count, ran)) in all {
            errln!("  may run because of {kind}: {count} steps, {ran} of them ran");
        }
    }

    /// The figures with their limits. Shares count from a number of steps on; errors always count.
    pub(super) fn rows(&self, case: &Case) -> Vec<Row> {
        let is_judged = self.steps >= JUDGED_STEPS;
        if !is_judged {
            errln!("  {} steps: shares are judged from {JUDGED_STEPS} steps on", self.steps);
        }
        let row = |name: &str, against: &str, part: usize, whole: usize, limit: f64| {
            let row = Row::share(&format!("{}: {name}", case.name), against, (part, whole), limit);
            Row { within: row.within || (limit > 0.0 && !is_judged), ..row }
        };
        vec![
            row("ran in spite of `cached`", "steps", self.missed, self.steps, 0.0),
            row("wrong", "steps decided", self.decided - self.right, self.decided, 0.01),
            row("if changed", "all steps", self.open, self.steps, 0.1),
            row("reasons not forecast", "edits", self.reasons - self.forecast, self.reasons, 0.03),
            row("reasons not named", "edits", self.reasons - self.named, self.reasons, 0.03),
            row("named differently", "steps", self.unnamed, self.steps, 0.0),
        ]
    }
}

/// The kind of a reason: a server's content is a kind of its own.
fn kind(reason: &str) -> String {
    let scheme = ["http://", "git://"].into_iter().find(|scheme| reason.contains(scheme));
    scheme.or_else(|| reason.split(' ').next()).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::cases::Kind;

    const CASE: Case = Case { name: "forecast", kind: Kind::Forecast, limit: 0.0 };

    fn within(outcome: &Outcome) -> Vec<bool> {
        let mut totals = Totals::default();
        totals.add(outcome, &Edit { what: "none".into(), reasons: &[] });
        totals.rows(&CASE).iter().map(|row| row.within).collect()
    }

    #[test]
    fn shares_of_few_steps_fail_nothing_and_errors_always_do() {
        let steps = |steps: usize| Outcome { steps, decided: steps / 2, ..Outcome::default() };
        assert_eq!(within(&steps(JUDGED_STEPS)), [true, false, true, true, true, true]);
        assert!(within(&steps(JUDGED_STEPS - 2)).iter().all(|within| *within));
        let missed = Outcome { missed: vec!["s0: COPY a b".into()], ..steps(4) };
        assert_eq!(within(&missed), [false, true, true, true, true, true]);
        let unnamed = Outcome { unnamed: vec!["only in the plan: x".into()], ..steps(4) };
        assert_eq!(within(&unnamed), [true, true, true, true, true, false]);
    }
}
