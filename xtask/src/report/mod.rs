//! Renders outcomes for people: text, Markdown and HTML.

pub mod builder;
pub mod comparison;
pub mod detail;
pub mod explain;
#[cfg(test)]
mod fixtures;
pub mod forecast;
pub mod format;
pub mod history;
pub mod html;
pub mod markdown;
pub mod pins;
pub mod plan;
pub mod sparkline;
pub mod store;
pub mod summary;
pub mod timeline;
pub mod view;
