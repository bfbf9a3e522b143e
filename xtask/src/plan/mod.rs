//! The plan: what will be done and why, resolved and serialisable. Pure: made of facts, executed as it stands.

pub(crate) mod allow;
mod arguments;
pub mod bake_args;
pub mod build;
pub mod builder;
pub mod builder_options;
pub mod bundle;
pub mod caches;
pub mod fresh;
pub mod gc;
pub mod mounts;
pub mod options;
pub(crate) mod packages;
pub mod pins;
pub mod push;
pub mod registry_state;
pub mod save;

#[cfg(test)]
pub(crate) mod tests;
