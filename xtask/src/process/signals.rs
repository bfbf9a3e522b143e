//! SIGINT, SIGTERM and SIGHUP. The first one asks the run to stop and gives it [`DEADLINE`] to
//! clean up. The deadline or a second signal ends the process and its children at once. Signals
//! that were ignored at the start, as under `nohup`, stay ignored.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::error;
use crate::process::stdio::errln;

/// The time for a run to end after an interrupt.
const DEADLINE: Duration = Duration::from_millis(1900);
/// The time for a child to stop. Then it is killed, so that there is time to clean up.
pub(crate) const GRACE: Duration = Duration::from_millis(1200);

/// The signals that end a process.
const ENDING: [i32; 3] = [SIGHUP, SIGINT, SIGTERM];

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
/// Children that end with this process, however it ends.
static CHILDREN: Mutex<BTreeSet<Group>> = Mutex::new(BTreeSet::new());

/// Starts to handle signals, in a thread.
pub(crate) fn install() {
    let ignored = ignored();
    let handled = ENDING.into_iter().filter(|signal| !ignored.contains(signal));
    // Fails only for signals that cannot be caught, or without a file descriptor left.
    let Ok(mut signals) = Signals::new(handled) else { return };
    std::thread::spawn(move || {
        for _ in signals.forever() {
            if INTERRUPTED.swap(true, Ordering::Relaxed) {
                end_now();
            }
            std::thread::spawn(|| {
                std::thread::sleep(DEADLINE);
                end_now();
            });
        }
    });
}

/// Returns whether a signal that ends a process was ignored at the start, as in the background of a
/// script.
pub(crate) fn are_ignored() -> bool {
    let ignored = ignored();
    ENDING.iter().any(|signal| ignored.contains(signal))
}

/// Returns the signals that were ignored at the start, from the mask in `/proc/self/status`.
fn ignored() -> BTreeSet<i32> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    (1..=64).filter(|signal| mask & (1 << (signal - 1)) != 0).collect()
}

fn end_now() -> ! {
    end_children();
    errln!("error: interrupted");
    std::process::exit(error::INTERRUPTED.into());
}

/// Ends this process and its children with an exit code, unless it has ended by then.
pub(crate) fn end_after(limit: Duration, code: u8) {
    std::thread::spawn(move || {
        std::thread::sleep(limit);
        end_children();
        std::process::exit(code.into());
    });
}

/// Ends all children, and lets no thread start another. For a process that is about to exit.
pub(crate) fn end_children() {
    let children = children();
    children.iter().for_each(|child| child.send(Signal::KILL));
    // Stays locked: the end of a child would make a thread go on, and start the next one.
    std::mem::forget(children);
}

fn children() -> MutexGuard<'static, BTreeSet<Group>> {
    CHILDREN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns whether the user asked to stop.
pub(crate) fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// Fails if the user asked to stop.
pub(crate) fn check() -> Result<()> {
    if interrupted() { Err(error::interrupted()) } else { Ok(()) }
}

/// Fails if the user asked a child to stop that is xtask as well.
pub(crate) fn check_child(status: ExitStatus) -> Result<()> {
    if status.code() == Some(error::INTERRUPTED.into()) { Err(error::interrupted()) } else { Ok(()) }
}

/// A child, alone or with all processes of its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    pid: i32,
    is_group: bool,
}

impl Group {
    fn send(self, signal: Signal) {
        let Some(pid) = Pid::from_raw(self.pid) else { return };
        let sent = if self.is_group { kill_process_group(pid, signal) } else { kill_process(pid, signal) };
        // `sudo` belongs to root and passes signals on, but SIGKILL would end `sudo` alone.
        if sent == Err(Errno::PERM) && signal == Signal::INT {
            let mut kill = Command::new("sudo");
            kill.args(["-n", "kill", "-INT", &self.pid.to_string()]);
            kill.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let _ = kill.spawn();
        }
    }
}

/// A child that ends with this process. On drop it is killed and waited for, unless it has ended.
///
/// A child that is started after an interrupt cleans up: only the deadline ends it.
pub(crate) struct Supervised {
    child: Child,
    group: Group,
    has_ended: bool,
    cleans_up: bool,
}

impl Supervised {
    /// Starts a child in the process group of this process.
    pub(crate) fn member(command: &mut Command) -> io::Result<Self> {
        Self::start(command, false)
    }

    /// Starts a child that leads a process group. Signals go to the whole group.
    pub(crate) fn leader(command: &mut Command) -> io::Result<Self> {
        Self::start(command.process_group(0), true)
    }

    fn start(command: &mut Command, is_group: bool) -> io::Result<Self> {
        // An interrupt from now on is for this child, too, which may run before `spawn` returns.
        let cleans_up = interrupted();
        let mut children = children();
        let child = command.spawn()?;
        // A process id is positive and fits.
        let group = Group { pid: i32::try_from(child.id()).unwrap_or(0), is_group };
        children.insert(group);
        Ok(Self { child, group, has_ended: false, cleans_up })
    }

    /// Returns the child, for its pipes.
    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Returns a function that sends signals to it, from any thread.
    pub(crate) fn sender(&self) -> impl Fn(Signal) + Copy + Send + Sync + use<> {
        let group = self.group;
        move |signal| group.send(signal)
    }

    /// Returns its status, if it has ended.
    pub(crate) fn try_wait(&mut self) -> Result<Option<ExitStatus>> {
        let status = self.child.try_wait()?;
        self.has_ended |= status.is_some();
        Ok(status)
    }

    /// Returns whether the user asked to stop, unless it was started to clean up.
    pub(crate) fn is_unwanted(&self) -> bool {
        interrupted() && !self.cleans_up
    }

    /// Waits for its end. After an interrupt sends SIGINT, and after [`GRACE`] SIGKILL; then this
    /// fails.
    pub(crate) fn wait(&mut self) -> Result<ExitStatus> {
        let mut asked: Option<Instant> = None;
        loop {
            if let Some(status) = self.try_wait()? {
                return if self.is_unwanted() { Err(error::interrupted()) } else { Ok(status) };
            }
            match asked {
                None if self.is_unwanted() => {
                    self.group.send(Signal::INT);
                    asked = Some(Instant::now());
                }
                Some(since) if since.elapsed() > GRACE => self.group.send(Signal::KILL),
                _ => {}
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        if !self.has_ended {
            self.group.send(Signal::KILL);
            let _ = self.child.wait();
        }
        children().remove(&self.group);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_child_ends_with_its_guard() {
        let mut supervised = Supervised::leader(Command::new("sleep").arg("3600")).expect("sleep runs");
        let proc = format!("/proc/{}", supervised.child().id());
        assert!(children().contains(&supervised.group));
        let group = supervised.group;
        drop(supervised);
        assert!(!Path::new(&proc).exists() && !children().contains(&group));
    }

    #[test]
    fn ignored_signals_are_read_from_the_mask() {
        // Rust's runtime ignores SIGPIPE.
        assert!(ignored().contains(&signal_hook::consts::SIGPIPE));
        assert!(!ignored().contains(&signal_hook::consts::SIGKILL));
    }
}
