//! Locks that tests of all processes of this machine share, since they share one engine.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::{Duration, Instant};

/// A cold build of the images, and a test before it.
const LIMIT: Duration = Duration::from_secs(25 * 60);

/// Waits for a file that nobody else has locked. It is unlocked on drop.
pub fn exclusive(path: &Path) -> File {
    lock(path, File::try_lock)
}

/// The image `durango/frankenphp:latest`: nobody gives this name to another image until the drop.
pub fn runtime_image() -> File {
    lock(&of_runtime_image(), File::try_lock_shared)
}

/// Nobody uses `durango/frankenphp:latest` until the drop.
pub fn runtime_image_changes() -> File {
    lock(&of_runtime_image(), File::try_lock)
}

fn of_runtime_image() -> std::path::PathBuf {
    std::env::temp_dir().join("durango-test-runtime-image.lock")
}

fn lock(path: &Path, try_lock: fn(&File) -> Result<(), TryLockError>) -> File {
    let file = File::create(path).expect("a lock");
    let begun = Instant::now();
    loop {
        match try_lock(&file) {
            Ok(()) => return file,
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => panic!("{}: {error}", path.display()),
        }
        assert!(begun.elapsed() < LIMIT, "{} is locked by another test", path.display());
        std::thread::sleep(Duration::from_millis(50));
    }
}
