//! Brings a store to this version's format. All entries of an older version are moved to the
//! quarantine.

use std::fs;

use anyhow::{Context, Result, bail};

use super::quarantine;
use crate::files::{self, Durability};
use crate::layout::Layout;
use crate::process::stdio::errln;
use crate::store::key::FORMAT;
use crate::store::{contents, version};
use crate::text::size::show;

/// Makes sure that the store has our format. The caller has the store's lock.
pub(super) fn ensure(layout: &Layout) -> Result<()> {
    if version::written(layout) == Some(FORMAT) {
        return Ok(());
    }
    let format = version::format(layout);
    if format > FORMAT {
        bail!(version::foreign(layout).unwrap_or_else(|| format!("the store has format {format}")));
    }
    if format < FORMAT {
        set_aside(layout, format)?;
    }
    let path = layout.version_file();
    if path.is_dir() {
        quarantine::place(layout, &path, "a directory is in the place of a file")?;
    }
    files::write(&path, FORMAT.to_string().as_bytes(), Durability::Synced)
        .with_context(|| format!("failed to write `{}`", path.display()))
}

/// Moves the layers and mounts of another format to the quarantine. Records of builds have no
/// format.
fn set_aside(layout: &Layout, format: u32) -> Result<()> {
    let rooms = [layout.all_layers(), layout.all_mounts(), layout.all_fresh()];
    let reason = format!("the store's format changed from {format} to {FORMAT}");
    let mut bytes = 0;
    for room in rooms.iter().filter(|room| fs::read_dir(room).is_ok_and(|mut all| all.next().is_some())) {
        bytes += contents::measure_dir(room);
        quarantine::place(layout, room, &reason)?;
    }
    if bytes > 0 {
        errln!(
            "note: the store `{}` had format {format}, which this version does not support: {} are in its \
             quarantine for some days\nto free them now: cargo xtask cache clear quarantine",
            layout.store.display(),
            show(bytes)
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::entry::subdirectories;
    use crate::store::lock::Lock;

    fn version(layout: &Layout) -> String {
        fs::read_to_string(layout.version_file()).expect("there")
    }

    #[test]
    fn a_damaged_version_heals_and_a_newer_one_stays() {
        let dir = tempfile::tempdir().expect("a directory");
        let layout = Layout::new("/", dir.path());
        for damaged in ["", "\0", "x"] {
            fs::write(layout.version_file(), damaged).expect("written");
            drop(Lock::exclusive(&layout).expect("healed"));
            assert_eq!(version(&layout), FORMAT.to_string());
        }
        fs::remove_file(layout.version_file()).expect("removed");
        fs::create_dir(layout.version_file()).expect("a directory in its place");
        drop(Lock::exclusive(&layout).expect("healed"));
        assert_eq!(version(&layout), FORMAT.to_string());
        let newer = (FORMAT + 1).to_string();
        fs::write(layout.version_file(), &newer).expect("written");
        assert!(Lock::exclusive(&layout).is_err());
        assert_eq!(version(&layout), newer);
    }

    #[test]
    fn what_an_older_version_saved_is_set_aside_and_records_stay() {
        let dir = tempfile::tempdir().expect("a directory");
        let layout = Layout::new("/", dir.path());
        let old = layout.all_layers().join("app_1/key");
        for dir in [&old, &layout.build("20260101-000000-1")] {
            fs::create_dir_all(dir).expect("made");
        }
        fs::write(old.join("entry.json"), r#"{"format":0}"#).expect("written");
        fs::write(layout.version_file(), (FORMAT - 1).to_string()).expect("written");
        drop(Lock::exclusive(&layout).expect("brought to our format"));
        assert_eq!(version(&layout), FORMAT.to_string());
        assert!(!old.exists() && layout.build("20260101-000000-1").exists());
        let quarantine = subdirectories(&layout.quarantine());
        assert!(quarantine[0].join("content/app_1/key/entry.json").exists(), "{quarantine:?}");
    }
}
