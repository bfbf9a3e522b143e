//! The plan: the steps of a build with their reasons, resolved and serializable. Pure: made from
//! facts, executed unchanged.

pub(crate) mod allow;
mod arguments;
pub(crate) mod bake_args;
mod base_layout;
pub(crate) mod build;
pub(crate) mod build_facts;
pub(crate) mod builder;
pub(crate) mod builder_options;
pub(crate) mod bundle;
pub(crate) mod caches;
pub(crate) mod fresh;
pub(crate) mod gc;
pub(crate) mod mounts;
pub(crate) mod options;
mod outputs;
pub(crate) mod packages;
pub(crate) mod pins;
pub(crate) mod planned_target;
pub(crate) mod push;
pub(crate) mod registry_state;
pub(crate) mod right;
pub(crate) mod save;
pub(crate) mod up_to_date;

#[cfg(test)]
pub(crate) mod tests;
