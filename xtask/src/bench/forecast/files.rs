//! A context with odd files, and edits of it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rustix::fs::{CWD, FileType, makedev, mknodat};
use walkdir::WalkDir;

use crate::bench::random::Random;

/// Names that files get.
const NAMES: &[&str] = &[
    "a.txt",
    "b.md",
    "c.log",
    "f-one",
    "f-two",
    "sub/a.txt",
    "sub/b.md",
    "sub/deep/c.txt",
    "sub/deep/e.md",
    "other/x",
    "other/y.txt",
    "#odd",
    "other/deep/er/z.md",
    "sp ace",
    "\u{e9}.txt",
    "sub/deep/c.log",
    "README.md",
];

/// Creates the files of a context. `salt` separates their content from all others.
pub(super) fn create(dir: &Path, salt: &str, random: &mut Random) -> Result<()> {
    for name in NAMES {
        if random.once_in(5) && !["sub/a.txt", "a.txt", "other/x"].contains(name) {
            continue;
        }
        write(&dir.join(name), &format!("{name} {salt}\n"))?;
    }
    symlink("a.txt", dir.join("link"))?;
    symlink("/sub/deep", dir.join("deep-link"))?;
    if random.once_in(3) {
        fs::create_dir_all(dir.join("empty/inside"))?;
        fs::hard_link(dir.join("a.txt"), dir.join("sub/hard.txt"))?;
        drop(kind(&dir.join("sub/odd"), "sub/odd", random)?);
    }
    archive(dir, salt)
}

/// A tar archive for ADD.
pub(super) fn archive(dir: &Path, content: &str) -> Result<()> {
    let path = dir.join("arch.tar");
    make_room(&path)?;
    let mut archive = tar::Builder::new(fs::File::create(path)?);
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    archive.append_data(&mut header, "inside", content.as_bytes())?;
    archive.into_inner()?;
    Ok(())
}

pub(super) fn write(path: &Path, content: &str) -> Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    make_room(path)?;
    Ok(fs::write(path, content)?)
}

/// Removes what an earlier edit made of a file: opening a socket fails, a pipe waits for a
/// reader, and a link leads elsewhere.
fn make_room(path: &Path) -> Result<()> {
    match path.symlink_metadata() {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path)?,
        Ok(meta) if !meta.is_file() => fs::remove_file(path)?,
        _ => {}
    }
    Ok(())
}

/// The paths below a context that are not directories, or that are.
pub(super) fn list(dir: &Path, directories: bool) -> Vec<String> {
    let walk = WalkDir::new(dir).min_depth(1).sort_by_file_name().into_iter().flatten();
    let found = walk.filter(|entry| entry.file_type().is_dir() == directories);
    let relative = found.filter_map(|entry| Some(entry.path().strip_prefix(dir).ok()?.display().to_string()));
    relative.filter(|path| !path.ends_with("ockerfile") && !path.ends_with(".dockerignore")).collect()
}

/// Changes something in a context. Returns a description.
pub(super) fn edit(dir: &Path, stamp: &str, random: &mut Random) -> Result<String> {
    let files = list(dir, false);
    let name = random.of(&files).to_owned();
    let path = dir.join(&name);
    let is_file = path.symlink_metadata().is_ok_and(|meta| meta.is_file());
    Ok(match random.below(15) {
        0..=2 if is_file => {
            write(&path, &format!("{stamp}\n"))?;
            format!("content of {name}")
        }
        3 if is_file => {
            let mode = fs::metadata(&path)?.permissions().mode();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode ^ 0o111))?;
            format!("mode of {name}")
        }
        4 => {
            let directories = list(dir, true);
            let name = random.of(&directories).to_owned();
            let mode = fs::metadata(dir.join(&name))?.permissions().mode();
            fs::set_permissions(dir.join(&name), fs::Permissions::from_mode(mode ^ 0o050))?;
            format!("mode of the directory {name}")
        }
        5 => kind(&path, &name, random)?,
        6 => {
            let target = PathBuf::from(format!("{}-new", path.display()));
            make_room(&target)?;
            fs::rename(&path, target)?;
            format!("name of {name}")
        }
        7 => {
            fs::remove_file(&path)?;
            format!("{name} removed")
        }
        8 => {
            let name = random.of(NAMES);
            write(&dir.join(name), &format!("{stamp} new\n"))?;
            format!("{name} written")
        }
        11 if is_file => {
            let value = format!("{}", random.below(3));
            rustix::fs::setxattr(&path, "user.odd", value.as_bytes(), rustix::fs::XattrFlags::empty())?;
            format!("extended attribute of {name}")
        }
        12 => {
            let empty = dir.join("empty").join(format!("e{}", random.below(3)));
            if empty.is_dir() {
                fs::remove_dir(&empty)?;
            } else {
                fs::create_dir_all(&empty)?;
            }
            "an empty directory".to_owned()
        }
        13 => {
            let directories = list(dir, true);
            let name = random.of(&directories).to_owned();
            let other = format!("{name}2");
            if !name.is_empty() && dir.join(&other).symlink_metadata().is_err() {
                fs::rename(dir.join(&name), dir.join(&other))?;
            }
            format!("name of the directory {name}")
        }
        14 if is_file => {
            let mode = random.of(&["0600", "0640", "2755", "4755", "1644"]);
            let mode = u32::from_str_radix(mode, 8).unwrap_or(0o644);
            fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
            format!("mode {mode:o} of {name}")
        }
        9 if is_file => {
            fs::File::options().append(true).open(&path)?.set_modified(std::time::SystemTime::now())?;
            format!("time of {name}")
        }
        _ => {
            archive(dir, stamp)?;
            "content of arch.tar".to_owned()
        }
    })
}

/// Makes something else of a file.
fn kind(path: &Path, name: &str, random: &mut Random) -> Result<String> {
    if path.symlink_metadata().is_ok() {
        fs::remove_file(path)?;
    }
    let what = match random.below(6) {
        0 => {
            mknodat(CWD, path, FileType::Fifo, 0o644.into(), 0)?;
            "a pipe"
        }
        1 => {
            drop(UnixListener::bind(path)?);
            "a socket"
        }
        2 => {
            mknodat(CWD, path, FileType::CharacterDevice, 0o644.into(), makedev(1, 3))?;
            "a device"
        }
        3 => {
            fs::create_dir(path)?;
            fs::write(path.join("in"), "in\n")?;
            "a directory"
        }
        4 => {
            symlink(random.of(&["/sub/a.txt", "/sub/a.txt", "a.txt"]), path)?;
            "a link"
        }
        _ => {
            fs::write(path, "")?;
            "an empty file"
        }
    };
    Ok(format!("{name} became {what}"))
}
