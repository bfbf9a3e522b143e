//! Marks entries of the store as used. The least recently used ones are removed first.

use std::fs::File;
use std::path::Path;
use std::time::SystemTime;

use jiff::Timestamp;

use crate::files;
use crate::store::contents::{Contents, ItemKind};

/// The difference of clocks in seconds from which a time counts as wrong.
const SKEW: i64 = 3600;

/// The file whose time is that of the last use.
pub(crate) const USED: &str = "used";

/// Touches the file `used` in the directory of a result or mount. If that fails, the entry is only
/// removed earlier.
pub(crate) fn mark_used(dir: &Path) {
    if dir.join("entry.json").is_file() {
        let _ = files::append(&dir.join(USED)).and_then(|file| file.set_modified(SystemTime::now()));
    }
}

/// Corrects times in the future, which come from a wrong clock: such an entry would never be
/// removed.
pub(crate) fn correct_times(contents: &Contents, now: Timestamp) {
    let is_wrong = |used: Timestamp| used.as_second() > now.as_second() + SKEW;
    for item in contents.items.iter().filter(|item| is_wrong(item.used)) {
        match item.kind {
            ItemKind::Layers | ItemKind::Mounts => mark_used(&item.path),
            _ => drop(File::open(&item.path).and_then(|dir| dir.set_modified(SystemTime::now()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::layout::Layout;

    #[test]
    fn a_time_in_the_future_is_corrected() {
        let store = tempfile::tempdir().expect("a directory");
        let layout = Layout::new("/", store.path());
        let mount = layout.all_mounts().join("m-00000000");
        let build = layout.build("20260101-000000-1");
        for dir in [&mount, &build] {
            std::fs::create_dir_all(dir).expect("made");
        }
        std::fs::write(mount.join("entry.json"), "{}").expect("written");
        mark_used(&mount);
        let future = SystemTime::now() + Duration::from_secs(400 * 86_400);
        for path in [mount.join("used"), mount.clone(), build] {
            File::open(path).expect("there").set_modified(future).expect("set");
        }
        let now = Timestamp::now();
        let latest = || Contents::read(&layout).items.iter().map(|item| item.used).max();
        assert!(latest() > Some(now));
        correct_times(&Contents::read(&layout), now);
        let limit = Timestamp::from_second(now.as_second() + 60).ok();
        assert!(Contents::read(&layout).of(ItemKind::Builds).all(|item| Some(item.used) < limit));
        assert!(std::fs::metadata(mount.join("used")).expect("there").modified().expect("a time") < future);
    }
}
