//! The commands: thin files, each from options to facts, plan, execution and report.

mod after;
pub mod bench;
pub mod build;
pub mod cache;
pub mod doctor;
pub mod gather;
pub mod pins;
pub mod registries;
mod run;
pub mod setup;
pub mod smoke;
pub mod test;
