//! File locks of the kernel on the store. Builds hold the entries that they read, for any time. The
//! store itself is locked only for renames, which take milliseconds. A dead process holds nothing.

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::io::Errno;

use super::format_change;
use crate::files;
use crate::layout::Layout;
use crate::process::signals;
use crate::store::contents::HELD;

/// The timeout for a lock. Others hold it for milliseconds, but a process may have been stopped.
const LOCK_TIMEOUT: Duration = Duration::from_secs(30);
/// The time between attempts.
const PAUSE: Duration = Duration::from_millis(5);

/// The store's lock. Until it is dropped, no other process renames anything in the store.
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of a store that is about to change. The store has our format from then on.
    pub(crate) fn exclusive(layout: &Layout) -> Result<Self> {
        let lock = Self::of_any_format(layout)?;
        format_change::ensure(layout)?;
        Ok(lock)
    }

    /// Takes the lock of a store of any format.
    pub(crate) fn of_any_format(layout: &Layout) -> Result<Self> {
        Self::of_file(layout, &layout.lock_file(), |path| open_lock(layout, path))
    }

    /// Takes the lock of the reservations. Until it is dropped, no other process reserves space.
    /// It is another one than the store's, which the removal of entries takes.
    pub(crate) fn for_reservations(layout: &Layout) -> Result<Self> {
        Self::of_file(layout, &layout.reservations_lock(), open_file)
    }

    fn of_file(layout: &Layout, path: &Path, open: impl Fn(&Path) -> io::Result<File>) -> Result<Self> {
        let file = files::make_dir(&layout.store)
            .and_then(|()| open(path))
            .with_context(|| format!("failed to open `{}`", path.display()))?;
        if !wait(&file, File::try_lock).with_context(|| format!("failed to lock `{}`", path.display()))? {
            bail!(
                "`{}` has been locked for {} s by a process that was stopped\nfind it with: fuser {0}",
                path.display(),
                LOCK_TIMEOUT.as_secs()
            );
        }
        Ok(Self { _file: file })
    }
}

/// Returns why a store can't be locked: its file system has no locks, or its lock can't be opened.
pub(crate) fn refusal(layout: &Layout) -> Option<String> {
    if !layout.store.exists() {
        return None;
    }
    let file = match open_lock(layout, &layout.lock_file()) {
        Ok(file) => file,
        Err(error) => return Some(format!("`{}`: {error}", layout.lock_file().display())),
    };
    match file.try_lock_shared() {
        Ok(()) | Err(TryLockError::WouldBlock) => None,
        Err(TryLockError::Error(error)) if is_unsupported(&error) => {
            Some(format!("its file system does not support file locks: {error}"))
        }
        Err(TryLockError::Error(error)) => Some(error.to_string()),
    }
}

/// Returns whether an error of a lock means that the file system has none.
fn is_unsupported(error: &io::Error) -> bool {
    let errors = [Errno::NOLCK, Errno::NOSYS, Errno::OPNOTSUPP, Errno::BADF, Errno::INVAL];
    error.raw_os_error().is_some_and(|code| errors.iter().any(|errno| errno.raw_os_error() == code))
}

/// Entries that are kept until this is dropped. A removal skips them.
#[derive(Debug, Default)]
pub(crate) struct Holds {
    files: Vec<File>,
}

impl Holds {
    /// Holds directories of the store, each once, except those that are gone.
    pub(crate) fn of<'a>(dirs: impl IntoIterator<Item = &'a Path>) -> Self {
        let dirs: BTreeSet<&Path> = dirs.into_iter().collect();
        Self { files: dirs.into_iter().filter_map(hold).collect() }
    }

    /// Holds one more directory and returns whether it still exists. A file system without locks
    /// holds nothing, and nothing is removed there either. In a read-only store, a directory that
    /// was held once can be held.
    pub(crate) fn add(&mut self, layout: &Layout, dir: &Path) -> bool {
        if layout.replacement.is_none() || dir.join(HELD).exists() {
            self.files.extend(hold(dir));
        }
        dir.is_dir()
    }
}

/// Holds a directory of the store until the file is closed. Waits for a process that is renaming
/// it. Returns `None` if the directory is gone or its file system has no locks.
pub(crate) fn hold(dir: &Path) -> Option<File> {
    let path = dir.join(HELD);
    loop {
        // A read-only store may already have this file.
        let file = open_held(dir).or_else(|_| File::open(&path)).ok()?;
        if !wait(&file, File::try_lock_shared).ok()? {
            return None;
        }
        if is_same(&file, &path) {
            return Some(file);
        }
    }
}

/// A directory that no other process holds or can hold.
pub(crate) struct Claim {
    _file: Option<File>,
}

