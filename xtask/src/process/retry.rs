//! System calls that a signal ended, made again. The handlers ask the kernel to restart a call, but
//! it never restarts a read of a socket that has a timeout, nor one in a process that was stopped
//! and continued.

use std::io::{self, ErrorKind, Read};

/// Repeats a call for as long as a signal interrupts it.
///
/// # Errors
///
/// Those of the call.
pub fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Reads once, as [`Read::read`] does.
///
/// # Errors
///
/// Those of [`Read::read`] but [`ErrorKind::Interrupted`].
#[expect(clippy::disallowed_methods, reason = "the one place that reads, with a retry")]
pub fn read(from: &mut (impl Read + ?Sized), buffer: &mut [u8]) -> io::Result<usize> {
    retry(|| from.read(buffer))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Is interrupted before each byte.
    struct Interrupted<'a>(&'a [u8], bool);

    impl Read for Interrupted<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 {
                return Err(ErrorKind::Interrupted.into());
            }
            let count = self.0.len().min(1);
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    #[test]
    fn an_interrupted_read_is_repeated_and_other_errors_are_not() {
        let (mut from, mut buffer) = (Interrupted(b"ab", false), [0; 8]);
        assert_eq!(read(&mut from, &mut buffer).expect("read"), 1);
        assert_eq!(read(&mut from, &mut buffer).expect("read"), 1);
        assert_eq!(read(&mut from, &mut buffer).expect("the end"), 0);
        let mut calls = 0;
        let failed: io::Result<()> = retry(|| {
            calls += 1;
            Err(ErrorKind::WouldBlock.into())
        });
        assert_eq!((failed.expect_err("an error").kind(), calls), (ErrorKind::WouldBlock, 1));
    }
}
