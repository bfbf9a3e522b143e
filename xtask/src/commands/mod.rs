//! The commands: thin files, each from options to facts, plan, execution and report.

mod after;
mod aside;
pub mod bench;
pub mod build;
pub mod builder;
pub mod cache;
pub mod doctor;
pub mod explain;
mod foresee;
pub mod gather;
pub mod history;
mod keep;
mod lacking;
pub mod pins;
pub mod registries;
mod removal;
pub mod report;
mod run;
pub mod setup;
pub mod smoke;
pub mod test;
