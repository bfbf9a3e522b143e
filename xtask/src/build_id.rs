//! Ids of builds.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

/// Returns a build's id: its start time and a random number, so that ids sort by time and are
/// unique.
pub(crate) fn new_id(now: Timestamp, random: u32) -> String {
    format!("{}-{random:08x}", now.strftime("%Y%m%d-%H%M%S"))
}

/// Returns the start time of a build from its id.
pub(crate) fn begun(id: &str) -> Option<Timestamp> {
    let time = DateTime::strptime("%Y%m%d-%H%M%S", id.get(..15)?).ok()?;
    Offset::UTC.to_timestamp(time).ok()
}

/// Returns a number that no other call is likely to give, in this process or another one.
pub(crate) fn random() -> u32 {
    use std::hash::{BuildHasher, Hasher};
    // The keys of the standard library's hash maps come from the kernel.
    let number = std::collections::hash_map::RandomState::new().build_hasher().finish();
    u32::try_from(number >> 32).unwrap_or_default()
}
