//! The benchmark: builds a copy of the images cold, with separate cache mounts, edits the copy and
//! builds again, on this machine and on a second one. Nothing of the user's is edited, and no
//! figure is stored: all ratios are of one run on one machine.

mod cases;
pub(crate) mod chaos;
mod container;
mod copy;
mod edits;
mod fifty;
mod forecast;
mod ignored;
mod large;
pub(crate) mod leg;
pub(crate) mod machine;
mod mounts;
pub(crate) mod page;
mod random;
mod rebuild;
mod row;
mod travel;
pub(crate) mod up_to_date;

use std::path::PathBuf;

use anyhow::Result;

use crate::process::stdio::errln;
use crate::session::Session;
pub(crate) use cases::CASES;
use cases::{BASE, Case, Kind};
use copy::{Copy, Home};
pub(crate) use forecast::ForecastOptions;
pub(crate) use row::{Row, table};

/// The benchmark with a copy of the images. Both are removed at the end.
pub(crate) struct Bench<'a> {
    session: &'a Session,
    copy: Copy,
    /// The machine that the benchmark runs on.
    here: Home,
}

impl<'a> Bench<'a> {
    /// Copies the sources of the images.
    pub(crate) fn new(session: &'a Session) -> Result<Self> {
        let copy = Copy::new(&session.layout.root)?;
        let here = Home { env: Vec::new(), store: copy.path("store") };
        Ok(Self { session, copy, here })
    }

    /// Runs the named cases, or all.
    pub(crate) fn run(&self, names: &[String], forecast: ForecastOptions) -> Result<Vec<Row>> {
        let chosen = |case: &&Case| names.is_empty() || names.iter().any(|name| name == case.name);
        let of = |kind: fn(&Kind) -> bool| CASES.iter().filter(chosen).filter(move |case| kind(&case.kind));
        let mut rows = Vec::new();
        if of(|kind| matches!(kind, Kind::Away(_) | Kind::NewerEngine | Kind::Edit { .. })).next().is_some() {
            errln!("cold build: no layers, empty cache mounts, nothing saved before");
            // BuildKit's own --no-cache, which empties the mounts.
            let cold = self.copy.xtask(&self.here, BASE, &["--set", "*.no-cache=true"])?;
            errln!("  {}, and {} to save", row::seconds(cold.build), row::seconds(cold.total - cold.build));
            let away: Vec<&Case> = of(|kind| matches!(kind, Kind::Away(_))).collect();
            if !away.is_empty() {
                rows.extend(self.travel(&away, cold.build)?);
            }
            for case in of(|kind| matches!(kind, Kind::NewerEngine)) {
                rows.extend(row::said(self.newer_engine(case, cold.build)?));
            }
            rows.extend(self.rebuilds(of(|kind| matches!(kind, Kind::Edit { .. })), cold.build)?);
        }
        for case in of(|kind| matches!(kind, Kind::Mounts(_))) {
            rows.extend(row::said(self.mounts(case)?));
        }
        for case in of(|kind| matches!(kind, Kind::Edits)) {
            rows.extend(row::said(self.edits(case)?));
        }
        for case in of(|kind| matches!(kind, Kind::Forecast)) {
            rows.extend(row::said(self.forecast(case, forecast)?));
        }
        for case in of(|kind| matches!(kind, Kind::UpToDate)) {
            rows.extend(row::said(self.up_to_date(case, forecast)?));
        }
        for case in of(|kind| matches!(kind, Kind::Large(_))) {
            rows.extend(row::said(self.large(case)?));
        }
        for case in of(|kind| matches!(kind, Kind::Ignored(_))) {
            rows.extend(row::said(self.ignored(case)?));
        }
        for case in of(|kind| matches!(kind, Kind::Many(_))) {
            rows.extend(row::said(self.many(case)?));
        }
        Ok(rows)
    }

    fn scratch(&self, name: &str) -> PathBuf {
        self.copy.path(name)
    }
}
