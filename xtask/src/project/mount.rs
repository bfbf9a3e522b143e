//! The identity of cache mounts.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// How several steps may use a cache mount at once, as its `sharing=` says.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[serde(rename_all = "lowercase")]
pub enum Sharing {
    /// All at once; the default.
    #[default]
    Shared,
    /// A second step gets another, empty mount.
    Private,
    /// A second step waits.
    Locked,
}

impl fmt::Display for Sharing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Shared => "shared",
            Self::Private => "private",
            Self::Locked => "locked",
        })
    }
}

/// The identity of a cache mount in BuildKit. A difference silently selects another, empty mount.
/// `uid=0` alone equals `mode=0755`, and neither equals a mount without options (measured), hence
/// the options.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MountIdentity {
    /// The project that filled it. The content of one project never gets into another one's,
    /// although BuildKit doesn't separate projects.
    #[serde(default)]
    pub project: String,
    /// `BUILDKIT_CACHE_MOUNT_NS`; empty if it is not set.
    pub namespace: String,
    /// `id=`, else the normalized target.
    pub id: String,
    /// `from=` with the target of the declaration that has that stage, such as `app/seed`.
    pub from: Option<String>,
    /// `source=` within it.
    pub source: Option<String>,
    /// `uid=`.
    pub uid: Option<u32>,
    /// `gid=`.
    pub gid: Option<u32>,
    /// `mode=`, octal as written.
    pub mode: Option<String>,
}

impl MountIdentity {
    /// Returns its directory name in the store: its project and id, restricted to characters of
    /// file names, and a digest of the identity.
    pub fn slug(&self) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
        let short = |text: &str, width| -> String {
            text.trim_matches(['/', '.']).chars().map(plain).take(width).collect()
        };
        let json = serde_json::to_vec(self).unwrap_or_default();
        let digest = format!("{:x}", Sha256::digest(json));
        format!("{}-{}-{}", short(&self.project, 16), short(&self.id, 32), &digest[..8])
    }
}
