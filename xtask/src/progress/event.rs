//! The events that observers of a build get.

/// The meaning of one chunk of the stream for an observer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A vertex started.
    Started(String),
    /// A vertex ended.
    Ended(String),
    /// A vertex printed a line.
    Line(String, String),
    /// A vertex transferred bytes.
    Progress(String),
    /// The frontend warns.
    Warning(String),
}
