//! The only room that changes the world: runs steps and builds, decodes their progress, passes signals on.

pub mod bake;
pub mod budget;
pub mod bundle;
pub mod gc;
pub mod idle_timeout;
pub mod mount_store;
pub mod mounts;
pub mod push;
pub mod registry;
mod results;
pub mod save;
pub mod scratch;
pub mod steps;
mod supervisor;
