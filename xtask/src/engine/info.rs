//! The answer of `docker info` about the engine and its client.

use serde::Deserialize;

use super::Version;

/// The relevant fields of `docker info --format '{{json .}}'`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Info {
    #[serde(default)]
    pub(crate) server_version: String,
    #[serde(default, rename = "OSType")]
    pub(super) os_type: String,
    #[serde(default)]
    pub(super) architecture: String,
    #[serde(default, rename = "NCPU")]
    pub(super) processors: u32,
    #[serde(default)]
    security_options: Option<Vec<String>>,
    #[serde(default)]
    driver_status: Option<Vec<[String; 2]>>,
    #[serde(default)]
    pub(crate) server_errors: Vec<String>,
    #[serde(default)]
    pub(crate) images: u64,
    #[serde(default)]
    pub(crate) docker_root_dir: String,
    client_info: ClientInfo,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ClientInfo {
    #[serde(default)]
    version: String,
    #[serde(default)]
    plugins: Option<Vec<Plugin>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Plugin {
    name: String,
    #[serde(default)]
    pub(crate) version: String,
    #[serde(default)]
    pub(crate) path: String,
}

impl Info {
    /// Returns whether it is rootless, in its own network.
    pub(super) fn is_rootless(&self) -> bool {
        self.security_options.iter().flatten().any(|option| option.contains("rootless"))
    }

    pub(crate) fn buildx(&self) -> Option<Version> {
        Version::parse(&self.plugin("buildx")?.version)
    }

    /// Returns the version of the client.
    pub(crate) fn client(&self) -> &str {
        &self.client_info.version
    }

    /// Returns a plugin of the client.
    pub(crate) fn plugin(&self, name: &str) -> Option<&Plugin> {
        self.client_info.plugins.as_deref()?.iter().find(|plugin| plugin.name == name)
    }

    /// Returns whether the daemon answered.
    pub(crate) fn is_up(&self) -> bool {
        !self.server_version.is_empty()
    }

    /// Returns whether the daemon refuses this user.
    pub(crate) fn is_forbidden(&self) -> bool {
        self.server_errors.iter().any(|words| words.contains("permission denied"))
    }

    /// The daemon reports this in its driver status (moby 26:
    /// `driver-type io.containerd.snapshotter.v1`).
    pub(crate) fn containerd_store(&self) -> bool {
        let status = self.driver_status.as_deref().unwrap_or_default();
        status
            .iter()
            .any(|[name, value]| name == "driver-type" && value.starts_with("io.containerd.snapshotter"))
    }
}
