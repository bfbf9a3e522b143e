//! The engine of a build: Docker Engine, buildx and a builder. This room has their capabilities and
//! their problems ([`problem`]); `provision` installs them.

pub(crate) mod apt;
pub(crate) mod builders;
mod buildx_program;
pub(crate) mod capabilities;
pub(crate) mod daemon_json;
pub(crate) mod disk_usage;
pub(crate) mod facts;
#[cfg(test)]
pub(crate) mod fixtures;
pub(crate) mod gc_limits;
pub(crate) mod images;
pub(crate) mod info;
pub(crate) mod inspect;
pub(crate) mod json_text;
pub(crate) mod legs;
pub(crate) mod os;
pub(crate) mod problem;
pub(crate) mod registry;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The state of the engine and the builder.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct Engine {
    /// The version of the daemon, such as `26.1.5+dfsg1`.
    pub server: String,
    /// The version of buildx.
    pub buildx: Version,
    /// The builder's name.
    pub builder: String,
    /// The builder's driver.
    pub driver: Driver,
    /// A digest of `DOCKER_HOST`, if the builder is that daemon's own: these builders all have one
    /// name. It is empty without that variable.
    #[serde(default)]
    pub daemon: String,
    /// The address of its first node, such as `tcp://buildkit.example:1234`.
    #[serde(default)]
    pub endpoint: String,
    /// Whether the daemon keeps its images in containerd.
    pub containerd_store: bool,
    /// The daemon's platform, such as `linux/amd64`.
    pub platform: String,
    /// The number of processors for the builder's steps; 0 if unknown, as for a remote builder.
    pub processors: u32,
    /// Whether it looks like this machine's own daemon, whose containers can use this machine's
    /// loopback interface.
    pub loopback: bool,
    /// Whether the builder looks like one of this machine, in a network of its own or not.
    #[serde(default)]
    pub is_here: bool,
    /// The program of buildx, if it does the same as `docker buildx`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buildx_program: Option<PathBuf>,
}

impl Engine {
    /// Returns the builder's name in the records of builds. Each builder has results of its own.
    pub(crate) fn recorded(&self) -> String {
        if self.daemon.is_empty() {
            self.builder.clone()
        } else {
            format!("{}@{}", self.builder, self.daemon)
        }
    }
}

/// Drivers of buildx.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Driver {
    /// BuildKit inside the daemon.
    Docker,
    /// BuildKit in a container.
    DockerContainer,
    /// BuildKit at another address.
    Remote,
    /// BuildKit in a cluster.
    Kubernetes,
}

/// A version as `MAJOR.MINOR`, which is all that decisions need.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32);

impl Version {
    /// Parses `0.13.1+ds1`, `v0.29.1` and the like.
    pub fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.trim().trim_start_matches('v').split(|c: char| !c.is_ascii_digit());
        Some(Self(numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// The oldest supported buildx, from Debian 13.
pub const OLDEST_BUILDX: Version = Version(0, 13);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn daemons_of_one_name_have_records_of_their_own() {
        let daemon = |digest: &str| Engine { daemon: digest.into(), ..fixtures::engine() }.recorded();
        assert_eq!(daemon(""), fixtures::engine().builder);
        assert!(daemon("a") != daemon("b") && daemon("a") != daemon(""));
    }

    #[test]
    fn versions_are_read_as_distributions_write_them() {
        assert_eq!(Version::parse("0.13.1+ds1"), Some(Version(0, 13)));
        assert_eq!(Version::parse("v0.29.1-desktop.1"), Some(Version(0, 29)));
        assert_eq!(Version::parse("dev"), None);
        assert!(Version(0, 9) < OLDEST_BUILDX);
    }
}
