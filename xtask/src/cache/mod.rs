//! The store.
pub mod memo;
