//! The plan: what will be done and why, resolved and serialisable. Pure: made of facts, executed as it stands.

pub mod build;
pub mod builder;
pub mod builder_options;
pub mod bundle;
pub mod caches;
pub mod call;
pub mod fresh;
pub mod gc;
pub mod held;
pub mod mount_file;
pub mod mount_image;
pub mod mount_plan;
pub mod mounts;
pub mod options;
pub mod pins;
pub mod push;
pub mod save;
pub mod transfer;
mod transfer_call;

#[cfg(test)]
mod tests;
