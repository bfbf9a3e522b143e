//! Default names and sizes.

/// The pinned image if there is no pins.env.
pub(crate) const PINNED: &str = "debian:13-slim";

/// The name of a bootstrapped image.
pub(crate) const TAG: &str = "durango/debian:trixie";

/// The path of Debian's keys on Debian, on Ubuntu, and in the bootstrapped image.
pub(crate) const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// The maximum size of a builder's cache in GB.
pub(crate) const SIZE: u64 = 40;
