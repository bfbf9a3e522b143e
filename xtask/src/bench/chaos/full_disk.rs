//! A disk that is full at a random byte: that of the store, or that of the engine.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::check::{self, Known};
use super::disk::Disk;
use super::engine_kill::one_clear_error;
use super::running::Running;
use super::site::{KEPT, Site};
use super::{Amount, Fault, Round};
use crate::bench::machine::{CONTAINERD_STORE, SecondDaemon};
use crate::bench::random::Random;

/// Bytes that the save of an edit takes at most.
const SAVE: usize = 1_500_000;
/// Bytes that the first save in an empty store takes at most.
const FIRST_SAVE: usize = 40_000_000;
/// Bytes that a build takes in an engine at most.
const BUILD: usize = 4_000_000;

/// The store's disk is full.
pub(super) struct FullStore;

impl Fault for FullStore {
    fn name(&self) -> String {
        "full-store".to_owned()
    }

    fn amount(&self) -> Amount {
        Amount::Rounds(50)
    }

    fn round(&mut self, site: &mut Site, random: &mut Random) -> Result<Round> {
        if !Disk::is_possible() {
            return Ok(Round::Skipped("a small disk needs root".to_owned()));
        }
        let store = site.mount_disk()?.join("store");
        let free = if random.once_in(3) {
            site.replace(&store, None)?;
            random.below(FIRST_SAVE)
        } else {
            site.build(&store, &["s0", KEPT], &[])?;
            random.below(SAVE)
        };
        let before = Known::read(site, &store)?;
        site.edit("s0", random)?;
        site.disk()?.leave(free as u64)?;
        let built = site.build(&store, &["s0", KEPT], &[]);
        let full = check::store(site, &store, &before);
        site.disk()?.make_large()?;
        let free = || format!("{free} bytes were free");
        built.and(full).with_context(free)?;
        // If that save had room, another one may remove one more result.
        let before = Known::read(site, &store).with_context(free)?;
        site.edit("s0", random)?;
        let healed = site.build(&store, &["s0", KEPT], &[])?.quiet().with_context(free)?;
        ensure!(healed.is_saved(), "a build with room is not saved after {}: {}", free(), healed.text());
        check::store(site, &store, &before).with_context(free)?;
        check::no_leftovers(site, &store).with_context(free)?;
        Ok(Round::Held)
    }
}

/// The engine's disk is full. Its site is its own, on such a disk.
pub(super) struct FullEngine {
    base: String,
    site: Option<(Site, Disk)>,
}

impl FullEngine {
    pub(super) fn new(base: &str) -> Self {
        Self { base: base.to_owned(), site: None }
    }

    fn start(&self, random: &mut Random) -> Result<(Site, Disk)> {
        let mut disk = None;
        let mut mount = |data: &Path| {
            disk = Some(Disk::mount(data)?);
            Ok(())
        };
        let engine = SecondDaemon::start_in(CONTAINERD_STORE, None, &mut mount)?;
        let site = Site::new(engine, &self.base, random)?;
        site.build(&site.store(), &["s0", KEPT], &[])?;
        Ok((site, disk.context("no disk was mounted")?))
    }
}

impl Fault for FullEngine {
    fn name(&self) -> String {
        "full-engine".to_owned()
    }

    fn amount(&self) -> Amount {
        Amount::Rounds(50)
    }

    fn round(&mut self, _: &mut Site, random: &mut Random) -> Result<Round> {
        if !Disk::is_possible() {
            return Ok(Round::Skipped("a small disk needs root".to_owned()));
        }
        // A site in which something did not hold is not used again.
        let (mut site, disk) = match self.site.take() {
            Some(site) => site,
            None => self.start(random)?,
        };
        let store = site.store();
        let before = Known::read(&site, &store)?;
        site.edit("s0", random)?;
        let free = random.below(BUILD);
        disk.leave(free as u64)?;
        let ran = Running::start(site.build_command(&store, &["s0", KEPT], &[])?)?.wait();
        disk.make_large()?;
        let ran = ran?;
        let free = || format!("the engine had {free} bytes free");
        // A daemon that writes to a mapped file of a full disk is killed.
        let has_ended = site.engine.has_ended()?;
        if has_ended {
            site.engine.revive()?;
        }
        match ran.code {
            Some(_) if has_ended => one_clear_error(&ran).with_context(free)?,
            Some(0) => site.check_image("s0").with_context(free)?,
            Some(3) => ensure!(
                ran.stderr.to_lowercase().contains("no space left on device"),
                "{}, and the error does not say so: {}",
                free(),
                ran.tail()
            ),
            code => anyhow::bail!("{}: exit code {code:?}\n{}", free(), ran.tail()),
        }
        check::store(&site, &store, &before).with_context(free)?;
        site.build(&store, &["s0", KEPT], &[]).with_context(|| format!("{}, and now has room", free()))?;
        check::no_leftovers(&site, &store)?;
        self.site = Some((site, disk));
        Ok(Round::Held)
    }
}
