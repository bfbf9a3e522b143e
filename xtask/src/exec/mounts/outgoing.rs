//! The output of a save: the list of a mount's files, and a pack of those that the store lacks. The
//! stored list has exactly the files of the packs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;

use anyhow::{Context, Result};
use tar::EntryType;

use super::codec;
use super::incoming::read_list;
use super::pack::PackReader;
use crate::plan::mounts::PlannedMount;
use crate::process::retry;
use crate::store::layout_check;
use crate::store::mount::MountEntry;
use crate::store::mount_list::{Content, FileKind, FileTime, MountList};

/// A mount that is being saved.
pub(crate) struct Outgoing {
    /// Its files.
    list: MountList,
    /// The required names of a pack.
    names: BTreeSet<Vec<u8>>,
    /// The entry that the pack extends.
    previous: Option<(MountEntry, MountList)>,
    /// The files of the pack, with sizes and times.
    packed: BTreeMap<Vec<u8>, Option<(u64, Option<FileTime>)>>,
    /// The number of files that are not saved, such as devices.
    others: u64,
    /// The number of files with attributes that grant rights.
    entitled: u64,
}

/// The stored part of a mount.
pub(crate) struct Kept {
    /// Its files; `None` for an empty mount.
    pub(crate) list: Option<MountList>,
    /// The entry that a new pack extends.
    pub(crate) previous: Option<MountEntry>,
    /// Whether it is unchanged since then.
    pub(crate) is_same: bool,
    /// Warnings about files that are not saved.
    pub(crate) warnings: Vec<String>,
}

impl Outgoing {
    /// Reads a list while it is received. Records of files that are not saved begin with an `o`.
    pub(crate) fn new(mount: &PlannedMount, bytes: &[u8]) -> Result<Self> {
        let is_other = |record: &&[u8]| record.starts_with(b"o ");
        let records = || bytes.split(|byte| *byte == 0).filter(|record| !record.is_empty());
        let plain: Vec<u8> = records()
            .filter(|record| !is_other(record))
            .flat_map(|record| record.iter().copied().chain([0]))
            .collect();
        let list = MountList::parse(&plain)?;
        // If the previous list cannot be read, the whole mount is packed.
        let read = |entry: &MountEntry| {
            read_list(&layout_check::blobs(&mount.dir).join(&entry.manifest.digest)).ok()
        };
        let previous = mount.previous().and_then(|entry| Some((entry.clone(), read(entry)?)));
        let nothing = MountList::default();
        let before = previous.as_ref().map_or(&nothing, |(_, list)| list);
        let names = match list.content() {
            Content::Empty | Content::AptLists => BTreeSet::new(),
            _ => list.changed(before).into_iter().cloned().collect(),
        };
        let others = records().filter(is_other).count() as u64;
        Ok(Self { list, names, previous, packed: BTreeMap::new(), others, entitled: 0 })
    }

    /// Returns the names to pack, each terminated by NUL.
    pub(crate) fn names(&self) -> Vec<u8> {
        self.names.iter().flat_map(|name| name.iter().copied().chain([0])).collect()
    }

    /// Returns the size of the files to pack in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.names.iter().filter_map(|name| self.list.0.get(name)).map(|file| file.size).sum()
    }

    /// Receives the pack and returns its size in bytes.
    pub(crate) fn receive(&mut self, source: &mut dyn Read, path: &Path) -> Result<u64> {
        let tee = Tee { source, writer: codec::create(path)?, bytes: 0 };
        let mut pack = PackReader::new(tee);
        while let Some(packed) = pack.next()? {
            let is_entitled = |(name, _): &(String, Vec<u8>)| !name.starts_with("user.");
            self.entitled += u64::from(packed.attributes.iter().any(is_entitled));
            let facts = (packed.kind == EntryType::Regular).then_some((packed.size, packed.time));
            self.packed.insert(packed.path, facts);
        }
        let Tee { writer, bytes, .. } = pack.into_inner();
        writer.finish()?;
        Ok(bytes)
    }

    /// Reads the pack from a file that BuildKit exported.
    pub(crate) fn receive_file(&mut self, path: &Path) -> Result<()> {
        let raw = path.with_extension("raw");
        fs::rename(path, &raw)?;
        self.receive(&mut fs::File::open(&raw)?, path)?;
        fs::remove_file(&raw).with_context(|| format!("failed to remove `{}`", raw.display()))
    }

    /// Returns the stored part. A file that was removed or changed while it was packed is not in
    /// the list, so the next save packs it.
    pub(crate) fn keep(mut self) -> Kept {
        for name in &self.names {
            let is_as_listed = match (self.list.0.get(name), self.packed.get(name)) {
                (Some(file), Some(Some((size, time)))) => {
                    file.size == *size && time.as_ref() == Some(&file.time)
                }
                (Some(_), Some(None)) => true,
                _ => false,
            };
            if !is_as_listed {
                self.list.0.remove(name);
            }
        }
        let is_empty = matches!(self.list.content(), Content::Empty | Content::AptLists);
        let is_same = self.previous.as_ref().is_some_and(|(_, list)| *list == self.list);
        let warnings = if is_empty { Vec::new() } else { self.warnings() };
        Kept {
            list: (!is_empty).then_some(self.list),
            previous: self.previous.map(|(entry, _)| entry),
            is_same,
            warnings,
        }
    }

    fn warnings(&self) -> Vec<String> {
        let is_set_root = |name: &&Vec<u8>| {
            self.list.0.get(*name).is_some_and(|file| {
                file.kind == FileKind::File && file.mode & 0o6000 != 0 && (file.uid == 0 || file.gid == 0)
            })
        };
        let set_root = self.names.iter().filter(is_set_root).count() as u64;
        let parts = [
            (self.others, "devices, sockets and pipes are not saved"),
            (self.entitled, "attributes other than `user.*`, such as capabilities, are not saved"),
            (set_root, "set-user-ID and set-group-ID of root are not restored"),
        ];
        let has_some = parts.iter().filter(|(files, _)| *files > 0);
        has_some.map(|(files, what)| format!("{what} ({files} files)")).collect()
    }
}

/// Reads and compresses at the same time.
struct Tee<'a> {
    source: &'a mut dyn Read,
    writer: codec::Writer,
    bytes: u64,
}

impl Read for Tee<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = retry::read(&mut self.source, buffer)?;
        self.writer.write_all(&buffer[..bytes])?;
        self.bytes += bytes as u64;
        Ok(bytes)
    }
}

#[cfg(test)]
#[path = "outgoing_tests.rs"]
mod tests;