/// Claims a directory that is about to be renamed or removed. Returns `None` if a process holds it.
/// The caller has the store's lock.
pub(crate) fn claim(dir: &Path) -> Result<Option<Claim>> {
    let path = dir.join(HELD);
    let file = match open_held(dir) {
        Ok(file) => file,
        // Without this file no process holds the directory, and on a full disk no process can
        // create it.
        Err(error) if is_full(&error) && !path.exists() => return Ok(Some(Claim { _file: None })),
        Err(error) => return Err(error).with_context(|| format!("failed to open `{}`", path.display())),
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(Claim { _file: Some(file) })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("failed to lock `{}`", path.display()))
        }
    }
}

fn open_held(dir: &Path) -> io::Result<File> {
    open_file(&dir.join(HELD))
}

/// Opens a file that holds nothing but a lock. A directory of this name is damage.
fn open_file(path: &Path) -> io::Result<File> {
    files::open(path).or_else(|error| {
        if error.kind() == io::ErrorKind::IsADirectory {
            fs::remove_dir_all(path)?;
            return files::open(path);
        }
        Err(error)
    })
}

/// Opens the lock of a store. An empty directory of this name in a store is damage. Any other one
/// belongs to somebody else, who has the directory that was named as the store.
fn open_lock(layout: &Layout, path: &Path) -> io::Result<File> {
    files::open(path).or_else(|error| {
        if error.kind() == io::ErrorKind::IsADirectory && layout.version_file().is_file() {
            fs::remove_dir(path)?;
            return files::open(path);
        }
        Err(error)
    })
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Returns whether a file still has this name.
fn is_same(file: &File, path: &Path) -> bool {
    let id = |meta: fs::Metadata| (meta.dev(), meta.ino());
    file.metadata().ok().map(id).is_some_and(|own| fs::metadata(path).ok().map(id) == Some(own))
}

/// Waits for a lock. Returns whether it was acquired in time.
fn wait(file: &File, try_lock: fn(&File) -> Result<(), TryLockError>) -> Result<bool> {
    let started = Instant::now();
    loop {
        match try_lock(file) {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) if started.elapsed() >= LOCK_TIMEOUT => return Ok(false),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        signals::check()?;
        std::thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_can_not_be_claimed_and_nobody_waits_for_a_build() {
        let dir = tempfile::tempdir().expect("a directory");
        let layout = Layout::new("/", dir.path().join("store"));
        let entry = layout.all_mounts().join("entry");
        assert!(hold(&entry).is_none(), "it is not there");
        files::make_dir(&entry).expect("made");
        let held = [hold(&entry).expect("held"), hold(&entry).expect("by two")];
        // A build holds its entry for any time, and the store's lock stays free.
        let lock = Lock::exclusive(&layout).expect("free");
        assert!(claim(&entry).expect("asked").is_none());
        drop(held);
        let claimed = claim(&entry).expect("asked").expect("nobody holds it");
        drop((lock, claimed));
        assert_eq!(refusal(&layout), None);
        files::make_dir(&layout.reservations_lock().join("in the way")).expect("made");
        drop(Lock::for_reservations(&layout).expect("the directory is removed"));
    }

    #[test]
    fn only_an_empty_directory_in_a_store_is_removed_for_its_lock() {
        let dir = tempfile::tempdir().expect("a directory");
        let layout = Layout::new("/", dir.path());
        let (path, inside) = (layout.lock_file(), layout.lock_file().join("theirs"));
        let is_refused = || refusal(&layout).is_some();
        files::make_dir(&inside).expect("made");
        assert!(is_refused(), "no store yet");
        drop(fs::remove_dir(&inside));
        assert!(is_refused(), "empty, but no store yet");
        fs::write(layout.version_file(), "2").expect("written");
        files::make_dir(&inside).expect("made");
        assert!(is_refused(), "somebody's directory");
        fs::remove_dir(&inside).expect("removed");
        drop(Lock::of_any_format(&layout).expect("it heals"));
        assert!(path.is_file() && refusal(&layout).is_none());
    }

    #[test]
    fn a_hold_waits_for_a_check_and_misses_a_renamed_directory() {
        let dir = tempfile::tempdir().expect("a directory");
        let (entry, gone) = (dir.path().join("entry"), dir.path().join("gone"));
        files::make_dir(&entry).expect("made");
        let claimed = claim(&entry).expect("asked").expect("nobody holds it");
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| hold(&entry));
            fs::rename(&entry, &gone).expect("renamed");
            files::make_dir(&entry).expect("made anew");
            drop(claimed);
            let held = waiting.join().expect("it ended").expect("the new one is there");
            assert!(is_same(&held, &entry.join(HELD)), "the new one is held, not the one that is gone");
        });
    }

    #[test]
    fn file_systems_without_locks_are_known_by_their_errors() {
        for code in [37, 38, 95, 9, 22] {
            assert!(is_unsupported(&io::Error::from_raw_os_error(code)), "{code}");
        }
        assert!(!is_unsupported(&io::Error::from_raw_os_error(13)));
        assert!(!is_unsupported(&io::Error::other("x")));
    }
}
