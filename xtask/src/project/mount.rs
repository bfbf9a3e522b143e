//! What BuildKit tells one cache mount from another by.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// How a cache mount may be used by several steps at once, as its `sharing=` says.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[serde(rename_all = "lowercase")]
pub enum Sharing {
    /// By all at once; the default.
    #[default]
    Shared,
    /// A second one gets another, empty mount.
    Private,
    /// A second one waits.
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

/// What BuildKit tells one cache mount from another by; a difference silently addresses another, empty mount. `uid=0` alone
/// equals `mode=0755`, and neither equals no option at all (measured), hence the options.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MountIdentity {
    /// The project that filled it: one project's content never gets into another one's. BuildKit does not tell projects apart.
    #[serde(default)]
    pub project: String,
    /// `BUILDKIT_CACHE_MOUNT_NS`; empty where it is not set.
    pub namespace: String,
    /// `id=`, else the cleaned target.
    pub id: String,
    /// `from=` with the target of the declaration that owns that stage, as `app/seed`.
    pub from: Option<String>,
    /// `source=` within it.
    pub source: Option<String>,
    /// `uid=`.
    pub uid: Option<u32>,
    /// `gid=`.
    pub gid: Option<u32>,
    /// `mode=`, in octal as it is written.
    pub mode: Option<String>,
}

impl MountIdentity {
    /// Its directory in the store: its project and id as far as a file name takes them, and a digest of all of it.
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
