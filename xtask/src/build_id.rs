//! Ids of builds.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

/// Returns a build's id: its start time to the microsecond and a random number, so that ids sort by
/// time and are unique. Many builds take less than a second.
pub(crate) fn new_id(now: Timestamp, random: u32) -> String {
    let microseconds = now.subsec_nanosecond().unsigned_abs() / 1000;
    format!("{}-{microseconds:05x}{:03x}", now.strftime("%Y%m%d-%H%M%S"), random >> 20)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time_within_a_second() {
        let second = Timestamp::from_second(1_795_000_000).expect("in range");
        let at = |micros: i64| second + jiff::SignedDuration::from_micros(micros);
        let ids = [(0, u32::MAX), (1, 0), (200, 0), (65_536, 1), (999_999, 0), (1_000_000, 0)];
        let ids = ids.map(|(micros, random)| new_id(at(micros), random));
        assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
        assert!(ids.iter().all(|id| id.len() == 24 && begun(id).is_some()), "{ids:?}");
        assert_eq!(begun(&ids[4]), Some(second));
        assert_eq!(begun("20261126-000001-1f3a").map(|time| time.subsec_nanosecond()), Some(0));
    }
}
