//! Pushes layers to a registry: two exports of a build that is cached by then. A failure is a
//! warning, and a registry that stops answering delays nothing.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::bake::{self, Call};
use super::complete_push;
use super::idle_timeout::IdleTimeout;
use crate::engine::registry;
use crate::plan::push::Push;
use crate::progress::Watcher;
use crate::progress::bake_outcome::BakeStatus;
use crate::progress::trace::Trace;
use crate::record::log::Log;
use crate::step::Command;
use crate::store::lock::Holds;

/// BuildKit prints nothing while it transfers a layer. After this time, and at the same interval
/// from then on, xtask checks that the registry answers.
pub(crate) const SILENCE: Duration = Duration::from_secs(5);
/// The maximum time for one layer, even if the registry answers.
pub(crate) const LONGEST: Duration = Duration::from_secs(1200);

/// Returns whether a push is needed: one of the target's steps ran, or the registry lacks its key.
pub(crate) fn is_needed(push: &Push, anything_ran: bool) -> bool {
    anything_ran || push.lacking
}

/// A push that succeeded.
pub(crate) struct Pushed {
    pub(crate) seconds: f64,
    /// Set if the cache lacks layers that the registry had before.
    pub(crate) warning: Option<String>,
}

/// Does one push.
pub(crate) fn run(push: &Push, timeout: Duration, log: &Log, watcher: &mut dyn Watcher) -> Result<Pushed> {
    let started = Instant::now();
    let _held = Holds::of(push.read.iter().map(PathBuf::as_path));
    for command in [&push.exact, &push.newest] {
        export(push, command, timeout, log, watcher)?;
    }
    let warning = complete_push::run(push, timeout, log, watcher)?;
    Ok(Pushed { seconds: started.elapsed().as_secs_f64(), warning })
}

/// Returns a check whether a silent registry is gone: it does not answer in time, or it has been
/// silent for longer than `longest`.
pub(crate) fn silence_check<'a>(
    builder: &'a str,
    reference: &'a str,
    timeout: Duration,
    longest: Duration,
) -> impl Fn(Duration) -> bool + Sync + 'a {
    move |silent| is_gone(silent, longest, || registry::answers(builder, reference, timeout))
}

/// A registry may hold one request and answer others.
fn is_gone(silent: Duration, longest: Duration, answers: impl FnOnce() -> bool) -> bool {
    silent > longest || !answers()
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
    let is_gone = silence_check(&push.builder, &push.reference, timeout, LONGEST);
    let call = Call {
        stop: &stop,
        idle_timeout: Some(IdleTimeout { after: SILENCE, is_gone: &is_gone }),
        ..Call::new(command, targets, log)
    };
    let ended = bake::retry_export(&mut || bake::run(&call, watcher))?;
    match ended.status {
        BakeStatus::Succeeded => Ok(()),
        BakeStatus::Stalled => bail!("the registry stopped answering"),
        BakeStatus::Stopped => {
            bail!("a file changed while `{}` was built; the next build pushes it", push.target)
        }
        BakeStatus::Failed | BakeStatus::ConditionMet => bail!("{}", reason(&ended.text)),
    }
}

/// Returns the line of bake's output with the reason: the last one that is not about more details.
pub(crate) fn reason(text: &[String]) -> &str {
    let line = text.iter().rev().find(|line| line.starts_with("ERROR: ")).or(text.last());
    line.map_or("no reason given", |line| {
        line.trim_start_matches("ERROR: ").trim_start_matches("failed to solve: ")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_that_answers_is_waited_for_and_for_a_copy_not_for_long() {
        let copy = complete_push::longest(Duration::from_secs(4));
        assert!(SILENCE < copy && copy < LONGEST / 10, "{copy:?}");
        for longest in [copy, LONGEST] {
            assert!(!is_gone(longest, longest, || true));
            assert!(is_gone(longest + SILENCE, longest, || true));
            assert!(is_gone(SILENCE, longest, || false));
        }
    }
}
