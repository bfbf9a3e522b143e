//! One call of `docker buildx bake`: its progress goes to a watcher and a log, its digests are
//! returned.

use std::collections::BTreeMap;
use std::io::BufReader;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::Signal;
use serde_json::Value;

use super::idle_timeout::IdleTimeout;
use super::steps;
use super::supervisor::{OverGuard, Supervisor};
use crate::process::signals;
use crate::process::signals::Supervised;
use crate::progress::Watcher;
use crate::progress::bake_outcome::BakeOutcome;
use crate::progress::decode::{Decoder, Item};
use crate::progress::trace::Trace;
use crate::record::log::Log;
use crate::step::Command;

/// A call of bake.
pub(crate) struct Call<'a> {
    pub command: &'a Command,
    /// The targets that it names.
    pub targets: &'a [String],
    /// The log, which also gets the full output of steps.
    pub log: &'a Log,
    /// Ends the call early when it returns true.
    pub stop: &'a dyn Fn(&Trace) -> bool,
}

/// Makes a call that writes to a directory with a limit. Stops it as soon as `is_full` returns
/// true; asks several times per second.
pub(crate) fn run_bounded(
    call: &Call<'_>,
    watcher: &mut dyn Watcher,
    is_full: &(dyn Fn() -> bool + Sync),
) -> Result<BakeOutcome> {
    run_with(call, watcher, None, Some(is_full))
}

/// Makes a call until `is_enough` returns true; asks several times per second.
/// [`BakeOutcome::full`] says whether it did.
pub(crate) fn run_until(
    call: &Call<'_>,
    watcher: &mut dyn Watcher,
    is_enough: &(dyn Fn() -> bool + Sync),
) -> Result<BakeOutcome> {
    to_its_end(call, watcher, None, Some(is_enough))
}

/// Makes a call that may wait for a server that never answers.
pub(crate) fn run_watched(
    call: &Call<'_>,
    watcher: &mut dyn Watcher,
    stall: Option<IdleTimeout<'_>>,
) -> Result<BakeOutcome> {
    run_with(call, watcher, stall, None)
}

/// The time during which an export is retried after a temporary failure. If a registry has lost one
/// of several results of a step, BuildKit chooses another one each time (one of up to twelve
/// attempts succeeded, 0.3 s each).
const PATIENCE: Duration = Duration::from_secs(15);

/// Makes an export, and retries it if that may help.
pub(crate) fn retry_export(export: &mut dyn FnMut() -> Result<BakeOutcome>) -> Result<BakeOutcome> {
    let begun = Instant::now();
    loop {
        let ended = export()?;
        if !ended.is_transient_export_failure() || begun.elapsed() > PATIENCE {
            return Ok(ended);
        }
    }
}

/// Makes a call with both. Ctrl-C stops bake and returns an error.
pub(super) fn run_with(
    call: &Call<'_>,
    watcher: &mut dyn Watcher,
    stall: Option<IdleTimeout<'_>>,
    is_full: Option<&(dyn Fn() -> bool + Sync)>,
) -> Result<BakeOutcome> {
    let ended = to_its_end(call, watcher, stall, is_full)?;
    signals::check()?;
    Ok(ended)
}

fn to_its_end(
    call: &Call<'_>,
    watcher: &mut dyn Watcher,
    stall: Option<IdleTimeout<'_>>,
    is_full: Option<&(dyn Fn() -> bool + Sync)>,
) -> Result<BakeOutcome> {
    let started = Instant::now();
    call.log.open();
    let mut process = steps::process(call.command);
    // A separate process group: Ctrl-C on the terminal reaches xtask, which passes it on once.
    let stdout = if call.command.inherits_stdout { Stdio::inherit() } else { Stdio::null() };
    process.stdout(stdout).stderr(Stdio::piped()).process_group(0);
    let child = process.spawn().with_context(|| format!("failed to run `{}`", call.command.to_shell()))?;
    let mut child = Supervised::leader(child);
    let stderr = child.child().stderr.take().context("bake has no stderr")?;
    let mut ended = BakeOutcome {
        success: false,
        stopped: false,
        stalled: false,
        full: false,
        trace: Trace::new(call.targets).redacted_by(call.log.redactor()),
        text: Vec::new(),
        seconds: 0.0,
    };
    let supervisor = Supervisor::new(child.sender(), stall, is_full);
    let status = std::thread::scope(|scope| -> Result<ExitStatus> {
        // Dropped before the scope waits for its thread, also on an error or a panic.
        let _over = OverGuard(&supervisor.is_over);
        scope.spawn(|| supervisor.run());
        let stream = Decoder::new(BufReader::new(stderr));
        follow(stream, call, &mut ended, watcher, &supervisor)?;
        // The supervisor continues, because a child may close its stderr and keep running.
        loop {
            match child.try_wait()? {
                Some(status) => return Ok(status),
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    })?;
    ended.success = status.success();
    ended.trace.mark_replayed_as_cached();
    ended.stalled = supervisor.has_stalled.into_inner();
    ended.full = supervisor.was_full.into_inner();
    watcher.end(&ended.trace);
    call.log.end_of_call();
    ended.seconds = started.elapsed().as_secs_f64();
    Ok(ended)
}

fn follow(
    mut stream: Decoder<impl std::io::BufRead>,
    call: &Call<'_>,
    ended: &mut BakeOutcome,
    watcher: &mut dyn Watcher,
    supervisor: &Supervisor<'_>,
) -> Result<()> {
    while let Some((item, raw)) = stream.next_item()? {
        supervisor.last_heard.now();
        watcher.raw(&raw);
        match item {
            Item::Text(line) => {
                let line = call.log.redactor().text(&line).into_owned();
                call.log.text(&line);
                ended.text.push(line);
            }
            Item::Chunk(chunk) => {
                for event in ended.trace.apply(&chunk) {
                    call.log.event(&ended.trace, &event);
                    watcher.event(&ended.trace, &event);
                }
            }
        }
        if !ended.stopped && (call.stop)(&ended.trace) {
            ended.stopped = true;
            (supervisor.send)(Signal::INT);
        }
    }
    Ok(())
}

/// The digests of images, by target, from bake's metadata file.
pub(crate) fn digests(path: &Path) -> BTreeMap<String, String> {
    let targets = metadata(path).as_object().cloned().unwrap_or_default();
    let digest = |value: &Value| Some(value.get("containerimage.digest")?.as_str()?.to_owned());
    targets.iter().filter_map(|(name, value)| Some((name.clone(), digest(value)?))).collect()
}

/// The names that the image of a target was given, from the same file.
pub(crate) fn image_names(path: &Path, target: &str) -> Vec<String> {
    let metadata = metadata(path);
    let names = metadata[target]["image.name"].as_str().unwrap_or_default();
    names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn metadata(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap_or_default()).unwrap_or_default()
}
