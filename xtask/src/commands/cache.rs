//! The subcommands of `cache`: the store and the builder's own cache.

mod builder;
pub(crate) mod bundle;
pub(crate) mod key;
mod other_format;
pub(crate) mod show;
pub(crate) mod tidy;
