//! provision.
