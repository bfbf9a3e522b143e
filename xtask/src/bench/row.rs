//! One line of the result, and all of them as text.

use std::fmt::Write;

use crate::process::stdio::errln;
use serde::Serialize;

pub(super) use crate::text::seconds;

/// One line of the result.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// The case.
    pub name: String,
    /// What it is compared with.
    pub against: String,
    /// How long it took, in seconds, to the image.
    pub seconds: f64,
    /// How long it took with the saves.
    pub with_save: f64,
    /// How long the other took.
    pub reference: f64,
    /// The ratio of the two.
    pub ratio: f64,
    /// What it may be.
    pub limit: f64,
    /// Whether it is.
    pub within: bool,
}

impl Row {
    /// `seconds` as a multiple of `reference`.
    pub(super) fn ratio(name: &str, against: &str, seconds: f64, reference: f64, limit: f64) -> Self {
        let ratio = seconds / reference;
        Self {
            name: name.into(),
            against: against.into(),
            seconds,
            with_save: seconds,
            reference,
            ratio,
            limit,
            within: ratio <= limit,
        }
    }
}

/// The figure in the middle; of none it is without end, so that it is over any limit.
pub(super) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::INFINITY)
}

/// The rows as text.
pub fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<28} {:>11} {:>11} {:>11}  {:>7} {:>7}\n",
        "case", "time", "with saves", "reference", "ratio", "limit"
    );
    rows.iter().for_each(|row| {
        let _ = writeln!(text, "{}", row.line());
    });
    text
}

/// Says rows as soon as they are there: a run takes half an hour, and may be ended.
pub(super) fn said(rows: Vec<Row>) -> Vec<Row> {
    rows.iter().for_each(|row| errln!("  {}", row.line()));
    rows
}

impl Row {
    /// One line of the table.
    pub(super) fn line(&self) -> String {
        let verdict = if self.within { "ok" } else { "OVER" };
        format!(
            "{:<28} {:>11} {:>11} {:>11}  {:>7.3} {:>7.3}  {verdict} (of {})",
            self.name,
            seconds(self.seconds),
            seconds(self.with_save),
            seconds(self.reference),
            self.ratio,
            self.limit,
            self.against
        )
    }
}
