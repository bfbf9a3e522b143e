//! Calls of a shell in place of bake.

use std::path::Path;
use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver};

use super::*;
use crate::progress::event::Event;
use crate::redact::Redactor;

/// The longest wait for something that comes at once.
const BOUND: Duration = Duration::from_secs(60);

struct Nobody;
impl Watcher for Nobody {
    fn event(&mut self, _trace: &Trace, _event: &Event) {}
}

/// A watcher that panics at the first line.
struct Panics;
impl Watcher for Panics {
    fn event(&mut self, _trace: &Trace, _event: &Event) {}
    fn raw(&mut self, _line: &str) {
        panic!("a fault of the display");
    }
}

/// Passes each line on.
struct Lines(mpsc::Sender<String>);
impl Watcher for Lines {
    fn event(&mut self, _trace: &Trace, _event: &Event) {}
    fn raw(&mut self, line: &str) {
        self.0.send(line.trim().to_owned()).expect("somebody reads");
    }
}

fn shell(line: &str) -> Command {
    Command::new(["sh", "-c", line])
}

fn log(dir: &Path) -> Log {
    Log::new(dir.join("log"), Redactor::default())
}

/// Runs something in a thread of its own, so that a hang fails the test.
fn bounded<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> Receiver<T> {
    let (sender, result) = mpsc::channel();
    std::thread::spawn(move || sender.send(run()));
    result
}

#[test]
fn a_requested_end_is_not_a_success() {
    let dir = tempfile::tempdir().expect("a directory");
    let (log, command) = (log(dir.path()), shell("echo line >&2; trap '' INT; sleep 0.5"));
    let call = Call::new(&command, &[], &log);
    assert_eq!(run(&call, &mut Nobody).expect("it ran").status, BakeStatus::Succeeded);
    let stopped = Call { stop: &|_| true, ..Call::new(&command, &[], &log) };
    assert_eq!(run(&stopped, &mut Nobody).expect("it ran").status, BakeStatus::Stopped);
    let met = Call { end_if: Some(&|| true), ..Call::new(&command, &[], &log) };
    assert_eq!(run(&met, &mut Nobody).expect("it ran").status, BakeStatus::ConditionMet);
    let command = shell("exit 3");
    let call = Call::new(&command, &[], &log);
    assert_eq!(run(&call, &mut Nobody).expect("it ran").status, BakeStatus::Failed);
}

#[test]
fn a_panic_of_the_display_ends_the_call() {
    let dir = tempfile::tempdir().expect("a directory");
    let pid = dir.path().join("pid");
    let command = shell(&format!("echo $$ >{}; echo line >&2; exec sleep 3600", pid.display()));
    let log = log(dir.path());
    let ended = bounded(move || {
        let call = || run(&Call::new(&command, &[], &log), &mut Panics).map(drop);
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(call)).is_err()
    });
    assert!(ended.recv_timeout(BOUND).expect("a panic does not hang"), "the panic goes on");
    let pid = std::fs::read_to_string(pid).expect("it began");
    assert!(!Path::new("/proc").join(pid.trim()).exists(), "the child has ended");
}

#[test]
fn a_condition_that_takes_long_keeps_no_event_waiting() {
    let dir = tempfile::tempdir().expect("a directory");
    let (asked, is_asked) = mpsc::channel();
    let (answer, is_answered) = mpsc::channel();
    let (line, lines) = mpsc::channel();
    let go = dir.path().join("go");
    let command = shell(&format!(
        "echo first >&2; until [ -e {} ]; do sleep 0.02; done; echo second >&2; exec sleep 3600",
        go.display()
    ));
    let log = log(dir.path());
    let ended = bounded(move || {
        let is_answered = Mutex::new(is_answered);
        let end_if = || {
            asked.send(()).expect("somebody waits");
            is_answered.lock().expect("one asks").recv_timeout(BOUND).expect("an answer")
        };
        let call = Call { end_if: Some(&end_if), ..Call::new(&command, &[], &log) };
        run(&call, &mut Lines(line)).expect("it ran").status
    });
    is_asked.recv_timeout(BOUND).expect("it is asked");
    std::fs::write(go, "").expect("written");
    let line = || lines.recv_timeout(BOUND).expect("a line while the question is open");
    assert_eq!([line(), line()], ["first", "second"]);
    answer.send(true).expect("it waits");
    assert_eq!(ended.recv_timeout(BOUND).expect("it ends"), BakeStatus::ConditionMet);
}
