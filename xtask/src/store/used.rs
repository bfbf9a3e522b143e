//! Noting that something of the store was of use: what is used least goes first.

use std::fs::File;
use std::path::Path;
use std::time::SystemTime;

/// Touches the file `used` in a generation's or a mount's folder. Where that is refused, it only goes earlier than it should.
pub fn mark_used(dir: &Path) {
    if dir.join("entry.json").is_file() {
        let _ = File::options()
            .create(true)
            .append(true)
            .open(dir.join("used"))
            .and_then(|file| file.set_modified(SystemTime::now()));
    }
}
