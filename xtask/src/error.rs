//! What can go wrong, by exit code. Everything else is an [`anyhow::Error`] and ends with 1.

use std::fmt;

use crate::redact::Redactor;

/// Exit code for a wrong command line or declaration.
pub(crate) const USAGE: u8 = 2;
/// Exit code for a build that failed.
pub(crate) const BUILD_FAILED: u8 = 3;
/// Exit code after Ctrl-C, as shells give it for SIGINT.
pub(crate) const INTERRUPTED: u8 = 130;

/// An error with an exit code of its own.
#[derive(Debug)]
pub(crate) struct Failure {
    /// One of the constants of this module.
    pub code: u8,
    /// What, where, and on a line of its own what to do next.
    pub message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// The user's words are off: exit code 2.
pub(crate) fn usage(message: impl Into<String>) -> anyhow::Error {
    Failure { code: USAGE, message: message.into() }.into()
}

/// A build failed and the report has said so: exit code 3.
pub(crate) fn build_failed(message: impl Into<String>) -> anyhow::Error {
    Failure { code: BUILD_FAILED, message: message.into() }.into()
}

/// The user stopped the run: exit code 130.
pub(crate) fn interrupted() -> anyhow::Error {
    Failure { code: INTERRUPTED, message: "interrupted".into() }.into()
}

/// The same error without secrets.
pub(crate) fn redacted(error: &anyhow::Error, redactor: &Redactor) -> anyhow::Error {
    let message = redactor.text(&format!("{error:#}")).into_owned();
    Failure { code: exit_code(error), message }.into()
}

/// The exit code that an error ends the process with.
pub(crate) fn exit_code(error: &anyhow::Error) -> u8 {
    error.downcast_ref::<Failure>().map_or(1, |failure| failure.code)
}
