//! The input of a build: the declaration as `docker buildx bake --print` resolves it, the pinned
//! versions, and the host's settings that are passed as secrets. Reads only.

pub(crate) mod app;
mod compose;
pub(crate) mod context;
mod declaration;
pub(crate) mod declaration_query;
pub(crate) mod dockerfile;
pub(crate) mod graph;
pub(crate) mod ignore;
pub(crate) mod image_reference;
pub(crate) mod input_files;
pub(crate) mod inputs;
pub(crate) mod mount;
pub(crate) mod overrides;
pub(crate) mod packages;
pub(crate) mod pins;
pub(crate) mod project_name;
pub(crate) mod release_files;
pub(crate) mod remembered;
pub(crate) mod remote;
pub(crate) mod requested;
pub(crate) mod run_settings;
pub(crate) mod secret_source;
pub(crate) mod secrets;
mod target;
mod templates;
pub(crate) mod typed_paths;
mod whole;

pub(crate) use declaration::Declaration;
pub(crate) use target::Target;
