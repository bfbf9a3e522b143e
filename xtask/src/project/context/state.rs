//! The state of a file that BuildKit compares: type, mode, content, extended attributes, without
//! times and owners.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use rustix::io::Errno;
use sha2::{Digest, Sha256};

use super::Digests;
use super::tree::Entry;
use crate::project::dockerfile::{decode, escaped};

/// The start of the extended attributes in a state.
const ATTRIBUTES: &str = " xattrs:";

/// Returns the state of an entry: `mode:digest` of a file, `mode/` of a directory, `->target` of a
/// link, `mode|kind` of a special file. Never opens special files.
pub(super) fn of(entry: &Entry, digests: &mut Digests) -> String {
    let (meta, kind) = (&entry.meta, entry.meta.file_type());
    let mode = meta.mode() & 0o7777;
    let device = || {
        let number = meta.rdev();
        format!("{}:{}", rustix::fs::major(number), rustix::fs::minor(number))
    };
    let state = if kind.is_symlink() {
        let target = fs::read_link(&entry.file).unwrap_or_default();
        format!("->{}", escaped(&decode(target.as_os_str().as_bytes())))
    } else if kind.is_dir() {
        format!("{mode:o}/")
    } else if kind.is_fifo() {
        format!("{mode:o}|pipe")
    } else if kind.is_char_device() {
        format!("{mode:o}|character device {}", device())
    } else if kind.is_block_device() {
        format!("{mode:o}|block device {}", device())
    } else if kind.is_socket() {
        // BuildKit sends a socket as an empty file.
        format!("{mode:o}:{}", short(Sha256::new()))
    } else {
        format!("{mode:o}:{}", digests.of(&entry.file, meta))
    };
    state + &attributes(&entry.file).unwrap_or_default()
}

/// The same with the whole digest of a file, and an error where anything of it cannot be read.
pub(in crate::project) fn exact(
    file: &Path,
    meta: &fs::Metadata,
    digests: &mut Digests,
) -> io::Result<String> {
    let mode = meta.mode();
    let state = if meta.is_symlink() {
        format!("->{}", fs::read_link(file)?.as_os_str().as_encoded_bytes().escape_ascii())
    } else if meta.is_file() {
        format!("{mode:o}:{}", digests.read(file, meta)?)
    } else {
        format!("{mode:o}|{}", meta.rdev())
    };
    Ok(state + &attributes(file)?)
}

/// Returns the part of a state that BuildKit certainly notices: without extended attributes and the
/// mode of a directory.
pub(crate) fn noticed(state: &str) -> &str {
    let state = state.split_once(ATTRIBUTES).map_or(state, |(state, _)| state);
    if state.ends_with('/') { "/" } else { state }
}

/// A state without the modes that depend on the umask of a checkout: Git keeps no more than whether
/// a file is executable.
pub(super) fn any_mode(state: &str) -> String {
    let state = noticed(state);
    match state.split_once(':') {
        Some((mode, digest)) if u32::from_str_radix(mode, 8).is_ok_and(|mode| mode & 0o7000 == 0) => {
            let is_executable = u32::from_str_radix(mode, 8).is_ok_and(|mode| mode & 0o100 != 0);
            format!("{}:{digest}", if is_executable { "x" } else { "-" })
        }
        _ => state.to_owned(),
    }
}

/// Returns a digest of the extended attributes that BuildKit compares, or an empty text.
fn attributes(path: &Path) -> io::Result<String> {
    // Linux has no longer list and no longer value (`XATTR_LIST_MAX`, `XATTR_SIZE_MAX`).
    let mut names = vec![0_u8; 65_536];
    let length = match rustix::fs::llistxattr(path, &mut names) {
        // A file system without attributes.
        Err(Errno::NOTSUP) => 0,
        length => length?,
    };
    let names = names.get(..length).unwrap_or_default();
    let names = names.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    let mut names: Vec<_> = names.filter(|name| counts(name)).collect();
    if names.is_empty() {
        return Ok(String::new());
    }
    names.sort_unstable();
    let mut hash = Sha256::new();
    for name in names {
        let mut value = vec![0_u8; 65_536];
        let length = rustix::fs::lgetxattr(path, name.as_ref(), &mut value)?;
        hash.update(name.as_bytes());
        hash.update([0]);
        hash.update((length as u64).to_le_bytes());
        hash.update(value.get(..length).unwrap_or_default());
    }
    Ok(format!("{ATTRIBUTES}{}", short(hash)))
}

fn counts(name: &str) -> bool {
    let is_systems = name.starts_with("security.") || name.starts_with("system.");
    !name.is_empty() && !name.starts_with("com.apple.") && (name == "security.capability" || !is_systems)
}

/// Returns the first 16 hex digits of a digest.
pub(super) fn short(hash: Sha256) -> String {
    format!("{:x}", hash.finalize())[..16].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extended_attributes_count_but_for_the_systems_own() {
        let expected = [("user.a", true), ("trusted.a", true), ("security.capability", true)];
        let not = ["security.selinux", "system.posix_acl_access", "com.apple.quarantine", ""];
        for (name, does_count) in expected.into_iter().chain(not.map(|name| (name, false))) {
            assert_eq!(counts(name), does_count, "{name}");
        }
        let file = tempfile::NamedTempFile::new().expect("a file");
        let set = |value: &[u8]| {
            rustix::fs::setxattr(file.path(), "user.kept", value, rustix::fs::XattrFlags::empty())
        };
        assert_eq!(attributes(file.path()).expect("readable"), "");
        if set(b"1").is_err() {
            println!("skipped: the file system has no extended attributes");
            return;
        }
        let one = attributes(file.path()).expect("readable");
        set(b"2").expect("set");
        let two = attributes(file.path()).expect("readable");
        assert_ne!(one, two);
        assert_eq!(noticed(&format!("644:0123{one}")), "644:0123");
    }
}
