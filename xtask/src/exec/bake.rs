//! One call of `docker buildx bake`: its progress goes to a watcher and a log, its digests are
//! returned.

use std::collections::BTreeMap;
use std::io::BufReader;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::Signal;
use serde_json::Value;

use super::idle_timeout::IdleTimeout;
use super::steps;
use super::supervisor::{Condition, OverGuard, Supervisor};
use crate::process::signals;
use crate::process::signals::Supervised;
use crate::progress::Watcher;
use crate::progress::bake_outcome::{BakeOutcome, BakeStatus};
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
    /// Ends the call when it returns true for the events so far.
    pub stop: &'a dyn Fn(&Trace) -> bool,
    /// When a silent call counts as dead, if it may wait for a server that never answers.
    pub idle_timeout: Option<IdleTimeout<'a>>,
    /// Ends the call when it returns true. It is asked several times per second.
    pub end_if: Option<Condition<'a>>,
}

impl<'a> Call<'a> {
    /// Creates a call that ends by itself.
    pub(crate) fn new(command: &'a Command, targets: &'a [String], log: &'a Log) -> Self {
        Self { command, targets, log, stop: &|_| false, idle_timeout: None, end_if: None }
    }
}

/// The time during which an export is retried after a temporary failure. If a registry has lost one
/// of several results of a step, BuildKit chooses another one each time (one of up to twelve
/// attempts succeeded, 0.3 s each).
const RETRY_PERIOD: Duration = Duration::from_secs(15);

/// The pauses between checks whether a call has ended. Most end at once after their output.
const SHORTEST_PAUSE: Duration = Duration::from_micros(200);
const LONGEST_PAUSE: Duration = Duration::from_millis(5);

/// The kept lines of text. The reason of a failure is among the last ones.
const MOST_LINES: usize = 2000;

/// Makes an export, and retries it if that may help.
pub(crate) fn retry_export(export: &mut dyn FnMut() -> Result<BakeOutcome>) -> Result<BakeOutcome> {
    let begun = Instant::now();
    loop {
        let ended = export()?;
        if !ended.is_transient_export_failure() || begun.elapsed() > RETRY_PERIOD {
            return Ok(ended);
        }
    }
}

/// Makes a call. Ctrl-C stops bake and returns an error.
pub(crate) fn run(call: &Call<'_>, watcher: &mut dyn Watcher) -> Result<BakeOutcome> {
    let ended = run_to_its_end(call, watcher)?;
    signals::check()?;
    Ok(ended)
}

/// Makes a call. After Ctrl-C returns what happened until then.
pub(crate) fn run_to_its_end(call: &Call<'_>, watcher: &mut dyn Watcher) -> Result<BakeOutcome> {
    let started = Instant::now();
    call.log.open();
    let mut process = steps::to_process(call.command);
    let stdout = if call.command.inherits_stdout { Stdio::inherit() } else { Stdio::null() };
    process.stdout(stdout).stderr(Stdio::piped());
    // A separate process group: Ctrl-C on the terminal reaches xtask, which passes it on once.
    let child = Supervised::leader(&mut process);
    let mut child = child.with_context(|| format!("failed to run `{}`", call.command.to_shell()))?;
    let stderr = child.child().stderr.take().context("bake has no stderr")?;
    let mut ended = BakeOutcome {
        status: BakeStatus::Failed,
        trace: Trace::new(call.targets).redacted_by(call.log.redactor()),
        text: Vec::new(),
        seconds: 0.0,
    };
    let supervisor = Supervisor::new(child.sender(), call.idle_timeout, call.end_if);
    let status = std::thread::scope(|scope| -> Result<ExitStatus> {
        let thread = scope.spawn(|| supervisor.run());
        // Dropped before the scope waits for the thread, also on an error or a panic.
        let _over = OverGuard { is_over: &supervisor.is_over, thread: thread.thread().clone() };
        let stream = Decoder::new(BufReader::new(stderr));
        follow(stream, call, &mut ended, watcher, &supervisor)?;
        // The supervisor continues, because a child may close its stderr and keep running.
        let mut pause = SHORTEST_PAUSE;
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    })?;
    ended.status = match (supervisor.ended_for(), ended.status) {
        (Some(reason), _) => reason,
        (None, BakeStatus::Stopped) => BakeStatus::Stopped,
        (None, _) if status.success() => BakeStatus::Succeeded,
        (None, _) => BakeStatus::Failed,
    };
    ended.trace.mark_replayed_as_cached();
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
    let mut in_key = false;
    while let Some((item, raw)) = stream.next_item()? {
        supervisor.last_heard.now();
        watcher.raw(&raw);
        match item {
            Item::Text(line) => {
                let line = call.log.redactor().line(&line, &mut in_key).into_owned();
                call.log.text(&line);
                ended.text.push(line);
                if ended.text.len() > MOST_LINES {
                    ended.text.drain(..MOST_LINES / 2);
                }
            }
            Item::Chunk(chunk) => {
                for event in ended.trace.apply(&chunk) {
                    call.log.event(&ended.trace, &event);
                    watcher.event(&ended.trace, &event);
                }
            }
        }
        if ended.status != BakeStatus::Stopped && (call.stop)(&ended.trace) {
            ended.status = BakeStatus::Stopped;
            (supervisor.send)(Signal::INT);
        }
    }
    Ok(())
}

/// The digests of images, by target, from bake's metadata file.
pub(crate) fn digests(path: &Path) -> BTreeMap<String, String> {
    let targets = read_metadata(path).as_object().cloned().unwrap_or_default();
    let digest = |value: &Value| Some(value.get("containerimage.digest")?.as_str()?.to_owned());
    targets.iter().filter_map(|(name, value)| Some((name.clone(), digest(value)?))).collect()
}

/// The names that the image of a target was given, from the same file.
pub(crate) fn image_names(path: &Path, target: &str) -> Vec<String> {
    let metadata = read_metadata(path);
    let names = metadata[target]["image.name"].as_str().unwrap_or_default();
    names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn read_metadata(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap_or_default()).unwrap_or_default()
}

#[cfg(test)]
#[path = "bake_tests.rs"]
mod tests;
