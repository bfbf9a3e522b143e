//! Saying what was found and done: text and JSON.

pub mod json;
