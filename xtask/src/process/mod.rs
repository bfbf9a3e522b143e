//! Child processes that only answer a question, and the signals that end this one.

pub mod ask;
pub mod root;
pub mod signals;
