//! A Dockerfile as far as decisions need it: its stages, their instructions, and the cache mounts of its RUNs.

use crate::cache::mount::{MountIdentity, Sharing};

/// A cache mount of a RUN, its options resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheMount {
    /// What BuildKit knows it by.
    pub identity: MountIdentity,
    /// How it is shared.
    pub sharing: Sharing,
    /// Where it is mounted.
    pub target: String,
}
