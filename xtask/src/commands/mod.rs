//! The commands: thin files, each from options to facts, plan, execution and report.

pub(crate) mod bench;
pub(crate) mod build;
pub(crate) mod builder;
pub(crate) mod cache;
pub(crate) mod candidates;
pub(crate) mod doctor;
pub(crate) mod explain;
pub(crate) mod history;
pub(crate) mod outdated;
pub(crate) mod pins;
mod removal;
pub(crate) mod report;
pub(crate) mod setup;
pub(crate) mod smoke;
pub(crate) mod test;
