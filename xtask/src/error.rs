//! Errors by exit code. All others are an [`anyhow::Error`] and end with 1.

use std::fmt;

use crate::redact::Redactor;

/// The exit code for a wrong command line or declaration.
pub(crate) const USAGE: u8 = 2;
/// The exit code for a failed build.
pub(crate) const BUILD_FAILED: u8 = 3;
/// The exit code after Ctrl-C, as shells return it for SIGINT.
pub(crate) const INTERRUPTED: u8 = 130;

/// An error with its own exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    /// One of the constants of this module.
    pub code: u8,
    /// The error, and on its own line the advice.
    pub message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// Creates a usage error: exit code 2.
pub(crate) fn usage(message: impl Into<String>) -> anyhow::Error {
    Failure { code: USAGE, message: message.into() }.into()
}

/// Creates the error of a failed build, which the report has described: exit code 3.
pub(crate) fn build_failed(message: impl Into<String>) -> anyhow::Error {
    Failure { code: BUILD_FAILED, message: message.into() }.into()
}

/// Creates the error of an interrupted run: exit code 130.
pub(crate) fn interrupted() -> anyhow::Error {
    Failure { code: INTERRUPTED, message: "interrupted".into() }.into()
}

/// Returns the error with secrets redacted.
pub(crate) fn redacted(error: &anyhow::Error, redactor: &Redactor) -> anyhow::Error {
    let message = redactor.text(&format!("{error:#}")).into_owned();
    Failure { code: exit_code(error), message }.into()
}

/// Returns the exit code of an error.
pub(crate) fn exit_code(error: &anyhow::Error) -> u8 {
    error.downcast_ref::<Failure>().map_or(1, |failure| failure.code)
}
