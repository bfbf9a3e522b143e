//! Restores the cache mounts of a build: before the call of bake, and during it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Instant;

use anyhow::Result;
use xshell::Shell;

use super::missing_mounts::{MissingMount, MountMonitor};
use super::run::Run;
use super::transfer_context;
use super::{restore_ahead, store_upkeep};
use crate::exec::mounts::{self, TransferResult};
use crate::exec::registry;
use crate::exec::supervisor::Condition;
use crate::live;
use crate::plan::mounts::{Direction, PlannedMount};
use crate::process::signals;
use crate::process::stdio::errln;
use crate::progress::bake_outcome::{BakeOutcome, BakeStatus};
use crate::progress::trace::Trace;
use crate::session::Session;

impl Run<'_> {
    /// Restores mounts before steps need them. A step that still begins without an available mount
    /// stops the build, which continues after the restore: finished steps are cached by then, and
    /// count with their first result. `before` is a stopped call of the same build.
    pub(super) fn with_mounts(&self, mut before: Option<Trace>) -> Result<(BakeOutcome, TransferResult)> {
        let started = Instant::now();
        let lookout = MountMonitor::new(self.plan, before.as_ref().and_then(Trace::begun));
        let mut restored = TransferResult::default();
        self.restore_ahead(&lookout, &mut restored)?;
        loop {
            let mut ended = self.call_and_look(&lookout)?;
            if let Some(before) = &before {
                ended.trace.merge_previous(before);
            }
            let goes_on = ended.status == BakeStatus::ConditionMet && !signals::interrupted();
            if !goes_on {
                ended.seconds = started.elapsed().as_secs_f64();
                return Ok((ended, restored));
            }
            let lacking = lookout.lacking(self.session, &ended.trace);
            before = Some(ended.trace);
            let mounts = self.fetch(lacking, &mut restored)?;
            self.restore(Direction::Restore, &mounts, &mut restored)?;
        }
    }

    /// Makes the call while a thread asks the builder about mounts of starting steps.
    fn call_and_look(&self, lookout: &MountMonitor<'_>) -> Result<BakeOutcome> {
        let asking = Session {
            sh: Shell::new()?,
            host: self.session.host.clone(),
            layout: self.session.layout.clone(),
            globals: self.session.globals.clone(),
            redactor: self.session.redactor.clone(),
        };
        // Without a way to restore, an ended call could not go on.
        let can_restore = self.plan.mounts.template.is_some();
        ask_during(
            move |new| can_restore && lookout.is_lacking(&asking, new),
            |ask, is_lacking| {
                let look = |trace: &Trace| {
                    let new = lookout.look(trace);
                    if !new.is_empty() {
                        ask(new);
                    }
                    false
                };
                self.call_until(&self.first, &look, Some(is_lacking))
            },
        )
    }

    fn restore_ahead(&self, lookout: &MountMonitor<'_>, restored: &mut TransferResult) -> Result<()> {
        let Some((mut ahead, _turn)) = restore_ahead::find(self.session, self.plan, self.forecast_slot)?
        else {
            return Ok(());
        };
        for (direction, places) in [(Direction::Restore, ahead.seeded), (Direction::Fill, ahead.empty)] {
            let missing = |at: &usize| MissingMount {
                mount: self.plan.mounts.mounts[*at].clone(),
                remote: ahead.remote.remove(at),
            };
            let mounts = self.fetch(places.iter().map(missing).collect(), restored)?;
            self.restore(direction, &mounts, restored)?;
            // A refused mount is not tried again, because that would only stop the build.
            lookout.settle(places);
        }
        Ok(())
    }

    fn restore(
        &self,
        direction: Direction,
        mounts: &[PlannedMount],
        restored: &mut TransferResult,
    ) -> Result<()> {
        let Some(template) = self.plan.mounts.template.as_ref().filter(|_| !mounts.is_empty()) else {
            return Ok(());
        };
        let budget = store_upkeep::budget(self.session, self.plan);
        let context = transfer_context::for_builder(self.session, self.plan, self.log, &budget);
        self.say(mounts);
        let mut task = live::side_task(self.session, "restoring cache mounts");
        let result = mounts::run(&context, template, direction, mounts, &mut *task)?;
        result.warnings.iter().for_each(|warning| errln!("warning: {warning}"));
        restored.add(result);
        Ok(())
    }

    fn say(&self, mounts: &[PlannedMount]) {
        let ids: Vec<&str> = mounts.iter().map(|mount| mount.identity.id.as_str()).collect();
        if !self.session.globals.json {
            errln!("restoring cache mounts: {}", ids.join(", "));
        }
    }

    /// Pulls mounts from registries to the store. Returns all that are there then.
    fn fetch(&self, lacking: Vec<MissingMount>, restored: &mut TransferResult) -> Result<Vec<PlannedMount>> {
        let (env, started) = (BTreeMap::new(), Instant::now());
        let budget = store_upkeep::budget(self.session, self.plan);
        let transport = transfer_context::for_registries(self.session, self.plan, (self.log, &budget), &env);
        let mut mounts = Vec::new();
        for MissingMount { mut mount, remote } in lacking {
            if let Some(remote) = remote {
                let (fetched, warnings) = registry::fetch_mounts(
                    &transport,
                    &[remote],
                    &mut *live::side_task(self.session, "fetching cache mounts"),
                )?;
                warnings.iter().for_each(|warning| errln!("warning: {warning}"));
                restored.warnings.extend(warnings);
                mount.held = fetched.into_iter().next().map(|saved| saved.entry);
            }
            mounts.extend(mount.held.is_some().then_some(mount));
        }
        restored.seconds += started.elapsed().as_secs_f64();
        Ok(mounts)
    }
}

/// Makes a call while a thread answers questions about its events, one after the other, so that the
/// event stream never waits. The call gets a function that asks, and a condition that holds once an
/// answer was yes.
fn ask_during<Q: Send, T>(
    answer: impl Fn(&Q) -> bool + Send,
    call: impl FnOnce(&dyn Fn(Q), Condition<'_>) -> T,
) -> T {
    let was_yes = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (questions, asked) = mpsc::channel();
        let was_yes = &was_yes;
        scope.spawn(move || {
            for question in asked {
                if answer(&question) {
                    was_yes.store(true, Ordering::Relaxed);
                }
            }
        });
        let ask = |question| drop(questions.send(question));
        call(&ask, &|| was_yes.load(Ordering::Relaxed))
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_question_keeps_no_call_waiting() {
        let (go_on, goes_on) = mpsc::channel();
        let answer = move |number: &u32| {
            if *number == 1 {
                // Only after the call has asked again.
                goes_on.recv_timeout(Duration::from_secs(60)).expect("the call goes on");
            }
            *number == 2
        };
        let is_found = ask_during(answer, |ask, was_yes| {
            ask(1);
            assert!(!was_yes());
            ask(2);
            ask(3);
            go_on.send(()).expect("a question is open");
            let begun = Instant::now();
            while !was_yes() && begun.elapsed() < Duration::from_secs(60) {
                std::thread::yield_now();
            }
            was_yes()
        });
        assert!(is_found, "one yes is enough");
    }
}
