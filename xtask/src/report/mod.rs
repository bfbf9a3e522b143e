//! Renders outcomes as text, Markdown and HTML.

pub(crate) mod builder;
pub(crate) mod comparison;
pub(crate) mod detail;
pub(crate) mod explain;
#[cfg(test)]
mod fixtures;
pub(crate) mod forecast;
pub(crate) mod format;
pub(crate) mod history;
pub(crate) mod html;
pub(crate) mod markdown;
pub(crate) mod pins;
pub(crate) mod plan;
pub(crate) mod sparkline;
pub(crate) mod store;
pub(crate) mod summary;
pub(crate) mod timeline;
pub(crate) mod view;
