//! Standard input and output that never panic, and never hang or end a run: a closed pipe ends
//! output, not work.
//!
//! A write to stdout waits for its reader until an interrupt. A write to stderr, which has the
//! progress of a build, waits for [`STDERR_PATIENCE`]; then lines are skipped and counted until the
//! reader continues.

use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd};
use rustix::io::Errno;

use crate::process::{retry, signals};
use crate::text::output;

/// The timeout for a full pipe on stderr.
const STDERR_PATIENCE: Duration = Duration::from_secs(2);
/// A pipe or terminal that is ready takes at least this many bytes (`PIPE_BUF`) without blocking.
const CHUNK: usize = 4096;
/// The interval of checks for an interrupt.
const TICK: Duration = Duration::from_millis(50);

/// Prints to stdout as `print!` does. A failed write is recorded for [`exit_code`].
macro_rules! out {
    ($($arg:tt)*) => { $crate::process::stdio::print(&format!($($arg)*)) };
}
/// Prints a line to stdout as `println!` does. A failed write is recorded for [`exit_code`].
macro_rules! outln {
    () => { $crate::process::stdio::print("\n") };
    ($($arg:tt)*) => { $crate::process::stdio::print(&(format!($($arg)*) + "\n")) };
}
/// Prints to stderr as `eprint!` does. A failed write is ignored.
macro_rules! err {
    ($($arg:tt)*) => { $crate::process::stdio::print_error(&format!($($arg)*)) };
}
/// Prints a line to stderr as `eprintln!` does. A failed write is ignored.
macro_rules! errln {
    ($($arg:tt)*) => { $crate::process::stdio::print_error(&(format!($($arg)*) + "\n")) };
}
pub(crate) use {err, errln, out, outln};

/// The error number of the first failed write to stdout, except for a closed pipe.
static STDOUT_ERROR: AtomicI32 = AtomicI32::new(0);
static STDERR: Mutex<StderrState> =
    Mutex::new(StderrState { is_closed: false, is_stalled: false, skipped: 0 });

struct StderrState {
    /// The pipe is closed.
    is_closed: bool,
    /// Its reader read nothing for [`STDERR_PATIENCE`].
    is_stalled: bool,
    /// Skipped writes since then.
    skipped: usize,
}

pub(crate) fn print(text: &str) {
    if let Err(error) = stdout().write_all(output::shown(text).as_bytes()) {
        let number = error.raw_os_error().unwrap_or_default();
        if error.kind() != io::ErrorKind::BrokenPipe && number != 0 {
            let _ = STDOUT_ERROR.compare_exchange(0, number, Ordering::Relaxed, Ordering::Relaxed);
        }
    }
}

pub(crate) fn print_error(text: &str) {
    let _ = stderr().write_all(output::shown(text).as_bytes());
}

/// Returns the exit code of a run that would end with `code`: 1 if it succeeded and stdout could
/// not be written.
pub(crate) fn exit_code(code: u8) -> u8 {
    let number = STDOUT_ERROR.load(Ordering::Relaxed);
    if code != 0 || number == 0 {
        return code;
    }
    errln!("error: failed to write to stdout: {}", io::Error::from_raw_os_error(number));
    1
}

/// Returns stdout. A write waits for the reader, and fails after an interrupt.
pub(crate) fn stdout() -> Stdout {
    Stdout
}

/// Returns stderr. A write never fails.
pub(crate) fn stderr() -> Stderr {
    Stderr
}

/// Returns stdin. A read waits for the writer, and fails after an interrupt.
pub(crate) fn stdin() -> Stdin {
    Stdin
}

/// Reads a line from stdin, without its line break. A closed stdin gives an empty line.
///
/// # Errors
///
/// Fails after an interrupt, and if stdin cannot be read.
fn read_line() -> io::Result<String> {
    let (mut line, mut byte) = (Vec::new(), [0]);
    while retry::read(&mut Stdin, &mut byte)? == 1 && byte[0] != b'\n' {
        line.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned())
}

/// Asks a question on stderr and reads the answer. Anything but `y` and `yes` means no.
///
/// # Errors
///
/// As [`read_line`].
pub(crate) fn confirm(question: &str) -> io::Result<bool> {
    err!("{question} [y/N] ");
    Ok(matches!(read_line()?.trim(), "y" | "Y" | "yes"))
}

/// See [`stdout`].
pub(crate) struct Stdout;
/// See [`stderr`].
pub(crate) struct Stderr;
/// See [`stdin`].
pub(crate) struct Stdin;

/// A file or named pipe whose read waits for the writer, and fails after an interrupt.
pub(crate) struct Interruptible(pub(crate) File);

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let stdout = io::stdout();
        if !wait(stdout.as_fd(), PollFlags::OUT, None)? {
            return Err(stopped());
        }
        write_chunk(stdout.as_fd(), bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut state = STDERR.lock().unwrap_or_else(PoisonError::into_inner);
        state.write(io::stderr().as_fd(), bytes, STDERR_PATIENCE);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Stdin {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        read_ready(io::stdin().as_fd(), buffer)
    }
}

