//! The age of files, by clocks that may be wrong.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;

/// A new file of a save may not be named yet, and a new directory of a build may not be locked yet.
pub(super) const YOUNG: Duration = Duration::from_secs(3600);
/// The maximum clock difference of machines that share a store.
const SKEW: Duration = Duration::from_secs(3600);
/// The time for which a scratch directory of another machine is kept.
pub(super) const ABANDONED: Duration = Duration::from_secs(30 * 86_400);

/// Returns whether a file was changed within this time. A time in the future comes from a wrong
/// clock and counts as old.
pub(super) fn is_younger(path: &Path, age: Duration) -> bool {
    let Ok(changed) = fs::metadata(path).and_then(|meta| meta.modified()) else { return false };
    let now = SystemTime::now();
    changed <= now + SKEW && now.duration_since(changed).unwrap_or_default() < age
}

pub(super) fn modified(path: &Path) -> Option<Timestamp> {
    time(fs::metadata(path).ok()?.modified().ok()?)
}

fn time(time: SystemTime) -> Option<Timestamp> {
    Timestamp::try_from(time).ok()
}

/// Returns the time of the file `used` next to an entry, which every use touches.
pub(super) fn used(dir: &Path, saved: Timestamp) -> Timestamp {
    modified(&dir.join("used")).unwrap_or(saved)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_in_the_future_is_old() {
        let dir = tempfile::tempdir().expect("a directory");
        assert!(is_younger(dir.path(), YOUNG));
        assert!(!is_younger(dir.path(), Duration::ZERO));
        let future = SystemTime::now() + Duration::from_secs(400 * 86_400);
        fs::File::open(dir.path()).expect("opened").set_modified(future).expect("set");
        assert!(!is_younger(dir.path(), ABANDONED), "a time in the future protects nothing");
    }
}
