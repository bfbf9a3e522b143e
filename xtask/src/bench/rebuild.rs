//! Rebuilds on this machine: the time after an edit, compared with the cold build of the same run.

use anyhow::Result;

use super::cases::{Case, Edit, Kind, RUNTIME};
use super::row::{Allowance, median, said};
use super::{Bench, Row};
use crate::process::stdio::errln;

/// The number of repetitions of runs under a second. The median counts.
const REPEATS: usize = 9;

impl Bench<'_> {
    pub(super) fn rebuilds(&self, cases: impl Iterator<Item = &'static Case>, cold: f64) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        let mut primed = false;
        for case in cases {
            let Kind::Edit { target, edit } = case.kind else { continue };
            if target == RUNTIME && !primed {
                self.copy.xtask(&self.here, RUNTIME, &[])?;
                primed = true;
            }
            errln!("{}", case.name);
            rows.extend(said(vec![self.rebuild(case, target, edit, cold)?]));
        }
        Ok(rows)
    }

    fn rebuild(&self, case: &Case, target: &str, edit: Edit, cold: f64) -> Result<Row> {
        if matches!(edit, Edit::None | Edit::Checked) {
            return self.unchanged(case, target, edit);
        }
        let args = self.copy.edit(edit)?;
        let time = self.copy.xtask(&self.here, target, &args)?;
        let row = Row::ratio(case.name, "cold", time.build, cold, case.limit);
        Ok(Row { with_save: time.total, ..row })
    }

    /// Alternately, so that other load affects both.
    fn unchanged(&self, case: &Case, target: &str, edit: Edit) -> Result<Row> {
        let args = self.copy.edit(edit)?;
        let base = self.copy.base_image(&self.here)?;
        self.copy.bake(&self.here, &base, &[])?;
        self.copy.xtask(&self.here, target, &[])?;
        let (mut ours, mut plain) = (Vec::new(), Vec::new());
        for _ in 0..REPEATS {
            plain.push(self.copy.bake(&self.here, &base, &[])?);
            ours.push(self.copy.xtask(&self.here, target, &args)?.total);
        }
        let (ours, plain) = (median(ours), median(plain));
        let row = Row::ratio(case.name, "docker buildx bake", ours, plain, case.limit);
        Ok(if matches!(edit, Edit::Checked) { row.allow(Allowance::Or(0.15)) } else { row })
    }
}
