//! The differences between engines, by name, so that no caller compares versions.
//!
//! The capabilities here follow from the driver and the image store. Other differences are detected
//! where they matter: JSON of the disk usage ([`super::disk_usage`]), escapes in bake's output
//! (`project::templates`), rules of the garbage collection ([`super::gc_limits`]), `service:`
//! contexts, which an old bake prints unchanged (`Declaration::links`).

use serde::Serialize;

use super::{Driver, Engine, Version};

/// The capabilities of an engine and its builder.
#[derive(Debug, Clone, Copy, Serialize, PartialEq, Eq)]
pub struct Capabilities {
    /// The daemon keeps images in its classic store, which has no manifest lists: no multi-platform
    /// images, and none with attestations.
    pub classic_image_store: bool,
    /// Writes a cache to a local directory: every driver except `docker` with the classic store.
    pub supports_local_cache_export: bool,
    /// Makes images with OCI media types, one of which is for zstd. The same drivers.
    pub uses_oci_media_types: bool,
    /// Builds on images of the daemon: only the `docker` driver.
    pub sees_local_images: bool,
    /// Runs every step whose result is a layer on a base image again once one record was removed,
    /// by a prune or by its own garbage collection: the BuildKit inside the daemon (measured,
    /// Docker 26.1 and 28.5). Results on `scratch` stay, and so does a step below a result that
    /// stays. A BuildKit of its own forgets that one result (measured, 0.34).
    pub forgets_results_after_prune: bool,
    /// Passes several extra hosts in the same order in each call: buildx from 0.34 on.
    pub sorts_extra_hosts: bool,
    /// Finds each step that any of several saved results has: the BuildKit of Docker 26.1. That of
    /// Docker 28.5 misses some (measured), and newer ones are not known to find them.
    pub merges_saved_results: bool,
    /// Compares the content of the root of a RUN with a secret or an SSH agent, not the steps
    /// before it: the BuildKit of Docker 26.1, and not that of 28.5 (measured).
    pub compares_roots: bool,
    /// Gives directories that WORKDIR makes the date of `SOURCE_DATE_EPOCH`, which is in their key
    /// then: from BuildKit 0.22 on, the one of Docker 28.2 (measured on 26.1 and 28.5).
    pub dates_directories: bool,
}

impl Engine {
    /// Returns the capabilities of this engine.
    pub fn capabilities(&self) -> Capabilities {
        let is_docker = self.driver == Driver::Docker;
        let is_classic = !self.containerd_store;
        let is_before = |version: Version| {
            is_docker && Version::parse(&self.server).is_some_and(|server| server < version)
        };
        let is_old = is_before(Version(27, 0));
        Capabilities {
            classic_image_store: is_classic,
            supports_local_cache_export: !(is_docker && is_classic),
            uses_oci_media_types: !(is_docker && is_classic),
            sees_local_images: is_docker,
            forgets_results_after_prune: is_docker,
            sorts_extra_hosts: self.buildx >= Version(0, 34),
            merges_saved_results: is_old,
            compares_roots: is_old,
            dates_directories: !is_before(Version(28, 2)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::engine;
    use super::*;

    #[test]
    fn directories_have_a_date_from_docker_28_2_on() {
        let dates = |server: &str, driver: Driver| {
            Engine { server: server.into(), driver, ..engine() }.capabilities().dates_directories
        };
        let of = |server: &str| dates(server, Driver::Docker);
        assert_eq!(
            ["26.1.5", "27.5.1", "28.1.1", "28.2.0", "28.5.2", "29.0.0"].map(of),
            [false, false, false, true, true, true]
        );
        assert!(dates("26.1.5", Driver::DockerContainer), "its BuildKit is its own");
    }
}
