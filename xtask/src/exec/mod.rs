//! The only room that changes the world: runs steps and builds, decodes their progress, passes signals on.

pub mod signals;
pub mod steps;
