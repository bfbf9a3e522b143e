//! The plan: what will be done and why, resolved and serialisable. Pure: made of facts, executed as
//! it stands.

pub(crate) mod allow;
mod arguments;
pub(crate) mod bake_args;
pub(crate) mod build;
pub(crate) mod builder;
pub(crate) mod builder_options;
pub(crate) mod bundle;
pub(crate) mod caches;
pub(crate) mod fresh;
pub(crate) mod gc;
pub(crate) mod mounts;
pub(crate) mod options;
pub(crate) mod packages;
pub(crate) mod pins;
pub(crate) mod push;
pub(crate) mod registry_state;
pub(crate) mod save;

#[cfg(test)]
pub(crate) mod tests;
