//! One line of the result, and all of them as text.

use std::fmt::Write;

use crate::process::stdio::errln;
use serde::Serialize;

pub(super) use crate::text::seconds;

/// The unit of a row's figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Unit {
    /// Seconds.
    Seconds,
    /// Megabytes of 1,000,000 bytes.
    Megabytes,
    /// A number of things.
    Count,
    /// Hundredths of one, kept as a fraction.
    Percent,
}

impl Unit {
    pub(super) fn show(self, figure: f64) -> String {
        match self {
            Self::Seconds => seconds(figure),
            Self::Megabytes => format!("{figure:.1} MB"),
            Self::Count => format!("{figure:.0}"),
            Self::Percent => format!("{:.1} %", figure * 100.0),
        }
    }
}

/// Seconds that a row may take in excess of its limit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "lowercase", tag = "kind", content = "seconds")]
pub(crate) enum Allowance {
    /// The limit, or the reference and this.
    Or(f64),
    /// The limit and this.
    Plus(f64),
    /// The limit, or this in all.
    InAll(f64),
}

/// One line of the result.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    /// The case.
    pub name: String,
    /// The name of the reference.
    pub against: String,
    /// The unit of `seconds`, `with_save` and `reference`.
    pub unit: Unit,
    /// The measured figure; of a build the time to the image.
    pub seconds: f64,
    /// The measured figure with the saves.
    pub with_save: f64,
    /// The figure that it is compared with.
    pub reference: f64,
    /// The ratio of the two.
    pub ratio: f64,
    /// The largest ratio that is within the limit.
    pub limit: f64,
    /// An excess that is within the limit as well.
    pub allowance: Option<Allowance>,
    /// Whether the figure is within the limit.
    pub within: bool,
}

impl Row {
    /// A number of things as a share of a larger one.
    #[expect(clippy::cast_precision_loss, reason = "some ten thousand at most")]
    pub(super) fn share(name: &str, against: &str, (part, whole): (usize, usize), limit: f64) -> Self {
        Self::ratio(name, against, part as f64, whole.max(1) as f64, limit).unit(Unit::Count)
    }

    /// `seconds` as a multiple of `reference`.
    pub(super) fn ratio(name: &str, against: &str, seconds: f64, reference: f64, limit: f64) -> Self {
        let ratio = seconds / reference;
        Self {
            name: name.into(),
            against: against.into(),
            unit: Unit::Seconds,
            seconds,
            with_save: seconds,
            reference,
            ratio,
            limit,
            allowance: None,
            within: ratio <= limit,
        }
    }

    /// Gives the figures another unit than seconds.
    pub(super) fn unit(self, unit: Unit) -> Self {
        Self { unit, ..self }
    }

    /// Allows an excess, which the line of the table shows.
    pub(super) fn allow(self, allowance: Allowance) -> Self {
        let limit = self.reference * self.limit;
        let most = match allowance {
            Allowance::Or(seconds) => limit.max(self.reference + seconds),
            Allowance::Plus(seconds) => limit + seconds,
            Allowance::InAll(seconds) => limit.max(seconds),
        };
        Self { allowance: Some(allowance), within: self.seconds <= most, ..self }
    }
}

/// The figure in the middle; of none it is without end, so that it is over any limit.
pub(super) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::INFINITY)
}

/// The rows as text.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<28} {:>11} {:>11} {:>11}  {:>7} {:>7}\n",
        "case", "figure", "with saves", "reference", "ratio", "limit"
    );
    rows.iter().for_each(|row| {
        let _ = writeln!(text, "{}", row.line());
    });
    text
}

/// Prints rows as soon as they are known: a run takes half an hour, and may be ended.
pub(super) fn said(rows: Vec<Row>) -> Vec<Row> {
    rows.iter().for_each(|row| errln!("  {}", row.line()));
    rows
}

impl Row {
    /// One line of the table.
    pub(super) fn line(&self) -> String {
        let verdict = if self.within { "ok" } else { "OVER" };
        let allowed = match self.allowance {
            Some(Allowance::Or(seconds)) => format!(", or {seconds} s more"),
            Some(Allowance::Plus(seconds)) => format!(", and {seconds} s more"),
            Some(Allowance::InAll(seconds)) => format!(", or {seconds} s in all"),
            None => String::new(),
        };
        let limit = if self.limit.is_finite() { format!("{:.3}", self.limit) } else { "none".into() };
        format!(
            "{:<28} {:>11} {:>11} {:>11}  {:>7.3} {limit:>7}  {verdict} (of {}{allowed})",
            self.name,
            self.unit.show(self.seconds),
            self.unit.show(self.with_save),
            self.unit.show(self.reference),
            self.ratio,
            self.against
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_shows_its_unit_and_its_allowance() {
        let row = |figure, reference, limit| Row::ratio("x", "y", figure, reference, limit);
        let line = row(15.0, 100.0, 1.0).unit(Unit::Megabytes).line();
        assert!(line.contains("15.0 MB") && line.contains("100.0 MB"), "{line}");
        let line = row(0.0, 863.0, 0.03).unit(Unit::Count).line();
        assert!(line.contains(" 863 ") && !line.contains(" s "), "{line}");
        assert!(row(0.128, 1.0, 0.2).unit(Unit::Percent).line().contains("12.8 %"));
        let either = row(0.6, 0.4, 1.3);
        assert!(!either.within);
        assert!(either.clone().allow(Allowance::Or(0.25)).within);
        let line = either.allow(Allowance::Or(0.15)).line();
        assert!(line.contains("OVER (of y, or 0.15 s more)"), "{line}");
        assert!(
            row(20.0, 10.0, 1.0).allow(Allowance::Plus(15.0)).line().contains("ok (of y, and 15 s more)")
        );
        let in_all = |figure| row(figure, 1.0, 0.2).allow(Allowance::InAll(0.5)).line();
        assert!(in_all(0.5).contains("ok (of y, or 0.5 s in all)") && in_all(0.6).contains("OVER"));
    }
}
