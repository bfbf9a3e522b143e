//! Queries that run a few at a time, because each is a buildx process of about 50 MB.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::process::query::{QueryOutput, RunningQuery};

/// The maximum number of parallel queries of all registries of a build.
const AT_ONCE: usize = 8;

static UNDER_WAY: Slots = Slots { taken: Mutex::new(0), freed: Condvar::new() };

/// A counting semaphore for processes.
struct Slots {
    taken: Mutex<usize>,
    freed: Condvar,
}

/// One of the slots, freed on drop.
struct Slot<'a>(&'a Slots);

impl Slots {
    fn take(&self) -> Slot<'_> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.freed.wait_while(taken, |taken| *taken >= AT_ONCE);
        *waited.unwrap_or_else(PoisonError::into_inner) += 1;
        Slot(self)
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        *self.0.taken.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.freed.notify_one();
    }
}

/// Running and waiting queries. The rest is stopped on drop.
pub(super) struct Asked {
    count: usize,
    given: usize,
    answers: Receiver<(usize, Result<QueryOutput>)>,
    stop: Arc<AtomicBool>,
}

impl Asked {
    /// Starts the queries. `start` begins the query of that number, and each has `timeout` from
    /// then on.
    pub(super) fn start(
        count: usize,
        timeout: Duration,
        start: impl Fn(usize) -> Result<RunningQuery> + Send + Sync + 'static,
    ) -> Self {
        let (sender, answers) = mpsc::channel();
        let (stop, next, start) =
            (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)), Arc::new(start));
        for _ in 0..count.min(AT_ONCE) {
            let (sender, stop, next, start) = (sender.clone(), stop.clone(), next.clone(), start.clone());
            std::thread::spawn(move || {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let slot = UNDER_WAY.take();
                    if at >= count || stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let is_wanted = || !stop.load(Ordering::Relaxed);
                    let answer = start(at).and_then(|asking| {
                        asking.answer_while(timeout, &is_wanted)?.context("nobody wants the answer")
                    });
                    drop(slot);
                    if sender.send((at, answer)).is_err() {
                        return;
                    }
                }
            });
        }
        Self { count, given: 0, answers, stop }
    }

    /// Returns the total number.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Waits for the next answer, in order of arrival; `None` after the last.
    pub(super) fn next(&mut self) -> Option<(usize, Result<QueryOutput>)> {
        if self.given == self.count {
            return None;
        }
        self.given += 1;
        self.answers.recv().ok()
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use xshell::{Shell, cmd};

    use super::*;
    use crate::process::query;

    fn asking(script: &str) -> Result<RunningQuery> {
        let sh = Shell::new()?;
        query::start(cmd!(sh, "sh -c {script}").quiet())
    }

    /// Each query has a file while it runs, and counts the files.
    #[test]
    fn a_few_are_asked_at_once_and_every_answer_comes_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let at = dir.path().display().to_string();
        let script = format!("cd {at}; touch $$; ls | wc -l; sleep 0.1; rm $$");
        let mut asked = Asked::start(40, Duration::from_secs(60), move |_| asking(&script));
        let mut seen = Vec::new();
        while let Some((number, answer)) = asked.next() {
            let most: usize = answer.expect("an answer").stdout.trim().parse().expect("a number");
            assert!((1..=AT_ONCE).contains(&most), "{most} at once");
            seen.push(number);
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..40).collect::<Vec<_>>());
    }

    fn is_alive(pid: &str) -> bool {
        let stat = fs::read_to_string(Path::new("/proc").join(pid).join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with(['Z', 'X']))
    }

    #[test]
    fn one_that_is_late_is_an_error_and_leaves_no_process() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("pid");
        // docker starts its plugin as a separate process, which must end as well.
        let script = format!("sleep 300 & echo $! >{}; wait", file.display());
        let mut asked = Asked::start(1, Duration::from_millis(500), move |_| asking(&script));
        let (_, answer) = asked.next().expect("the question ends");
        let error = answer.expect_err("late").to_string();
        assert!(error.contains("no answer from"), "{error}");
        let pid = fs::read_to_string(file).expect("it was started");
        for _ in 0..500 {
            if !is_alive(pid.trim()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the process {pid} lives");
    }
}
