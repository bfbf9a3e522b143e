//! Moving cache mounts between the builder and the store. One mount's trouble leaves the store and the builder as they were.

mod arrived;
mod call;
mod loopback;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use jiff::Timestamp;
use xshell::Shell;

use self::arrived::arrived;
use self::call::{call, call_and_verify, damaged, each_blob, prepare, reason, silent};
use self::loopback::Listening;
use super::bake::Watcher;
use super::budget::Budget;
use super::signals;
use crate::cache::layout_check;
use crate::cache::mount::{MountEntry, Sharing};
use crate::engine::usage;
use crate::layout::Layout;
use crate::plan::mounts::{Carrier, PlannedMount, Way};
use crate::record::log::Log;

/// Who holds a lock for longer than this is not waited for; whoever works says so every five seconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where a transfer happens.
pub struct Site<'a> {
    /// The store.
    pub layout: &'a Layout,
    /// The log of the build.
    pub log: &'a Log,
    /// The time.
    pub now: Timestamp,
    /// The platform of the builder.
    pub platform: &'a str,
    /// What the store may take.
    pub budget: &'a Budget,
    /// How many bytes what is taken out is expected to take.
    pub expected: u64,
}

/// What became of the mounts of one transfer.
#[derive(Debug, Default)]
pub struct Moved {
    /// Mounts that were put back, or whose save is the newest there can be, with the bytes of new packs.
    pub done: Vec<(MountEntry, u64)>,
    /// What did not work, for people.
    pub warnings: Vec<String>,
    /// How long all of it took.
    pub seconds: f64,
}

impl Moved {
    /// Takes in what another transfer of the same build did.
    pub fn add(&mut self, other: Self) {
        self.done.extend(other.done);
        self.warnings.extend(other.warnings);
        self.seconds += other.seconds;
    }

    /// Takes mounts out of a transfer, with what is to be said of each.
    fn leave(&mut self, mounts: BTreeMap<usize, String>, left: &mut BTreeSet<usize>) {
        left.extend(mounts.keys());
        self.warnings.extend(mounts.into_values());
    }
}

/// Moves mounts. What goes wrong is in the warnings; an error is Ctrl-C alone.
pub fn run(
    site: &Site<'_>,
    carrier: &Carrier,
    way: Way,
    mounts: &[PlannedMount],
    watcher: &mut dyn Watcher,
) -> Result<Moved> {
    let started = Instant::now();
    // Another one for each transfer: one build may have several.
    let nonce = format!("{:x}-{:x}", Timestamp::now().as_nanosecond(), std::process::id());
    let mut moved = Moved::default();
    let result = attempt(site, carrier, way, mounts, &nonce, watcher, &mut moved);
    signals::check()?;
    if let Err(error) = result {
        let verb = if way == Way::In { "put back" } else { "saved" };
        moved.warnings.push(format!("the cache mounts are not {verb}: {error:#}"));
    }
    moved.seconds = started.elapsed().as_secs_f64();
    Ok(moved)
}

fn attempt(
    site: &Site<'_>,
    carrier: &Carrier,
    way: Way,
    mounts: &[PlannedMount],
    nonce: &str,
    watcher: &mut dyn Watcher,
    moved: &mut Moved,
) -> Result<()> {
    if way == Way::Out {
        let dirs: Vec<PathBuf> = mounts.iter().map(|mount| mount.dir.clone()).collect();
        site.budget.room_for(site.expected, &dirs)?;
    }
    let mut left = in_use(carrier, mounts, moved)?;
    let mut is_verified = way == Way::Out;
    if way == Way::In {
        let has = |_: usize, mount: &PlannedMount| each_blob(mount, layout_check::has);
        moved.leave(damaged(site, mounts, &has)?, &mut left);
    }
    let mut by_loopback = carrier.loopback;
    let transfer = loop {
        if left.len() == mounts.len() {
            return Ok(());
        }
        let listening = by_loopback.then(Listening::open).transpose()?;
        let address = listening.as_ref().map(Listening::address);
        let transfer = carrier.transfer(way, mounts, &left, nonce, site.now.as_second(), address);
        prepare(site, &transfer)?;
        let unread = if is_verified { BTreeSet::new() } else { (0..mounts.len()).collect() };
        let serving = listening.map(|listening| listening.serve(&transfer, unread)).transpose()?;
        let meter = site.budget.meter(site.expected);
        let (ended, damaged) = if is_verified {
            (call(site, &transfer, watcher, &|| way == Way::Out && meter.is_full())?, BTreeMap::new())
        } else {
            let pass = |number| serving.iter().for_each(|serving| serving.pass(number));
            call_and_verify(site, &transfer, mounts, watcher, &pass)?
        };
        drop(serving);
        is_verified = true;
        if !damaged.is_empty() {
            moved.leave(damaged, &mut left);
            continue;
        }
        meter.check(ended.full)?;
        if ended.success {
            break transfer;
        }
        if !ended.stalled && transfer.loopback.is_some() {
            // Its containers are in a network of their own, or it forbids them any other: BuildKit's way is open to all.
            by_loopback = false;
            continue;
        }
        if !ended.stalled {
            bail!("{}", reason(&ended));
        }
        let silent = silent(&ended, mounts.len());
        let blocked: Vec<usize> = silent.into_iter().filter(|number| left.insert(*number)).collect();
        if blocked.is_empty() || left.len() == mounts.len() {
            bail!("another build holds them");
        }
        moved.warnings.extend(blocked.iter().map(|number| {
            let id = &mounts[*number].identity.id;
            format!(
                "the cache mount `{id}` is left alone: another build has been holding it for {} s",
                PATIENCE.as_secs()
            )
        }));
    };
    let numbers = (0..mounts.len()).filter(|number| !left.contains(number));
    for number in numbers {
        let mount = &mounts[number];
        match (way, &mount.held) {
            (Way::In, Some(held)) => moved.done.push((held.clone(), 0)),
            (Way::In, None) => {}
            (Way::Out, _) => match arrived(site, &transfer, number) {
                Ok(Some((entry, bytes))) => moved.done.push((entry, bytes)),
                Ok(None) => {}
                Err(error) => {
                    moved
                        .warnings
                        .push(format!("the cache mount `{}` is not saved: {error:#}", mount.identity.id));
                }
            },
        }
    }
    Ok(())
}

/// Private mounts that a build is using now: whoever asks for one of those gets another, empty one, which builds would find later.
fn in_use(carrier: &Carrier, mounts: &[PlannedMount], moved: &mut Moved) -> Result<BTreeSet<usize>> {
    if mounts.iter().all(|mount| mount.sharing != Sharing::Private) {
        return Ok(BTreeSet::new());
    }
    let records = usage::read(&Shell::new()?, &carrier.builder)?;
    let is_used = |mount: &PlannedMount| {
        let id = mount.builder_id();
        let mut own = records.iter().filter(|record| record.mount_id() == Some(&id));
        mount.sharing == Sharing::Private && own.any(|record| !record.reclaimable)
    };
    let used: BTreeSet<usize> = (0..mounts.len()).filter(|number| is_used(&mounts[*number])).collect();
    moved.warnings.extend(used.iter().map(|number| {
        let id = &mounts[*number].identity.id;
        format!("the cache mount `{id}` is left alone: it is private, and another build is using it")
    }));
    Ok(used)
}
