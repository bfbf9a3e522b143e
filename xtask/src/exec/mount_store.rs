//! Writes saved cache mounts to the store.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::steps;
use crate::files::{self, Durability};
use crate::layout::Layout;
use crate::store::layout_check;
use crate::store::lock::{self, Lock};
use crate::store::mount::{self, MountEntry};
use crate::store::sealed;

/// Makes a hard link, or a copy if the file system has none.
pub(super) fn link(from: &Path, to: &Path) -> Result<()> {
    if to.exists() || fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    fs::copy(from, to).with_context(|| format!("failed to copy `{}`", from.display()))?;
    Ok(())
}

/// Moves blobs to the mount's directory. They take effect when `entry.json` is renamed, and unnamed
/// blobs are removed. `base` is the entry that the new packs extend: they don't fit if the store
/// has another save by now.
pub(crate) fn commit(
    layout: &Layout,
    from: &Path,
    dir: &Path,
    entry: &MountEntry,
    base: Option<&MountEntry>,
) -> Result<()> {
    sync(from, entry)?;
    {
        let _lock = Lock::exclusive(layout)?;
        if base.is_some_and(|base| mount::read(dir).ok().as_ref() != Some(base)) {
            bail!("another build saved it meanwhile; the next build saves the new files");
        }
        move_in(from, dir, entry)?;
    }
    steps::remove(from)
}

/// Waits until the new files of a mount are on the disk.
pub(super) fn sync(from: &Path, entry: &MountEntry) -> Result<()> {
    for blob in entry.blobs() {
        if let Ok(file) = File::open(layout_check::blobs(from).join(&blob.digest)) {
            file.sync_all()?;
        }
    }
    Ok(())
}

/// Moves the files. The caller has the store's lock. Blobs that a restore may be reading are left
/// to `gc`.
pub(super) fn move_in(from: &Path, dir: &Path, entry: &MountEntry) -> Result<()> {
    let blobs = layout_check::blobs(dir);
    files::make_dir(&blobs)?;
    for blob in entry.blobs().filter(|blob| layout_check::has(dir, blob).is_err()) {
        let new = layout_check::blobs(from).join(&blob.digest);
        fs::rename(&new, blobs.join(&blob.digest))
            .with_context(|| format!("failed to move `{}`", new.display()))?;
        files::seal_one(&blobs.join(&blob.digest))?;
    }
    files::sync_dir(&blobs)?;
    files::write(&dir.join("entry.json"), &sealed::to_json(entry)?, Durability::Synced)?;
    let Ok(Some(_claim)) = lock::claim(dir) else { return Ok(()) };
    for file in fs::read_dir(&blobs)?.flatten() {
        if !entry.blobs().any(|blob| file.file_name().to_str() == Some(&blob.digest)) {
            let _ = fs::remove_file(file.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::project::mount::{MountIdentity, Sharing};
    use crate::store::contents::{Contents, ItemKind, ItemState};
    use crate::store::damage;
    use crate::store::key::FORMAT;
    use crate::store::layout_check::Blob;

    /// Writes the blobs of a save, and returns its entry.
    fn save(dir: &Path, packs: &[&str]) -> MountEntry {
        files::make_dir(&layout_check::blobs(dir)).expect("made");
        let blob = |text: &&str| {
            let blob = Blob { digest: format!("{:x}", Sha256::digest(text)), size: text.len() as u64 };
            fs::write(layout_check::blobs(dir).join(&blob.digest), text).expect("written");
            blob
        };
        MountEntry {
            format: FORMAT,
            identity: MountIdentity { id: "mod".into(), ..MountIdentity::default() },
            sharing: Sharing::Shared,
            target: "/mod".into(),
            platform: "linux/amd64".into(),
            saved: Timestamp::UNIX_EPOCH,
            files: 1,
            bytes: 5,
            is_shared: false,
            manifest: blob(&packs.concat().as_str()),
            packs: packs.iter().map(blob).collect(),
            steps: Vec::new(),
        }
    }

    #[test]
    fn a_save_that_fails_half_way_leaves_the_earlier_one() {
        let dir = tempfile::tempdir().expect("a directory");
        let layout = Layout::new("/", dir.path().join("store"));
        let (from, place) = (dir.path().join("from"), layout.all_mounts().join("mod"));
        let old = save(&from, &["one"]);
        commit(&layout, &from, &place, &old, None).expect("saved");
        let new = save(&from, &["one", "two", "three"]);
        let last = layout_check::blobs(&from).join(&new.packs[2].digest);
        fs::remove_file(&last).expect("removed");
        commit(&layout, &from, &place, &new, Some(&old)).expect_err("a pack is missing");
        let is_whole =
            |entry: &MountEntry| entry.blobs().all(|blob| layout_check::verify(&place, blob).is_ok());
        assert!(mount::read(&place).expect("the earlier one") == old && is_whole(&old));
        save(&from, &["one", "two", "three"]);
        commit(&layout, &from, &place, &new, Some(&old)).expect("saved");
        assert!(mount::read(&place).expect("the new one") == new && is_whole(&new));
    }

    #[test]
    fn a_first_save_that_is_killed_is_no_damage_and_is_removed() {
        let dir = tempfile::tempdir().expect("a directory");
        let layout = Layout::new("/", dir.path().join("store"));
        let place = layout.all_mounts().join("mod-0123abcd");
        // Killed after its files, before its entry was renamed.
        save(&place, &["one"]);
        fs::write(place.join(".durango-1"), "{").expect("written");
        let stranger = layout.all_mounts().join("mine");
        save(&stranger, &["one"]);
        assert_eq!(mount::all(&layout).1, Vec::<String>::new(), "no warning");
        assert!(damage::verify(&layout).damaged.is_empty() && damage::mounts(&layout).is_empty());
        let contents = Contents::read(&layout);
        let states: Vec<_> = contents.of(ItemKind::Mounts).map(|item| (&item.path, &item.state)).collect();
        let orphan = ItemState::Orphan("its save did not end");
        assert_eq!(states, [(&stranger, &ItemState::Untouchable), (&place, &orphan)]);
        // The next save takes its place.
        let from = dir.path().join("from");
        let new = save(&from, &["one", "two"]);
        commit(&layout, &from, &place, &new, None).expect("saved");
        assert!(mount::read(&place).expect("the new one") == new);
    }
}
