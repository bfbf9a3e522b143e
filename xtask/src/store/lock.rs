//! The store's kernel file lock: shared to read a generation, exclusive to swap one. A dead process holds none.

use std::fs::{File, OpenOptions, TryLockError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::layout::Layout;
use crate::process::signals;
use crate::store::key::FORMAT;

/// How long a swap waits for builds that read.
const LOCK_TIMEOUT: Duration = Duration::from_secs(30);

/// A lock that is held until it is dropped.
pub struct Lock {
    _file: Option<File>,
}

impl Lock {
    /// Held while BuildKit may read generations.
    pub fn shared(layout: &Layout) -> Result<Self> {
        if layout.aside.is_some() {
            // Who may only read a store needs no more to lock it; where there is no lock, nobody ever swapped anything.
            let Ok(file) = File::open(layout.lock_file()) else { return Ok(Self { _file: None }) };
            return wait(&file, File::try_lock_shared, layout).map(|()| Self { _file: Some(file) });
        }
        take(layout, File::try_lock_shared)
    }

    /// The same as [`Self::exclusive`], at once or not at all: `None` while somebody reads.
    pub fn exclusive_now(layout: &Layout) -> Result<Option<Self>> {
        let file = open(layout)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: Some(file) })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }

    /// Held while generations are swapped or removed.
    pub fn exclusive(layout: &Layout) -> Result<Self> {
        take(layout, File::try_lock)
    }

    /// The exclusive one, for who adds to the store; a new store says its format from then on.
    pub fn writing(layout: &Layout) -> Result<Self> {
        let lock = Self::exclusive(layout)?;
        if !layout.version_file().exists() {
            std::fs::write(layout.version_file(), FORMAT.to_string())?;
        }
        Ok(lock)
    }
}

type TryLock = fn(&File) -> Result<(), TryLockError>;

fn take(layout: &Layout, try_lock: TryLock) -> Result<Lock> {
    let file = open(layout)?;
    wait(&file, try_lock, layout).map(|()| Lock { _file: Some(file) })
}

fn open(layout: &Layout) -> Result<File> {
    let path = layout.lock_file();
    std::fs::create_dir_all(&layout.store)
        .and_then(|()| OpenOptions::new().create(true).truncate(false).write(true).open(&path))
        .with_context(|| format!("failed to open `{}`", path.display()))
}

fn wait(file: &File, try_lock: TryLock, layout: &Layout) -> Result<()> {
    let started = Instant::now();
    loop {
        match try_lock(file) {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if started.elapsed() < LOCK_TIMEOUT => {}
            Err(TryLockError::WouldBlock) => {
                bail!("`{}` is held by another build", layout.lock_file().display())
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        signals::check()?;
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Tells others that a folder of a build is in use, for as long as this is held.
pub fn hold(dir: &std::path::Path) -> Option<File> {
    // Who looks whether it is held takes it for a moment.
    let is_locked = |file: &File| {
        (0..20).any(|round| {
            std::thread::sleep(Duration::from_millis(if round == 0 { 0 } else { 5 }));
            file.try_lock_shared().is_ok()
        })
    };
    File::open(dir).ok().filter(is_locked)
}
