//! Names and sizes that hold where nothing else is chosen.

/// The image that pins.env names, where there is no pins.env.
pub(crate) const PINNED: &str = "debian:13-slim";

/// What a bootstrapped image is called.
pub(crate) const TAG: &str = "durango/debian:trixie";

/// Debian's keys, where Debian and Ubuntu keep them and the bootstrapped image will.
pub(crate) const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// How large a builder's cache may grow, in GB.
pub(crate) const SIZE: u64 = 40;
