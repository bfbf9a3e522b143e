//! One call of `docker buildx bake`: its progress goes to a watcher and into a log, its digests come back.

use std::collections::BTreeMap;
use std::io::BufReader;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process_group};

use super::ended::Ended;
use super::progress::{Decoder, Item};
use super::stall::{LastHeard, Stall};
use super::trace::{Event, Trace};
use super::{signals, steps};
use crate::plan::step::Command;
use crate::record::log::Log;

/// Somebody who looks on while a build runs.
pub trait Watcher {
    /// Something happened.
    fn event(&mut self, trace: &Trace, event: &Event);
    /// One item of the stream as it came, for those that pass it on.
    fn raw(&mut self, _text: &str) {}
    /// A line that is to stay in view.
    fn say(&mut self, line: &str) {
        eprintln!("{line}");
    }
    /// Bytes go another way than BuildKit's: how many by now, and in all where that is known.
    fn carried(&mut self, _bytes: &Arc<AtomicU64>, _total: Option<u64>) {}
    /// The build is over.
    fn end(&mut self, _trace: &Trace) {}
}

/// A call to be made.
pub struct Call<'a> {
    /// The command.
    pub command: &'a Command,
    /// The targets it names.
    pub targets: &'a [String],
    /// The whole output of steps goes here as well.
    pub log: &'a Log,
    /// Ends the call early where it says so.
    pub stop: &'a dyn Fn(&Trace) -> bool,
}

/// Makes the call. Ctrl-C stops bake; what happened until then is told all the same, so that the record has it.
pub fn run(call: &Call<'_>, watcher: &mut dyn Watcher) -> Result<Ended> {
    to_its_end(call, watcher, None, None)
}

/// Makes a call that writes into a place with a bound: it is stopped as soon as `is_full` says so, asked a few times a second.
pub fn run_bounded(
    call: &Call<'_>,
    watcher: &mut dyn Watcher,
    is_full: &(dyn Fn() -> bool + Sync),
) -> Result<Ended> {
    run_with(call, watcher, None, Some(is_full))
}

/// Makes a call that may wait for somebody who never answers.
pub fn run_watched(call: &Call<'_>, watcher: &mut dyn Watcher, stall: Option<Stall<'_>>) -> Result<Ended> {
    run_with(call, watcher, stall, None)
}

/// Makes an export again that failed for what passes, for this long: of the results of a step, one of which a registry has lost, BuildKit takes
/// another one each time (one of up to twelve tries was good, 0.3 s each).
const PATIENCE: Duration = Duration::from_secs(15);

/// Makes an export, as often as that mends it.
pub fn until_it_passes(export: &mut dyn FnMut() -> Result<Ended>) -> Result<Ended> {
    let begun = Instant::now();
    loop {
        let ended = export()?;
        if !ended.is_passing() || begun.elapsed() > PATIENCE {
            return Ok(ended);
        }
    }
}

/// Makes a call that may do both. Ctrl-C stops bake and gives an error.
pub(super) fn run_with(
    call: &Call<'_>,
    watcher: &mut dyn Watcher,
    stall: Option<Stall<'_>>,
    is_full: Option<&(dyn Fn() -> bool + Sync)>,
) -> Result<Ended> {
    let ended = to_its_end(call, watcher, stall, is_full)?;
    signals::check()?;
    Ok(ended)
}

