//! The input of a restore: one or two tars that are written here. Packs come from other machines,
//! so their headers are never passed on. The list of files determines what is written, and packs
//! only deliver contents. A file that differs from the list, or is not in it, is skipped.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;

use anyhow::{Context, Result, bail};
use tar::{Builder, EntryType, Header};

use super::codec;
use super::pack::{PackReader, Packed};
use super::sink::{Piece, Sink};
use crate::store::layout_check;
use crate::store::mount::MountEntry;
use crate::store::mount_list::{FileKind, FileTime, Listed, MountList};

/// The maximum size of a list of files.
const LARGEST_LIST: u64 = 512 << 20;

/// The files for a mount.
pub(crate) struct Incoming {
    list: MountList,
    /// Packs, newest first.
    packs: Vec<PathBuf>,
    /// The maximum unpacked size of all packs in bytes.
    limit: u64,
    /// The number of seconds by which times are advanced.
    moved_on: i64,
    /// Whether equal names and sizes mean equal files, regardless of times.
    is_touched: bool,
}

impl Incoming {
    /// Reads the list of a saved mount and checks it against the entry. `now` is the time in
    /// seconds since 1970.
    pub(super) fn open(dir: &Path, entry: &MountEntry, now: i64) -> Result<Self> {
        let blob = |digest: &str| layout_check::blobs(dir).join(digest);
        let list = read_list(&blob(&entry.manifest.digest))?;
        if (list.files(), list.bytes()) != (entry.files, entry.bytes) {
            bail!("its list of files has other sizes than recorded");
        }
        // Packs also have files that were later replaced or removed.
        let limit = entry.bytes.saturating_mul(16).saturating_add(1 << 30);
        let packs = entry.packs.iter().rev().map(|pack| blob(&pack.digest)).collect();
        // Go removes files that were not used for five days, by their times. With all times
        // advanced, the mount looks as if it had never been away.
        let is_go = list.0.contains_key(&b"./trim.txt"[..]);
        let moved_on = if is_go { (now - entry.saved.as_second()).max(0) } else { 0 };
        Ok(Self { packs, ..Self::new(list, limit, moved_on) })
    }

    /// Creates the content of a list, without packs.
    pub(crate) fn new(list: MountList, limit: u64, moved_on: i64) -> Self {
        let is_touched = list.is_touched();
        Self { list, packs: Vec::new(), limit, moved_on, is_touched }
    }

    /// Starts to write this number of tars.
    pub(super) fn begin(self, streams: usize) -> Vec<Receiver<Piece>> {
        let (sinks, receivers) = (0..streams).map(|_| Sink::new()).unzip();
        std::thread::spawn(move || {
            // After a failure the tars have no end, so the unpacking fails.
            let written = self.write(sinks);
            for sink in written.unwrap_or_default() {
                let _ = sink.finish();
            }
        });
        receivers
    }

    /// Returns the records of all directories.
    pub(super) fn directories(&self) -> Vec<u8> {
        let directories = self.list.0.iter().filter(|(_, file)| file.kind == FileKind::Directory);
        MountList(directories.map(|(path, file)| (path.clone(), file.clone())).collect()).to_bytes()
    }

    /// Writes all files.
    pub(super) fn write<W: Write>(&self, sinks: Vec<W>) -> Result<Vec<W>> {
        self.write_packs(sinks, self.packs.iter().map(|pack| codec::reader(pack)))
    }

    /// Writes what these packs deliver, the newest one first.
    pub(crate) fn write_packs<W: Write, R: Read>(
        &self,
        sinks: Vec<W>,
        packs: impl Iterator<Item = Result<R>>,
    ) -> Result<Vec<W>> {
        let builders = sinks.into_iter().map(|sink| (0, Builder::new(sink))).collect();
        let mut out = Out { incoming: self, builders, written: BTreeMap::new() };
        out.directories()?;
        let mut left = self.limit;
        for pack in packs {
            let mut reader = PackReader::new(pack?.take(left));
            out.pack(&mut reader)?;
            left = reader.into_inner().limit();
            if left == 0 {
                bail!("its packs are larger than recorded");
            }
        }
        out.builders.into_iter().map(|(_, builder)| builder.into_inner().map_err(Into::into)).collect()
    }
}

/// Reads a list of files.
pub(super) fn read_list(path: &Path) -> Result<MountList> {
    let mut bytes = Vec::new();
    codec::reader(path)?.take(LARGEST_LIST).read_to_end(&mut bytes).context("its list of files")?;
    if bytes.len() as u64 == LARGEST_LIST {
        bail!("its list of files is too long");
    }
    MountList::parse(&bytes)
}

struct Out<'a, W: Write> {
    incoming: &'a Incoming,
    /// Tars, each with its size so far.
    builders: Vec<(u64, Builder<W>)>,
    /// Written files, with the tar that has them.
    written: BTreeMap<Vec<u8>, usize>,
}

