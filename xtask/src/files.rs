//! Writes files of the store: private to their owner, and either complete or not at all.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

/// Permission bits that nothing in a store has: those of the group and of others.
const SHARED: u32 = 0o077;

/// The most bytes of a file that is read whole, such as an entry or an index.
const LARGEST: u64 = 64 << 20;

/// Whether a write waits for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// A power failure after the write loses nothing. Costs some milliseconds.
    Synced,
    /// A power failure may lose the file, which is made again.
    Quick,
}

/// Creates a directory and its missing parents, for its owner only, whatever the umask.
pub(crate) fn make_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Creates a directory that must not exist yet, for its owner only.
pub(crate) fn make_new_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(dir)
}

/// Opens a file for reading and writing. Creates it for its owner only if it is missing.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o600).open(path)
}

/// Opens a file for reading, without waiting for the writer of a named pipe.
pub(crate) fn open_to_read(path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NONBLOCK.bits();
    OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path)
}

/// Fails if something else than a regular file has this name: a write would replace a device, or
/// wait for the reader of a named pipe.
pub(crate) fn check_regular(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(meta) if !meta.is_file() => Err(not_regular()),
        _ => Ok(()),
    }
}

fn not_regular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")
}

/// Reads a regular file of at most [`LARGEST`] bytes. Fails at once for anything else: a named pipe
/// would be waited for.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = open_to_read(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(not_regular());
    }
    if meta.len() > LARGEST {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("it has {} bytes", meta.len())));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a regular file of text, as [`read`] does.
pub(crate) fn read_text(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path)?).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Opens a file for appending. Creates it for its owner only if it is missing.
pub(crate) fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// Writes a file for its owner only. Readers see the old content or this one, never a part. After
/// an error the old content is unchanged.
pub(crate) fn write(path: &Path, content: &[u8], durability: Durability) -> io::Result<()> {
    write_as(path, content, 0o600, durability)
}

/// Writes a file with these permission bits, as [`write()`] does.
pub(crate) fn write_as(path: &Path, content: &[u8], mode: u32, durability: Durability) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    let mut temporary = tempfile::Builder::new().prefix(".durango-").tempfile_in(dir)?;
    temporary.write_all(content)?;
    temporary.as_file().set_permissions(Permissions::from_mode(mode))?;
    if let Ok(meta) = fs::metadata(path) {
        // Root may replace another user's file, which stays that user's. Other users cannot change
        // the owner.
        let _ = std::os::unix::fs::fchown(temporary.as_file(), Some(meta.uid()), Some(meta.gid()));
    }
    if durability == Durability::Synced {
        temporary.as_file().sync_all()?;
    }
    temporary.persist(path)?;
    if durability == Durability::Synced {
        sync_dir(dir)?;
    }
    Ok(())
}

/// Renames a file or directory, and waits until the new name is on the disk.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync_dir(to.parent().unwrap_or(Path::new("/")))
}

/// Waits until the names in a directory are on the disk. Ignores file systems that can't do that.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    match File::open(dir)?.sync_all() {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        result => result,
    }
}

/// Removes the permissions of the group and of others from a directory and everything in it. Does
/// not follow symbolic links.
pub(crate) fn seal(dir: &Path) -> io::Result<()> {
    for entry in WalkDir::new(dir) {
        let entry = entry?;
        if is_exposed(&entry.metadata()?) {
            seal_one(entry.path())?;
        }
    }
    Ok(())
}

/// Removes the permissions of the group and of others from one file or directory.
pub(crate) fn seal_one(path: &Path) -> io::Result<()> {
    let mode = fs::symlink_metadata(path)?.permissions().mode();
    fs::set_permissions(path, Permissions::from_mode(mode & 0o7700))
}

/// Returns the free bytes for this user at the directory's current or future place.
pub(crate) fn free(path: &Path) -> Option<u64> {
    let there = path.ancestors().find(|path| path.exists())?;
    let stat = rustix::fs::statvfs(there).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// The state of a file at one time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    path: PathBuf,
    /// Device, inode, size, seconds and nanoseconds of the last change; `None` if it was missing.
    state: Option<(u64, u64, u64, i64, i64)>,
}

impl Seen {
    /// Reads the state of a file.
    pub(crate) fn now(path: PathBuf) -> Self {
        let meta = fs::metadata(&path).ok();
        let state = meta.map(|meta| (meta.dev(), meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec()));
        Self { path, state }
    }

    /// Returns whether the file is unchanged.
    pub(crate) fn is_unchanged(&self) -> bool {
        *self == Self::now(self.path.clone())
    }
}

/// Returns whether the group or others have any permission on a file or directory.
pub(crate) fn is_exposed(meta: &Metadata) -> bool {
    !meta.is_symlink() && meta.permissions().mode() & SHARED != 0
}

