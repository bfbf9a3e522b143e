//! A clock that is wrong by up to a year. xtask gets the wrong time from a library that is loaded
//! before it; the files that it writes get times to match. This machine's clock is never set.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use walkdir::WalkDir;

use super::check::{self, Known};
use super::report::Report;
use super::running::Running;
use super::site::{KEPT, Site};
use super::{Amount, Fault, Round};
use crate::bench::fifty::size;
use crate::bench::random::Random;
use crate::process::collect::Collect;

/// The time of a program, moved by so many seconds.
const LIBRARY: &str = r#"
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t id, struct timespec *time) {
    long failed = syscall(SYS_clock_gettime, id, time);
    const char *seconds = getenv("CHAOS_CLOCK");
    if (!failed && id == CLOCK_REALTIME && seconds) time->tv_sec += atol(seconds);
    return failed;
}
"#;

/// The clock is wrong by at most this many days.
const DAYS: usize = 366;
/// A service that is built while the clock is wrong, and never again.
const WRONG: &str = "s2";

/// The fault.
#[derive(Default)]
pub(super) struct Clock {
    /// The library, and the site that it was made for.
    library: Option<PathBuf>,
}

impl Fault for Clock {
    fn name(&self) -> String {
        "clock".to_owned()
    }

    fn amount(&self) -> Amount {
        Amount::Rounds(20)
    }

    fn round(&mut self, site: &mut Site, random: &mut Random) -> Result<Round> {
        let library = site.path("clock.so");
        if self.library.as_ref() != Some(&library) {
            if let Some(reason) = compile(site, &library)? {
                return Ok(Round::Skipped(reason));
            }
            self.library = Some(library);
        }
        let days = random.below(2 * DAYS + 1);
        let offset = (days as i64 - DAYS as i64) * 86_400;
        one(site, offset, random)
            .with_context(|| format!("the clock was wrong by {} days", offset / 86_400))?;
        Ok(Round::Held)
    }
}

/// Compiles the library; gives a reason if that is not possible.
fn compile(site: &Site, library: &Path) -> Result<Option<String>> {
    let source = site.path("clock.c");
    fs::write(&source, LIBRARY)?;
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-o"]).arg(library).arg(source);
    Ok(match cc.collect_output() {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(format!("`cc` fails: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(error) => Some(format!("`cc` does not run: {error}")),
    })
}

/// A build and a killed build with a wrong clock, then builds and `gc` with the right one.
fn one(site: &mut Site, offset: i64, random: &mut Random) -> Result<()> {
    let store = site.store();
    site.replace(&store, None)?;
    site.build(&store, &["s0", KEPT], &[])?;
    let before = Known::read(site, &store)?.at_any_time();
    for service in ["s0", WRONG] {
        site.edit(service, random)?;
        let began = SystemTime::now();
        let ran = start(site, service, offset)?.wait()?;
        move_times(&store, began, offset)?;
        let report = Report::of(&ran)?.quiet()?;
        site.check_image(service)?;
        ensure!(report.is_saved(), "a build of `{service}` was not saved: {}", report.text());
    }
    site.edit(WRONG, random)?;
    let began = SystemTime::now();
    let mut killed = start(site, WRONG, offset)?;
    killed.kill_at(Duration::from_millis(500 + random.below(2000) as u64), true)?;
    move_times(&store, began, offset)?;
    check::store(site, &store, &before).context("while the clock was wrong")?;
    // The clock is right again: a new machine finds what was saved meanwhile.
    site.forget()?;
    let report = site.build(&store, &["s0", KEPT], &[])?.quiet()?;
    for service in ["s0", KEPT] {
        ensure!(report.ran(service).is_empty(), "`{service}` was built again: {:?}", report.ran(service));
    }
    site.edit("s0", random)?;
    let report = site.build(&store, &["s0", KEPT], &[])?.quiet()?;
    ensure!(report.is_saved(), "a build was not saved: {}", report.text());
    check::store(site, &store, &before)?;
    check::no_leftovers(site, &store)?;
    // The service that was not used since goes first: its times protect it no longer.
    let before = Known::read(site, &store)?.without(WRONG);
    let budget = size(&store).saturating_sub(900_000).to_string();
    site.run(&store, &["cache", "gc", "--budget", &budget])?;
    check::store(site, &store, &before).context("`gc` took what was used last")
}

/// Starts a build of a service with a wrong clock.
fn start(site: &Site, service: &str, offset: i64) -> Result<Running> {
    let mut command = site.build_command(&site.store(), &[service], &[])?;
    command.env("LD_PRELOAD", site.path("clock.so")).env("CHAOS_CLOCK", offset.to_string());
    Running::start(command)
}

/// Gives the files that were written since then the times that they have with the wrong clock.
fn move_times(store: &Path, began: SystemTime, offset: i64) -> Result<()> {
    let distance = Duration::from_secs(offset.unsigned_abs());
    for entry in WalkDir::new(store).contents_first(true) {
        let entry = entry?;
        let changed = entry.metadata()?.modified()?;
        if entry.path_is_symlink() || changed < began || changed > SystemTime::now() {
            continue;
        }
        let moved = if offset < 0 { changed - distance } else { changed + distance };
        fs::File::open(entry.path())?.set_modified(moved)?;
    }
    Ok(())
}
