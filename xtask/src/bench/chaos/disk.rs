//! A small disk: a tmpfs whose size can change while it is in use.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process::collect::Collect;

/// Size of a disk without a limit; it takes memory only for what is on it.
const LARGE: u64 = 4_000_000_000;

/// A mounted disk; unmounted with this value.
pub(super) struct Disk {
    dir: PathBuf,
}

impl Disk {
    /// Returns whether this user may mount one.
    pub(super) fn is_possible() -> bool {
        rustix::process::geteuid().is_root()
    }

    /// Mounts a large one.
    pub(super) fn mount(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir)?;
        mount(&["-t", "tmpfs", "-o", &format!("size={LARGE}"), "tmpfs"], dir)?;
        Ok(Self { dir: dir.to_path_buf() })
    }

    /// Its directory.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Leaves so many bytes free.
    pub(super) fn leave(&self, free: u64) -> Result<()> {
        let stat = rustix::fs::statvfs(&self.dir).context("failed to measure a disk")?;
        let used = (stat.f_blocks - stat.f_bfree) * stat.f_frsize;
        self.resize(used + free)
    }

    pub(super) fn make_large(&self) -> Result<()> {
        self.resize(LARGE)
    }

    fn resize(&self, bytes: u64) -> Result<()> {
        mount(&["-o", &format!("remount,size={bytes}")], &self.dir)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.dir).collect_output();
    }
}

fn mount(args: &[&str], dir: &Path) -> Result<()> {
    let output =
        Command::new("mount").args(args).arg(dir).collect_output().context("failed to run `mount`")?;
    if !output.status.success() {
        bail!("failed to mount a small disk: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