/// Returns a warning about a store that belongs to another user or is writable by others.
pub(crate) fn exposure(store: &Path) -> Option<String> {
    let meta = fs::metadata(store).ok()?;
    let own = rustix::process::geteuid().as_raw();
    let store = store.display();
    if meta.uid() != own {
        return Some(format!(
            "the store `{store}` belongs to the user with id {}, who can change what builds read from \
             it\nuse your own store with --cache-dir",
            meta.uid()
        ));
    }
    (meta.mode() & 0o022 != 0).then(|| {
        format!(
            "other users may write to the store `{store}`, and so change what builds read from it\nrun: \
             chmod 700 {}",
            shell_words::quote(&store.to_string())
        )
    })
}

/// Returns the files and directories of a store that the group or others may access: programs in
/// builds write them. A store that others may write to is shared on purpose and not changed.
pub(crate) fn exposed<'a>(store: &Path, paths: &'a [PathBuf]) -> impl Iterator<Item = &'a PathBuf> {
    let is_shared = fs::metadata(store).is_ok_and(|meta| meta.permissions().mode() & 0o022 != 0);
    let store = store.to_path_buf();
    paths.iter().filter(move |path| !(is_shared && **path == store))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("there").permissions().mode() & 0o777
    }

    #[test]
    fn written_files_and_directories_are_private_and_replaced_as_a_whole() {
        let dir = tempfile::tempdir().expect("a directory");
        let deep = dir.path().join("a/b");
        make_dir(&deep).expect("made");
        make_dir(&deep).expect("it exists, which is fine");
        make_new_dir(&deep).expect_err("it exists");
        let file = deep.join("file");
        for durability in [Durability::Synced, Durability::Quick] {
            fs::write(&file, "before").expect("written");
            fs::set_permissions(&file, Permissions::from_mode(0o666)).expect("set");
            write(&file, b"after", durability).expect("written");
            assert_eq!((fs::read(&file).expect("read").as_slice(), mode(&file)), (&b"after"[..], 0o600));
        }
        assert_eq!((mode(&deep), mode(&dir.path().join("a"))), (0o700, 0o700));
        assert_eq!(fs::read_dir(&deep).expect("read").count(), 1, "no temporary file is left");
        write(&deep.join("missing/file"), b"", Durability::Synced).expect_err("no such directory");
        assert_eq!(
            (mode(&dir.path().join("a")), open(&file).is_ok(), append(&file).is_ok()),
            (0o700, true, true)
        );
    }

    #[test]
    fn sealing_leaves_nothing_for_others_and_follows_no_link() {
        let dir = tempfile::tempdir().expect("a directory");
        let outside = tempfile::NamedTempFile::new().expect("a file");
        fs::set_permissions(outside.path(), Permissions::from_mode(0o644)).expect("set");
        let inside = dir.path().join("in");
        fs::create_dir(&inside).expect("made");
        fs::write(inside.join("file"), "").expect("written");
        fs::set_permissions(inside.join("file"), Permissions::from_mode(0o755)).expect("set");
        fs::set_permissions(&inside, Permissions::from_mode(0o775)).expect("set");
        std::os::unix::fs::symlink(outside.path(), inside.join("link")).expect("linked");
        seal(dir.path()).expect("sealed");
        assert_eq!((mode(&inside), mode(&inside.join("file"))), (0o700, 0o700));
        assert_eq!(mode(outside.path()), 0o644);
    }

    #[test]
    fn only_regular_files_are_read_and_nothing_is_waited_for() {
        let dir = tempfile::tempdir().expect("a directory");
        let [file, pipe] = ["file", "pipe"].map(|name| dir.path().join(name));
        fs::write(&file, "text").expect("written");
        assert_eq!(read_text(&file).expect("read"), "text");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).expect("made");
        let large = dir.path().join("large");
        File::create(&large).expect("made").set_len(1 << 40).expect("sparse");
        for other in [&pipe, &large, dir.path(), Path::new("/dev/zero")] {
            read(other).expect_err("not a regular file of that size");
        }
        read(&dir.path().join("missing")).expect_err("missing");
    }

    #[test]
    fn a_missing_directory_has_the_free_space_of_its_parent() {
        assert!(free(Path::new("/tmp/no/such/directory")).is_some_and(|bytes| bytes > 0));
    }

    #[test]
    fn a_store_that_others_may_write_to_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        assert_eq!(exposure(dir.path()), None);
        fs::set_permissions(dir.path(), Permissions::from_mode(0o775)).expect("set");
        assert!(exposure(dir.path()).is_some_and(|warning| warning.contains("chmod 700")));
        assert_eq!(exposure(&dir.path().join("missing")), None);
    }
}
