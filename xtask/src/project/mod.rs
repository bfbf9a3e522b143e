//! What is to be built: the declaration as `docker buildx bake --print` makes it of a Compose or bake file, the pinned
//! versions, and what the host lends a build as secrets. Reads only.

pub(crate) mod app;
mod compose;
pub mod context;
pub mod declaration;
pub mod dockerfile;
pub mod graph;
pub mod ignore;
pub mod inputs;
pub mod mount;
pub mod overrides;
pub(crate) mod packages;
pub mod pins;
pub(crate) mod project_name;
mod remembered;
pub mod requested;
pub mod secrets;
mod templates;
pub(crate) mod typed_paths;

pub use declaration::{Declaration, Target};
