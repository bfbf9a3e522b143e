//! Renders outcomes for people: text, Markdown and HTML.

pub mod against;
pub mod builder;
pub mod detail;
pub mod explain;
pub mod forecast;
pub mod history;
pub mod html;
pub mod markdown;
pub mod pins;
pub mod plan;
#[cfg(test)]
mod sample;
pub mod spark;
pub mod store;
pub mod story;
pub mod text;
pub mod timeline;
pub mod words;
