//! Another machine: a second engine with its own store, which gets a bundle. A third one follows
//! the usual guides: plain buildx with `--cache-to/--cache-from type=local,mode=max`.

use std::time::Instant;

use anyhow::Result;
use fs_extra::dir::get_size;

use super::cases::{Away, BASE, Case, Edit, GO, Kind, PHP};
use super::copy::{Home, Time};
use super::leg;
use super::machine::{CONTAINERD_STORE, SecondDaemon};
use super::page::Setting;
use super::row::{Allowance, said, seconds};
use super::{Bench, Row};
use crate::engine::legs::Leg;
use crate::process::stdio::errln;
use crate::text::size::show;

/// The reference of a build on another machine.
const HOME: &str = "the same at home";

impl Bench<'_> {
    /// Runs the cases on another machine in order. Each finds the results of the one before.
    pub(super) fn travel(&self, cases: &[&'static Case], cold: f64) -> Result<Vec<Row>> {
        let of =
            |away: Away| cases.iter().copied().find(|case| matches!(case.kind, Kind::Away(a) if a == away));
        let bundle = self.exported()?;
        let second = SecondDaemon::start(CONTAINERD_STORE)?;
        let away = Home { env: second.environment(), store: self.scratch("store-away") };
        let started = Instant::now();
        self.copy.command(&away, &["cache", "import", "--from", &bundle])?;
        let imported = started.elapsed().as_secs_f64();
        self.copy.xtask(&away, BASE, &[])?;
        let unchanged = started.elapsed().as_secs_f64();
        errln!("away-unchanged: import {}, then the build", seconds(imported));
        let plain = self.plain()?;
        let plain_unchanged = plain.build(Edit::None)?;
        let mut rows = Vec::new();
        if let Some(case) = of(Away::Unchanged) {
            let of_cold = Row::ratio(case.name, "cold", unchanged, cold, case.limit);
            rows.extend(said(vec![of_cold, plain.row(case, unchanged, plain_unchanged, f64::INFINITY)]));
        }
        if let Some(case) = of(Away::Go) {
            let (ours, theirs) = (self.edited(&away, GO)?, plain.build(GO)?);
            let of_cold = Row::ratio(case.name, "cold", ours.build, cold, case.limit);
            let here = self.edited(&self.here, GO)?;
            let of_home = Row::ratio(case.name, HOME, ours.build, here.build, 2.0);
            let of_plain = plain.row(case, ours.build, theirs, 1.0 / 3.0);
            rows.extend(said(
                [of_cold, of_home, of_plain].map(|row| Row { with_save: ours.total, ..row }).into(),
            ));
        }
        if let Some(case) = of(Away::Php) {
            let (ours, theirs) = (self.edited(&away, PHP)?, plain.build(PHP)?);
            let here = self.edited(&self.here, PHP)?;
            let of_home =
                Row::ratio(case.name, HOME, ours.build, here.build, case.limit).allow(Allowance::Plus(15.0));
            let of_plain = plain.row(case, ours.build, theirs, f64::INFINITY);
            let rows_of = [of_home, of_plain];
            rows.extend(said(rows_of.map(|row| Row { with_save: ours.total, ..row }).into()));
        }
        Ok(rows)
    }

    /// Builds on an engine of the leg *current*, whose steps with cache mounts have other keys. No
    /// row if that is the version of this engine.
    pub(super) fn newer_engine(&self, case: &Case, cold: f64) -> Result<Vec<Row>> {
        let machine = leg::start(self.session, Leg::Current, false)?;
        let versions = machine.versions()?;
        errln!("{}: {versions}", case.name);
        if versions.starts_with(&format!("Docker {},", Setting::read(self.session).docker)) {
            errln!("  no row: this engine has that version");
            return Ok(Vec::new());
        }
        let away = Home { env: machine.environment(), store: self.scratch("store-newer") };
        let bundle = self.exported()?;
        let started = Instant::now();
        self.copy.command(&away, &["cache", "import", "--from", &bundle])?;
        let imported = started.elapsed().as_secs_f64();
        let time = self.copy.xtask(&away, BASE, &[])?;
        let row = Row::ratio(case.name, "cold", imported + time.build, cold, case.limit);
        Ok(vec![Row { with_save: imported + time.total, ..row }])
    }

    /// Exports the store of this machine, unless that was done, and returns the bundle's path.
    fn exported(&self) -> Result<String> {
        let path = self.scratch("bundle");
        let bundle = path.display().to_string();
        if !path.exists() {
            let started = Instant::now();
            self.copy.command(&self.here, &["cache", "export", "--to", &bundle])?;
            errln!("export: {}", seconds(started.elapsed().as_secs_f64()));
        }
        Ok(bundle)
    }

    /// Builds the base image after an edit, which is reverted.
    fn edited(&self, home: &Home, edit: Edit) -> Result<Time> {
        self.copy.edited(edit, |args| self.copy.xtask(home, BASE, args))
    }

    /// Sets up a third machine with plain buildx's own directory.
    fn plain(&self) -> Result<Plain<'_>> {
        let dir = self.scratch("plain").display().to_string();
        let base = self.copy.base_image(&self.here)?;
        let export = format!("*.cache-to=type=local,dest={dir},mode=max");
        let exported = self.copy.bake(&self.here, &base, &[&export])?;
        let (size, ours) = (get_size(&dir)?, get_size(self.here.store.join("layers"))?);
        errln!("plain buildx: export {} ({})", seconds(exported), show(size));
        let is_fair = size > ours / 2;
        if !is_fair {
            errln!(
                "that is little compared with our {}: the builder was pruned meanwhile, run it again",
                show(ours)
            );
        }
        let machine = SecondDaemon::start(CONTAINERD_STORE)?;
        machine.receive(&base)?;
        let home = Home { env: machine.environment(), store: self.scratch("store-plain") };
        let import = format!("*.cache-from=type=local,src={dir}");
        Ok(Plain { bench: self, home, _machine: machine, base, import, is_fair })
    }
}

/// A machine with plain buildx and the directory that the first machine exported.
struct Plain<'a> {
    bench: &'a Bench<'a>,
    home: Home,
    _machine: SecondDaemon,
    base: String,
    import: String,
    /// Whether the directory is complete. It is not if the builder was pruned meanwhile, because it
    /// then no longer knows what it has built.
    is_fair: bool,
}

impl Plain<'_> {
    /// Builds the base image after an edit, which is reverted. Returns seconds.
    fn build(&self, edit: Edit) -> Result<f64> {
        let copy = &self.bench.copy;
        let arg = match edit {
            Edit::Arg(arg) => Some(format!("*.args.{arg}")),
            _ => None,
        };
        let sets: Vec<&str> = [self.import.as_str()].into_iter().chain(arg.as_deref()).collect();
        copy.edited(edit, |_| copy.bake(&self.home, &self.base, &sets))
    }

    fn row(&self, case: &Case, ours: f64, theirs: f64, limit: f64) -> Row {
        let row = Row::ratio(case.name, "plain buildx", ours, theirs, limit);
        Row { within: row.within && self.is_fair, ..row }
    }
}
