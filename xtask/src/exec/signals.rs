//! Ctrl-C: the running child is told once and waited for, then xtask ends with 130 and has cleaned up.

use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::process::{Pid, Signal, kill_process};

use crate::error;

/// A child that does not stop by itself within this time is killed.
pub const GRACE: Duration = Duration::from_secs(20);

fn flag() -> &'static Arc<AtomicBool> {
    static FLAG: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    FLAG.get_or_init(|| {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP]
        {
            // Fails only for signals that cannot be caught.
            let _ = signal_hook::flag::register(signal, Arc::clone(&flag));
        }
        flag
    })
}

/// From now on Ctrl-C is ours to handle.
pub fn install() {
    flag();
}

/// Whether the user asked to stop.
pub fn interrupted() -> bool {
    flag().load(Ordering::Relaxed)
}

/// An error once the user asked to stop.
pub fn check() -> Result<()> {
    if interrupted() { Err(error::interrupted()) } else { Ok(()) }
}

/// Waits for a child; when the user asks to stop it is sent SIGINT, and after a grace SIGKILL.
pub fn wait(child: &mut Child) -> Result<ExitStatus> {
    let mut told: Option<Instant> = None;
    loop {
        if let Some(status) = child.try_wait()? {
            check()?;
            return Ok(status);
        }
        match told {
            None if interrupted() => {
                tell(child, Signal::INT);
                told = Some(Instant::now());
            }
            Some(since) if since.elapsed() > GRACE => child.kill()?,
            _ => {}
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Sends a signal to a child that has not been waited for.
pub fn tell(child: &Child, signal: Signal) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}
