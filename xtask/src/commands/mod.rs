//! The commands: thin files, each from options to facts, plan, execution and report.

pub mod bench;
pub mod build;
pub mod builder;
pub mod doctor;
pub mod gather;
pub mod pins;
pub mod registries;
pub mod setup;
pub mod smoke;
pub mod test;
