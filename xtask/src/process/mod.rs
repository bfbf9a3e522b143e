//! Child processes that answer a question, the signals that end this process, and its standard streams.

pub mod query;
pub mod root;
pub mod signals;
pub mod stdio;
