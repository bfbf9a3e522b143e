//! Pushing layers to a registry: two exports of a build that is cached by then. What fails here is
//! a warning, and a registry that stops answering holds nobody up.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::bake::{self, Call};
use super::idle_timeout::IdleTimeout;
use crate::engine::registry;
use crate::plan::push::Push;
use crate::progress::Watcher;
use crate::progress::trace::Trace;
use crate::record::log::Log;
use crate::step::Command;
use crate::store::lock::Holds;

/// BuildKit says nothing while one layer is on its way. After this long, and every so long from
/// then on, the registry is asked whether it is still there.
pub(crate) const SILENCE: Duration = Duration::from_secs(5);
/// One layer that takes longer is given up, whatever the registry says.
const LONGEST: Duration = Duration::from_secs(1200);

/// Whether a push is needed: where one of the target's steps ran, or the registry has nothing under
/// its key.
pub(crate) fn is_needed(push: &Push, anything_ran: bool) -> bool {
    anything_ran || push.lacking
}

/// Does one push; gives the seconds it took.
pub(crate) fn run(push: &Push, timeout: Duration, log: &Log, watcher: &mut dyn Watcher) -> Result<f64> {
    let started = Instant::now();
    let _held = Holds::of(push.read.iter().map(PathBuf::as_path));
    for command in [&push.exact, &push.newest] {
        export(push, command, timeout, log, watcher)?;
    }
    Ok(started.elapsed().as_secs_f64())
}

/// Whether a registry that was silent is gone: asked, it does not answer in time, or it has been
/// silent for too long.
pub(crate) fn gone<'a>(
    builder: &'a str,
    reference: &'a str,
    timeout: Duration,
) -> impl Fn(Duration) -> bool + Sync + 'a {
    move |silent| silent > LONGEST || !registry::answers(builder, reference, timeout)
}

fn export(
    push: &Push,
    command: &Command,
    timeout: Duration,
    log: &Log,
    watcher: &mut dyn Watcher,
) -> Result<()> {
    // As in a save: a RUN that starts now was edited after the build.
    let stop = Trace::started_a_command;
    let targets = std::slice::from_ref(&push.target);
    let call = Call { command, targets, log, stop: &stop };
    let gone = gone(&push.builder, &push.reference, timeout);
    let ended = bake::retry_export(&mut || {
        bake::run_watched(&call, watcher, Some(IdleTimeout { after: SILENCE, is_gone: &gone }))
    })?;
    if ended.stalled {
        bail!("the registry stopped answering");
    }
    if ended.stopped {
        bail!("a file changed while `{}` was built; the next build pushes it", push.target);
    }
    if !ended.success {
        bail!("{}", reason(&ended.text));
    }
    Ok(())
}

/// The line of bake's output that says why: the last one that is not about how to see more.
pub(crate) fn reason(text: &[String]) -> &str {
    let line = text.iter().rev().find(|line| line.starts_with("ERROR: ")).or(text.last());
    line.map_or("no reason given", |line| {
        line.trim_start_matches("ERROR: ").trim_start_matches("failed to solve: ")
    })
}
