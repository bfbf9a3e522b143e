//! The commands: thin files, each from options to facts, plan, execution and report.

pub mod bench;
pub mod build;
pub mod builder;
pub mod cache;
pub mod doctor;
pub mod explain;
pub mod history;
pub mod outdated;
pub mod pins;
mod removal;
pub mod report;
pub mod setup;
pub mod smoke;
pub mod test;
