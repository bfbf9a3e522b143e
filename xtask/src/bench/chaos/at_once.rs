//! Eight builds, `gc`, `export` and `import` at once on one store, under a budget.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::check;
use super::report::Report;
use super::running::Running;
use super::site::{EDITED, KEPT, Site};
use super::{Amount, Fault, Round};
use crate::bench::random::Random;
use crate::process::stdio::errln;

/// Builds of each service in a round.
const BUILDS: usize = 4;
/// Bytes that the store may have: less than eight builds reserve when they save at once, so that
/// they wait for each other.
const BUDGET: u64 = 120_000_000;
const VARIABLE: &str = "DURANGO_CACHE_BUDGET";

/// The fault.
pub(super) struct AtOnce;

impl Fault for AtOnce {
    fn name(&self) -> String {
        "at-once".to_owned()
    }

    fn amount(&self) -> Amount {
        Amount::Minutes(10)
    }

    fn round(&mut self, site: &mut Site, random: &mut Random) -> Result<Round> {
        let store = site.store();
        site.replace(&store, None)?;
        site.build(&store, &[KEPT], &[])?;
        // Every service has sources of its own for each of its builds.
        let sources = (0..EDITED.len()).map(|_| random.below(usize::MAX)).collect::<Vec<_>>();
        let crowd = Crowd {
            site,
            store: &store,
            over: AtomicBool::new(false),
            largest: AtomicU64::new(0),
            done: AtomicUsize::new(0),
        };
        let crowd = &crowd;
        let results = std::thread::scope(|scope| {
            let upkeep = [Crowd::gc, Crowd::bundles, Crowd::watch]
                .map(|task| scope.spawn(move || crowd.until_over(task)));
            let builds: Vec<_> = EDITED
                .iter()
                .zip(sources)
                .map(|(service, seed)| scope.spawn(move || crowd.builds(service, seed as u64)))
                .collect();
            let mut results: Vec<Result<()>> = builds.into_iter().map(|build| join(build.join())).collect();
            crowd.over.store(true, Ordering::Relaxed);
            results.extend(upkeep.into_iter().map(|task| join(task.join())));
            results
        });
        results.into_iter().collect::<Result<()>>()?;
        let largest = crowd.largest.load(Ordering::Relaxed);
        errln!(
            "  {} builds; the store had at most {largest} of {BUDGET} bytes",
            crowd.done.load(Ordering::Relaxed)
        );
        ensure!(largest <= BUDGET, "the store had {largest} bytes, more than its budget of {BUDGET}");
        let verified = site.json(&store, &["cache", "verify", "--dry-run", "--json"])?;
        ensure!(
            verified["damaged"].as_array().is_some_and(Vec::is_empty),
            "the store is damaged: {verified}"
        );
        check::no_leftovers(site, &store)?;
        Ok(Round::Held)
    }
}

fn join(ended: std::thread::Result<Result<()>>) -> Result<()> {
    ended.unwrap_or_else(|_| anyhow::bail!("a thread of the harness panicked"))
}

/// The state that all threads share.
struct Crowd<'a> {
    site: &'a Site,
    store: &'a Path,
    over: AtomicBool,
    largest: AtomicU64,
    done: AtomicUsize,
}

impl Crowd<'_> {
    /// Edits and builds one service several times.
    fn builds(&self, service: &str, seed: u64) -> Result<()> {
        let mut random = Random::new(seed);
        for build in 0..BUILDS {
            self.site.write_source(service, build, &mut random)?;
            let mut command = self.site.build_command(self.store, &[service], &[])?;
            command.env(VARIABLE, BUDGET.to_string());
            let report = Report::of(&Running::start(command)?.wait()?)?;
            let what = || format!("build {build} of `{service}`");
            self.site.check_image(service).with_context(what)?;
            let report = report.quiet().with_context(what)?;
            ensure!(report.is_saved(), "{} was not saved: {}", what(), report.text());
            self.done.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn until_over(&self, task: fn(&Self) -> Result<()>) -> Result<()> {
        while !self.over.load(Ordering::Relaxed) {
            task(self)?;
        }
        Ok(())
    }

    fn gc(&self) -> Result<()> {
        self.succeed(&["cache", "gc"])?;
        self.succeed(&["cache", "verify"])
    }

    fn bundles(&self) -> Result<()> {
        let bundle = self.site.path("crowd.tar").display().to_string();
        self.succeed(&["cache", "export", "--to", &bundle, "--file", "compose.yaml", KEPT])?;
        self.succeed(&["cache", "import", "--from", &bundle])
    }

    fn succeed(&self, args: &[&str]) -> Result<()> {
        let mut command = self.site.xtask(self.store, args)?;
        command.env(VARIABLE, BUDGET.to_string());
        let ran = Running::start(command)?.wait()?;
        ensure!(ran.code == Some(0), "`{}`: exit code {:?}\n{}", args[..2].join(" "), ran.code, ran.tail());
        Ok(())
    }

    /// Measures the store without the bundles in transit, which are in addition to the budget.
    fn watch(&self) -> Result<()> {
        let began = Instant::now();
        self.largest.fetch_max(budgeted(self.store), Ordering::Relaxed);
        // One core is enough for this.
        std::thread::sleep(began.elapsed().max(Duration::from_millis(20)));
        Ok(())
    }
}

/// Returns the bytes of a store, in one walk, without the scratch of exports and imports.
fn budgeted(store: &Path) -> u64 {
    let is_bundle = |entry: &walkdir::DirEntry| {
        let name = entry.file_name().to_string_lossy();
        entry.depth() == 2 && (name.ends_with("-import") || name.ends_with("-export"))
    };
    let walk = walkdir::WalkDir::new(store).into_iter().filter_entry(|entry| !is_bundle(entry));
    let files = walk.flatten().filter_map(|entry| entry.metadata().ok()).filter(fs::Metadata::is_file);
    files.map(|meta| (meta.ino(), meta.len())).collect::<BTreeMap<_, _>>().values().sum()
}