fn to_its_end(
    call: &Call<'_>,
    watcher: &mut dyn Watcher,
    stall: Option<Stall<'_>>,
    is_full: Option<&(dyn Fn() -> bool + Sync)>,
) -> Result<Ended> {
    let started = Instant::now();
    call.log.open().with_context(|| format!("failed to write `{}`", call.log.path().display()))?;
    let mut process = steps::process(call.command);
    // A group of its own: Ctrl-C on the terminal reaches xtask, which tells bake once.
    process.stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
    let mut child =
        process.spawn().with_context(|| format!("failed to run `{}`", call.command.to_shell()))?;
    let Some(stderr) = child.stderr.take() else { unreachable!("stderr is piped") };
    let mut ended = Ended {
        success: false,
        stopped: false,
        stalled: false,
        full: false,
        trace: Trace::new(call.targets),
        text: Vec::new(),
        seconds: 0.0,
    };
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let over = AtomicBool::new(false);
    let (stalled, last) = (AtomicBool::new(false), LastHeard::begin());
    let full = AtomicBool::new(false);
    std::thread::scope(|scope| -> Result<()> {
        scope.spawn(|| pass_on_interrupt(group, &over));
        if let Some(stall) = stall {
            let (stalled, over, last) = (&stalled, &over, &last);
            scope.spawn(move || {
                stalled.store(stall.watch(last, over, &|| tell(group, Signal::KILL)), Ordering::Relaxed);
            });
        }
        if let Some(is_full) = is_full {
            let (full, over) = (&full, &over);
            scope.spawn(move || full.store(end_when_full(is_full, group, over), Ordering::Relaxed));
        }
        let heard = || last.now();
        let stream = Decoder::new(BufReader::new(stderr));
        let read = follow(stream, call, &mut ended, watcher, group, &heard);
        over.store(true, Ordering::Relaxed);
        read
    })?;
    ended.success = child.wait()?.success();
    ended.trace.settle();
    ended.stalled = stalled.into_inner();
    ended.full = full.into_inner();
    watcher.end(&ended.trace);
    call.log.end_of_call()?;
    ended.seconds = started.elapsed().as_secs_f64();
    Ok(ended)
}

fn follow(
    mut stream: Decoder<impl std::io::BufRead>,
    call: &Call<'_>,
    ended: &mut Ended,
    watcher: &mut dyn Watcher,
    group: Option<Pid>,
    heard: &dyn Fn(),
) -> Result<()> {
    while let Some((item, raw)) = stream.next_item()? {
        heard();
        watcher.raw(&raw);
        match item {
            Item::Text(line) => {
                call.log.text(&line)?;
                ended.text.push(line);
            }
            Item::Chunk(chunk) => {
                for event in ended.trace.apply(&chunk) {
                    call.log.event(&ended.trace, &event)?;
                    watcher.event(&ended.trace, &event);
                }
            }
        }
        if !ended.stopped && (call.stop)(&ended.trace) {
            ended.stopped = true;
            tell(group, Signal::INT);
        }
    }
    Ok(())
}

/// How often a bounded call is looked after.
const LOOK: Duration = Duration::from_millis(100);

/// Ends a call whose place is full; says whether it did.
fn end_when_full(is_full: &(dyn Fn() -> bool + Sync), group: Option<Pid>, over: &AtomicBool) -> bool {
    let mut looked = Instant::now();
    while !over.load(Ordering::Relaxed) {
        if looked.elapsed() >= LOOK {
            if is_full() {
                tell(group, Signal::INT);
                return true;
            }
            looked = Instant::now();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

/// While the stream is read, nobody else looks for Ctrl-C.
fn pass_on_interrupt(group: Option<Pid>, over: &AtomicBool) {
    let mut since: Option<Instant> = None;
    while !over.load(Ordering::Relaxed) {
        if signals::interrupted() && since.is_none() {
            since = Some(Instant::now());
            tell(group, Signal::INT);
        }
        if since.is_some_and(|since| since.elapsed() > signals::GRACE) {
            tell(group, Signal::KILL);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn tell(group: Option<Pid>, signal: Signal) {
    if let Some(group) = group {
        let _ = kill_process_group(group, signal);
    }
}

/// The digests of images, by target, from bake's metadata file.
pub fn digests(metadata: &Path) -> BTreeMap<String, String> {
    let bytes = std::fs::read(metadata).unwrap_or_default();
    let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let targets = json.as_object().cloned().unwrap_or_default();
    let digest = |value: &serde_json::Value| Some(value.get("containerimage.digest")?.as_str()?.to_owned());
    targets.iter().filter_map(|(name, value)| Some((name.clone(), digest(value)?))).collect()
}
