//! The store's kernel file lock: shared to read a generation, exclusive to swap one. A dead process holds none.

use std::fs::{File, OpenOptions, TryLockError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::signals;
use crate::layout::Layout;

/// How long a swap waits for builds that read.
const PATIENCE: Duration = Duration::from_secs(30);

/// A lock that is held until it is dropped.
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Held while BuildKit may read generations.
    pub fn shared(layout: &Layout) -> Result<Self> {
        take(layout, File::try_lock_shared)
    }

    /// Held while generations are swapped or removed.
    pub fn exclusive(layout: &Layout) -> Result<Self> {
        take(layout, File::try_lock)
    }
}

fn take(layout: &Layout, try_lock: fn(&File) -> Result<(), TryLockError>) -> Result<Lock> {
    let path = layout.lock_file();
    std::fs::create_dir_all(&layout.store)
        .and_then(|()| OpenOptions::new().create(true).truncate(false).write(true).open(&path))
        .with_context(|| format!("failed to open `{}`", path.display()))
        .and_then(|file| {
            let started = Instant::now();
            loop {
                match try_lock(&file) {
                    Ok(()) => return Ok(Lock { _file: file }),
                    Err(TryLockError::WouldBlock) if started.elapsed() < PATIENCE => {}
                    Err(TryLockError::WouldBlock) => bail!("`{}` is held by another build", path.display()),
                    Err(TryLockError::Error(error)) => return Err(error.into()),
                }
                signals::check()?;
                std::thread::sleep(Duration::from_millis(50));
            }
        })
}