impl<W: Write> Out<'_, W> {
    /// Writes all directories to each tar: the one that is unpacked last sets their times.
    fn directories(&mut self) -> Result<()> {
        let directories = self.incoming.list.0.iter().filter(|(_, file)| file.kind == FileKind::Directory);
        for (path, file) in directories {
            for (_, builder) in &mut self.builders {
                let header = tar_header(file, EntryType::Directory, 0);
                let time = self.incoming.time(file).into_bytes();
                let more = [("path".to_owned(), path.clone()), ("mtime".to_owned(), time)];
                append(builder, header, &more, &mut io::empty())?;
            }
        }
        Ok(())
    }

    /// Writes the files of a pack that no newer pack has.
    fn pack(&mut self, pack: &mut PackReader<impl Read>) -> Result<()> {
        let mut of_pack = BTreeSet::new();
        while let Some(packed) = pack.next()? {
            let Some((path, file)) = self.incoming.list.0.get_key_value(&packed.path) else { continue };
            if self.written.contains_key(path) || !self.incoming.fits(file, &packed) {
                continue;
            }
            let first = packed.link.as_ref().filter(|_| packed.kind == EntryType::Link);
            let at = match first {
                // The first name of a file with several names has the contents.
                Some(first) if of_pack.contains(first) => self.written[first],
                Some(_) => continue,
                None => self.emptiest(),
            };
            self.append(at, (path, file), &packed, pack)?;
            self.written.insert(path.clone(), at);
            of_pack.insert(path.clone());
        }
        Ok(())
    }

    fn append(
        &mut self,
        at: usize,
        (path, file): (&[u8], &Listed),
        packed: &Packed,
        contents: &mut dyn Read,
    ) -> Result<()> {
        let (bytes, builder) = &mut self.builders[at];
        *bytes += packed.stored + 4096;
        let time = self.incoming.time(file);
        let mut more = vec![("mtime".to_owned(), time.into_bytes())];
        more.extend(packed.link.iter().map(|link| ("linkpath".to_owned(), link.clone())));
        // Other attributes grant rights, which a pack must not do.
        let attributes = packed.attributes.iter().filter(|(name, _)| name.starts_with("user."));
        more.extend(attributes.map(|(name, value)| (format!("SCHILY.xattr.{name}"), value.clone())));
        if packed.is_sparse {
            let text = |text: &str| text.as_bytes().to_vec();
            more.extend([
                ("GNU.sparse.major".to_owned(), text("1")),
                ("GNU.sparse.minor".to_owned(), text("0")),
                ("GNU.sparse.name".to_owned(), path.to_vec()),
                ("GNU.sparse.realsize".to_owned(), text(&packed.size.to_string())),
            ]);
        } else {
            more.push(("path".to_owned(), path.to_vec()));
        }
        if path == b"./trim.txt" && self.incoming.moved_on > 0 {
            let text = self.incoming.trimmed(contents)?;
            let header = tar_header(file, packed.kind, text.len() as u64);
            return append(builder, header, &more, &mut text.as_bytes());
        }
        append(
            builder,
            tar_header(file, packed.kind, packed.stored),
            &more,
            &mut contents.take(packed.stored),
        )
    }

    fn emptiest(&self) -> usize {
        (0..self.builders.len()).min_by_key(|at| self.builders[*at].0).unwrap_or_default()
    }
}

impl Incoming {
    fn time(&self, file: &Listed) -> String {
        let moved_on = if file.kind == FileKind::File { self.moved_on } else { 0 };
        FileTime { seconds: file.time.seconds + moved_on, ..file.time.clone() }.to_string()
    }

    /// Reads when Go last looked for old files.
    fn trimmed(&self, mut file: &mut dyn Read) -> Result<String> {
        let mut text = String::new();
        (&mut file).take(64).read_to_string(&mut text)?;
        let seconds = text.trim().parse::<i64>().ok();
        Ok(seconds.map_or(text, |seconds| seconds.saturating_add(self.moved_on).to_string()))
    }

    /// Returns whether a file of a pack matches the list.
    fn fits(&self, file: &Listed, packed: &Packed) -> bool {
        match (file.kind, packed.kind) {
            (FileKind::File, EntryType::Regular) => {
                // A map of holes takes a few bytes for each.
                let has_room = packed.stored <= packed.size.saturating_add(1 << 24);
                let is_same = self.is_touched || packed.time.as_ref() == Some(&file.time);
                packed.size == file.size && has_room && is_same
            }
            (FileKind::File, EntryType::Link) => file.links > 1,
            (FileKind::Symlink, EntryType::Symlink) => {
                packed.link.as_ref().is_some_and(|link| link.len() as u64 == file.size)
            }
            _ => false,
        }
    }
}

/// Creates a header from the list only. Set-user-ID and set-group-ID of root are removed.
fn tar_header(file: &Listed, kind: EntryType, size: u64) -> Header {
    const SET_ID: u32 = 0o6000;
    let is_set_root = kind == EntryType::Regular && (file.uid == 0 || file.gid == 0);
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(if is_set_root { file.mode & !SET_ID } else { file.mode });
    header.set_uid(file.uid);
    header.set_gid(file.gid);
    header.set_size(size);
    header.set_mtime(u64::try_from(file.time.seconds).unwrap_or_default());
    header
}

/// Writes one file: a record with the data that doesn't fit into a header, then the file.
fn append<W: Write>(
    builder: &mut Builder<W>,
    mut header: Header,
    more: &[(String, Vec<u8>)],
    contents: &mut dyn Read,
) -> Result<()> {
    builder.append_pax_extensions(more.iter().map(|(key, value)| (key.as_str(), value.as_slice())))?;
    header.set_path("file")?;
    header.set_cksum();
    builder.append(&header, contents)?;
    Ok(())
}

#[cfg(test)]
#[path = "incoming_tests.rs"]
mod tests;
