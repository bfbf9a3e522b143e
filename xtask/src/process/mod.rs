//! Child processes for queries, the signals that end this process, and its standard streams.

pub(crate) mod collect;
pub(crate) mod query;
pub(crate) mod retry;
pub(crate) mod root;
pub(crate) mod signals;
pub(crate) mod stdio;