impl Read for Interruptible {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        read_ready(self.0.as_fd(), buffer)
    }
}

/// Reads when there is something to read, or at the end. Fails after an interrupt.
fn read_ready(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        if !wait(fd, PollFlags::IN, None)? {
            return Err(stopped());
        }
        match rustix::io::read(fd, &mut *buffer) {
            // Another reader took it.
            Err(Errno::INTR | Errno::AGAIN) => {}
            result => return Ok(result?),
        }
    }
}

impl StderrState {
    /// Writes all of `bytes`, or skips them.
    fn write(&mut self, fd: BorrowedFd<'_>, bytes: &[u8], patience: Duration) {
        if self.is_closed {
            return;
        }
        let patience = if self.is_stalled { Duration::ZERO } else { patience };
        match write_within(fd, bytes, patience) {
            Ok(true) if self.skipped > 0 => {
                let note = format!("[{} lines of output were skipped: they were not read]\n", self.skipped);
                (self.is_stalled, self.skipped) = (false, 0);
                let _ = write_within(fd, note.as_bytes(), patience);
            }
            Ok(true) => self.is_stalled = false,
            Ok(false) => {
                self.is_stalled = true;
                self.skipped += 1;
            }
            // A full disk may have space again.
            Err(error) => self.is_closed = error.kind() != io::ErrorKind::StorageFull,
        }
    }
}

/// Writes all of `bytes`. Returns false if the reader doesn't read them within `patience`.
fn write_within(fd: BorrowedFd<'_>, mut bytes: &[u8], patience: Duration) -> io::Result<bool> {
    while !bytes.is_empty() {
        if !wait(fd, PollFlags::OUT, Some(patience))? {
            return Ok(false);
        }
        bytes = &bytes[write_chunk(fd, bytes)?..];
    }
    Ok(true)
}

fn write_chunk(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    match rustix::io::write(fd, &bytes[..bytes.len().min(CHUNK)]) {
        Err(Errno::INTR | Errno::AGAIN) => Ok(0),
        result => Ok(result?),
    }
}

/// Waits until `fd` is ready, for `patience` or until an interrupt. Returns whether it is.
fn wait(fd: BorrowedFd<'_>, flags: PollFlags, patience: Option<Duration>) -> io::Result<bool> {
    let started = Instant::now();
    loop {
        let left = patience.map_or(TICK, |patience| patience.saturating_sub(started.elapsed()).min(TICK));
        let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(left.subsec_nanos()) };
        match poll(&mut [PollFd::from_borrowed_fd(fd, flags)], Some(&timeout)) {
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(true),
            Err(error) => return Err(error.into()),
        }
        let is_over = match patience {
            Some(patience) => started.elapsed() >= patience,
            None => signals::interrupted(),
        };
        if is_over {
            return Ok(false);
        }
    }
}

fn stopped() -> io::Error {
    io::Error::other("interrupted")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> StderrState {
        StderrState { is_closed: false, is_stalled: false, skipped: 0 }
    }

    #[test]
    fn a_full_pipe_skips_output_until_it_is_read() {
        let (mut reader, writer) = io::pipe().expect("a pipe");
        let (mut state, line) = (state(), [b'x'; CHUNK]);
        while !state.is_stalled {
            state.write(writer.as_fd(), &line, Duration::from_millis(1));
        }
        state.write(writer.as_fd(), b"skipped\n", Duration::from_secs(3600));
        assert_eq!(state.skipped, 2, "a stalled pipe is not waited for");
        let mut taken = vec![0; 1 << 20];
        let size = retry::read(&mut reader, &mut taken).expect("read");
        assert!(taken[..size].iter().all(|byte| *byte == b'x'));
        state.write(writer.as_fd(), b"next\n", Duration::from_millis(1));
        drop(writer);
        let mut rest = String::new();
        reader.read_to_string(&mut rest).expect("read");
        assert!(rest.ends_with("next\n[2 lines of output were skipped: they were not read]\n"), "{rest:?}");
    }

    #[test]
    fn a_closed_pipe_ends_output() {
        let (reader, writer) = io::pipe().expect("a pipe");
        drop(reader);
        let mut state = state();
        state.write(writer.as_fd(), b"x\n", STDERR_PATIENCE);
        assert!(state.is_closed);
    }

    #[test]
    fn a_full_disk_is_tried_again() {
        let full = std::fs::File::options().write(true).open("/dev/full").expect("Linux has it");
        let mut state = state();
        state.write(full.as_fd(), b"x\n", STDERR_PATIENCE);
        assert!(!state.is_closed);
    }
}
