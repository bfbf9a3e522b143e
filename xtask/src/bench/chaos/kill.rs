//! `kill -9` at a random point of a command: of xtask alone, whose children live on, or of its
//! whole process group.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::check::{self, Known};
use super::registry::MISSING_REGISTRY;
use super::report::Report;
use super::running::{Ran, Running};
use super::site::{KEPT, Site, remove};
use super::{Amount, Fault, Round};
use crate::bench::fifty::size;
use crate::bench::random::Random;

/// A command that is killed.
pub(super) struct Operation {
    name: &'static str,
    /// Brings a new site into the state that rounds start from.
    set_up: fn(&mut Site, &mut Random) -> Result<()>,
    /// Brings the site into the state that the command starts from.
    prepare: fn(&mut Site, &mut Random) -> Result<()>,
    command: fn(&Site) -> Result<Command>,
    /// The store that the command writes to.
    store: fn(&Site) -> PathBuf,
    /// When the operation begins, as seen in an earlier run: seconds after the command's start.
    begins: fn(&Report) -> f64,
}

/// The service whose results `gc` may remove.
const OLD: &str = "s1";

fn nothing(_: &mut Site, _: &mut Random) -> Result<()> {
    Ok(())
}

fn at_once(_: &Report) -> f64 {
    0.0
}

fn edit(site: &mut Site, random: &mut Random) -> Result<()> {
    site.edit("s0", random)
}

fn build(site: &Site) -> Result<Command> {
    site.build_command(&site.store(), &["s0"], &[])
}

fn export(site: &Site) -> Result<Command> {
    let bundle = site.path("bundle.tar").display().to_string();
    site.xtask(&site.store(), &["cache", "export", "--to", &bundle, "--file", "compose.yaml", "s0", KEPT])
}

/// Returns the store that bundles are imported into.
fn second(site: &Site) -> PathBuf {
    site.path("second")
}

/// A store as it was before a command that is killed.
fn template(site: &Site) -> PathBuf {
    site.path("template")
}

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        name: "save",
        set_up: nothing,
        prepare: edit,
        command: build,
        store: Site::store,
        begins: Report::seconds,
    },
    Operation {
        name: "restore",
        set_up: nothing,
        prepare: |site, random| {
            site.edit("s0", random)?;
            site.forget()
        },
        command: build,
        store: Site::store,
        begins: at_once,
    },
    Operation {
        name: "record",
        set_up: nothing,
        prepare: edit,
        command: build,
        store: Site::store,
        begins: at_once,
    },
    Operation {
        name: "gc",
        // In a store without earlier builds, whose entries and records would be removed first.
        set_up: |site, random| {
            site.replace(&site.store(), None)?;
            (0..2).try_for_each(|_| {
                site.edit(OLD, random)?;
                site.build(&site.store(), &[OLD], &[]).map(drop)
            })?;
            site.build(&site.store(), &["s0", KEPT], &[])?;
            site.replace(&template(site), Some(&site.store()))
        },
        prepare: |site, _| site.replace(&site.store(), Some(&template(site))),
        command: |site| {
            let budget = size(&site.store()).saturating_sub(600_000).to_string();
            site.xtask(&site.store(), &["cache", "gc", "--budget", &budget])
        },
        store: Site::store,
        begins: at_once,
    },
    Operation {
        name: "export",
        set_up: nothing,
        prepare: nothing,
        command: export,
        store: Site::store,
        begins: at_once,
    },
    Operation {
        name: "import",
        set_up: |site, random| {
            remove(&second(site))?;
            site.build(&second(site), &["s0", KEPT], &[])?;
            site.replace(&template(site), Some(&second(site)))?;
            site.edit("s0", random)?;
            site.build(&site.store(), &["s0", KEPT], &[])?;
            succeed(export(site)?).map(drop)
        },
        prepare: |site, _| site.replace(&second(site), Some(&template(site))),
        command: |site| {
            let bundle = site.path("bundle.tar").display().to_string();
            site.xtask(&second(site), &["cache", "import", "--from", &bundle])
        },
        store: second,
        begins: at_once,
    },
    Operation {
        name: "push",
        set_up: nothing,
        prepare: edit,
        command: |site| site.build_command(&site.store(), &["s0"], &["--cache", &site.registry()?.cache()]),
        store: Site::store,
        begins: Report::seconds,
    },
];

fn succeed(command: Command) -> Result<Ran> {
    let ran = Running::start(command)?.wait()?;
    ensure!(ran.code == Some(0), "exit code {:?}\n{}", ran.code, ran.tail());
    Ok(ran)
}

/// When an operation begins and ends in a run that is not killed, in seconds.
struct Window {
    /// The site that it was measured on.
    site: PathBuf,
    begins: f64,
    ends: f64,
}

/// The fault for one operation.
pub(super) struct Kill {
    operation: &'static Operation,
    window: Option<Window>,
}

impl Kill {
    pub(super) fn new(operation: &'static Operation) -> Self {
        Self { operation, window: None }
    }

    /// Sets a site up, and runs the operation there to its end.
    fn measure(&self, site: &mut Site, random: &mut Random) -> Result<Window> {
        site.build(&site.store(), &["s0", KEPT], &[])?;
        (self.operation.set_up)(site, random)?;
        (self.operation.prepare)(site, random)?;
        let ran = succeed((self.operation.command)(site)?)?;
        let begins = Report::of(&ran).map_or(0.0, |report| (self.operation.begins)(&report));
        Ok(Window { site: site.path(""), begins, ends: ran.seconds })
    }
}

impl Fault for Kill {
    fn name(&self) -> String {
        format!("kill-{}", self.operation.name)
    }

    fn amount(&self) -> Amount {
        Amount::Rounds(100)
    }

    fn round(&mut self, site: &mut Site, random: &mut Random) -> Result<Round> {
        if self.operation.name == "push" && !site.start_registry()? {
            return Ok(Round::Skipped(MISSING_REGISTRY.to_owned()));
        }
        let window = match self.window.take().filter(|window| window.site == site.path("")) {
            Some(window) => window,
            None => self.measure(site, random)?,
        };
        let Window { begins, ends, .. } = *self.window.insert(window);
        (self.operation.prepare)(site, random)?;
        let store = (self.operation.store)(site);
        let before = Known::read(site, &store)?.without(OLD);
        let at = Duration::from_secs_f64(begins + (ends - begins) * random.fraction());
        let whole_group = random.once_in(2);
        let mut running = Running::start((self.operation.command)(site)?)?;
        let was_killed = running.kill_at(at, whole_group)?;
        let killed = || {
            let what = if whole_group { "the process group" } else { "the process" };
            format!("{what} was killed {:.3} s after its start; it runs for {ends:.3} s", at.as_secs_f64())
        };
        check::store(site, &store, &before).with_context(killed)?;
        // The saved content is used as well.
        if random.once_in(3) {
            site.forget()?;
        }
        site.build(&store, &["s0", KEPT], &[]).and_then(Report::quiet).with_context(killed)?;
        running.end_group();
        check::store(site, &store, &before).with_context(killed)?;
        check::no_leftovers(site, &store).with_context(killed)?;
        Ok(if was_killed { Round::Held } else { Round::TooLate })
    }
}
