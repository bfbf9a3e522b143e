//! The only room that changes the world: runs steps and builds, and passes signals on.

pub(crate) mod bake;
pub(crate) mod budget;
pub(crate) mod bundle;
mod complete;
mod complete_push;
mod document_server;
pub(crate) mod gc;
pub(crate) mod idle_timeout;
pub(crate) mod mount_store;
pub(crate) mod mounts;
pub(crate) mod provisioning;
pub(crate) mod push;
pub(crate) mod read_only_store;
pub(crate) mod registry;
mod reservation;
mod results;
pub(crate) mod save;
pub(crate) mod scratch;
pub(crate) mod steps;
pub(crate) mod supervisor;
