//! Another machine: a second engine with a store of its own, which gets a bundle. Beside it a third one, which does what guides
//! tell: plain buildx with `--cache-to/--cache-from type=local,mode=max`.

use std::time::Instant;

use anyhow::Result;
use fs_extra::dir::get_size;

use super::cases::{Away, BASE, BUILT_IN, Case, GO, Kind};
use super::copy::Home;
use super::machine::{CONTAINERD_STORE, SecondDaemon};
use super::row::{said, seconds};
use super::{Bench, Row};
use crate::cache::size::show;

impl Bench {
    /// The cases on another machine, in their order: each finds what the one before left there.
    pub(super) fn travel(&self, cases: &[&'static Case], cold: f64) -> Result<Vec<Row>> {
        let of =
            |away: Away| cases.iter().copied().find(|case| matches!(case.kind, Kind::Away(a) if a == away));
        let bundle = self.scratch("bundle").display().to_string();
        let started = Instant::now();
        self.copy.command(&self.here, &["cache", "export", "--to", &bundle])?;
        eprintln!("export: {}", seconds(started.elapsed().as_secs_f64()));
        let second = SecondDaemon::start(CONTAINERD_STORE)?;
        let away = Home { docker: Some(second.host()), store: self.scratch("store-away") };
        let started = Instant::now();
        self.copy.command(&away, &["cache", "import", "--from", &bundle])?;
        let imported = started.elapsed().as_secs_f64();
        self.copy.xtask(&away, BASE, &[])?;
        let unchanged = started.elapsed().as_secs_f64();
        eprintln!("away-unchanged: import {}, then the build", seconds(imported));
        let mut rows = Vec::new();
        if let Some(case) = of(Away::Unchanged) {
            rows.extend(said(vec![Row::ratio(case.name, "cold", unchanged, cold, case.limit)]));
        }
        if let Some(case) = of(Away::Go) {
            rows.extend(said(self.line_of_go(case, &away, cold)?));
        }
        if let Some(case) = of(Away::BuiltIn) {
            rows.extend(said(vec![self.built_in_away(case, &away)?]));
        }
        Ok(rows)
    }

    fn line_of_go(&self, case: &Case, away: &Home, cold: f64) -> Result<Vec<Row>> {
        eprintln!("{}", case.name);
        self.copy.edit(GO)?;
        let ours = self.copy.xtask(away, BASE, &[])?;
        self.copy.undo(GO)?;
        let (plain, is_fair) = self.plain_line_of_go()?;
        let of_cold = Row::ratio(case.name, "cold", ours.build, cold, case.limit);
        let of_plain = Row::ratio(case.name, "plain buildx", ours.build, plain, 1.0 / 3.0);
        let of_plain = Row { within: of_plain.within && is_fair, ..of_plain };
        Ok([of_cold, of_plain].map(|row| Row { with_save: ours.total, ..row }).into())
    }

    /// What the guide gives: its directory, a third machine, the same line of Go; seconds, and whether the directory had all that it could
    /// have. It has not where somebody pruned the builder, which then no longer knows what it has built.
    fn plain_line_of_go(&self) -> Result<(f64, bool)> {
        let dir = self.scratch("plain").display().to_string();
        let base = self.copy.base_image(&self.here)?;
        let export = format!("*.cache-to=type=local,dest={dir},mode=max");
        let exported = self.copy.bake(&self.here, &base, &[&export])?;
        let (size, ours) = (get_size(&dir)?, get_size(self.here.store.join("layers"))?);
        let is_fair = size > ours / 2;
        if !is_fair {
            eprintln!(
                "plain buildx exported {} of {}: the builder was pruned meanwhile, run it again",
                show(size),
                show(ours)
            );
        }
        let third = SecondDaemon::start(CONTAINERD_STORE)?;
        third.receive(&base)?;
        let home = Home { docker: Some(third.host()), store: self.scratch("store-plain") };
        let import = format!("*.cache-from=type=local,src={dir}");
        let unchanged = self.copy.bake(&home, &base, &[&import])?;
        let (exported, unchanged) = (seconds(exported), seconds(unchanged));
        eprintln!("plain buildx: export {exported} ({}), unchanged {unchanged}", show(size));
        self.copy.edit(GO)?;
        let edited = self.copy.bake(&home, &base, &[&import]);
        self.copy.undo(GO)?;
        Ok((edited?, is_fair))
    }

    /// The same edit here and there; there it may take 15 s more.
    fn built_in_away(&self, case: &Case, away: &Home) -> Result<Row> {
        eprintln!("{}", case.name);
        let args = self.copy.edit(BUILT_IN)?;
        let there = self.copy.xtask(away, BASE, &args)?;
        let here = self.copy.xtask(&self.here, BASE, &args)?;
        let row = Row::ratio(case.name, "the same at home", there.build, here.build, case.limit);
        Ok(Row { with_save: there.total, within: there.build <= here.build * case.limit + 15.0, ..row })
    }
}
