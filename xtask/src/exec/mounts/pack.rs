//! Reads packs, which are tars in the format of GNU tar: file by file, with the records before each
//! file. Names may have line breaks, a record may have the size, and several tars may follow each
//! other.

use std::io::{self, Read};

use anyhow::{Context, Result, bail, ensure};
use tar::{EntryType, Header};

use crate::process::retry;
use crate::store::mount_list::FileTime;

/// The maximum size of the records of one file.
const LONGEST: u64 = 1 << 20;

/// No file is larger, in bytes: 1 EiB. Sums of such sizes do not overflow.
const LARGEST: u64 = 1 << 60;

/// The size of a header in bytes, and the unit to which contents are padded.
const BLOCK: u64 = 512;

/// The prefix of attribute names in records.
const ATTRIBUTE: &str = "SCHILY.xattr.";

/// A file of a pack.
#[derive(Debug)]
pub(crate) struct Packed {
    /// Its path in the form of lists.
    pub(crate) path: Vec<u8>,
    pub(crate) kind: EntryType,
    /// Its size. For a sparse file it differs from the size of its contents in the pack.
    pub(crate) size: u64,
    /// The size of its contents in the pack in bytes.
    pub(crate) stored: u64,
    /// The time of the last change.
    pub(crate) time: Option<FileTime>,
    /// The target of a link, or the first name of a file with several names.
    pub(crate) link: Option<Vec<u8>>,
    /// Whether the contents begin with a map of holes.
    pub(crate) is_sparse: bool,
    pub(crate) attributes: Vec<(String, Vec<u8>)>,
}

/// Reads a pack from start to end.
pub(crate) struct PackReader<R> {
    source: R,
    /// The unread rest of the last file, with its padding.
    left: u64,
    padding: u64,
}

impl<R: Read> PackReader<R> {
    pub(crate) fn new(source: R) -> Self {
        Self { source, left: 0, padding: 0 }
    }

    pub(crate) fn into_inner(self) -> R {
        self.source
    }

    /// Returns the next file. Its contents are read from this reader.
    pub(crate) fn next(&mut self) -> Result<Option<Packed>> {
        let (mut records, mut long) = (Vec::new(), [None, None]);
        loop {
            let rest = self.left + self.padding;
            if io::copy(&mut self.source.by_ref().take(rest), &mut io::sink())? != rest {
                bail!("a pack is truncated");
            }
            (self.left, self.padding) = (0, 0);
            let Some(header) = self.header()? else { return Ok(None) };
            let size = header.entry_size().context("a pack is not valid")?;
            check_size(size)?;
            match header.entry_type() {
                EntryType::XHeader => records = parse_records(&self.text(size)?)?,
                EntryType::GNULongName => long[0] = Some(self.text(size)?),
                EntryType::GNULongLink => long[1] = Some(self.text(size)?),
                EntryType::XGlobalHeader => drop(self.text(size)?),
                _ => return self.packed(&header, size, records, long).map(Some),
            }
        }
    }

    /// Returns the next header that is not empty. There are empty ones between several tars.
    fn header(&mut self) -> Result<Option<Header>> {
        let mut header = Header::new_old();
        loop {
            let block = header.as_mut_bytes();
            let mut filled = 0;
            while filled < block.len() {
                match retry::read(&mut self.source, &mut block[filled..])? {
                    0 if filled == 0 => return Ok(None),
                    0 => bail!("a pack is truncated"),
                    bytes => filled += bytes,
                }
            }
            if block.iter().any(|byte| *byte != 0) {
                break;
            }
        }
        let sum: u32 = header.as_bytes().iter().map(|byte| u32::from(*byte)).sum();
        let field: u32 = header.as_old().cksum.iter().map(|byte| u32::from(*byte)).sum();
        if header.cksum()? != sum - field + 8 * u32::from(b' ') {
            bail!("a pack has a header that is not valid");
        }
        Ok(Some(header))
    }

    /// Reads a short text in place of contents.
    fn text(&mut self, size: u64) -> Result<Vec<u8>> {
        if size > LONGEST {
            bail!("a pack has a name of {size} bytes");
        }
        let mut text = Vec::new();
        self.source.by_ref().take(size).read_to_end(&mut text)?;
        (self.left, self.padding) = (size - text.len() as u64, padding(size));
        Ok(text)
    }

    fn packed(
        &mut self,
        header: &Header,
        size: u64,
        records: Vec<(String, Vec<u8>)>,
        [name, link]: [Option<Vec<u8>>; 2],
    ) -> Result<Packed> {
        let cut = |text: Vec<u8>| text.split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
        let seconds = header.mtime().ok();
        let mut packed = Packed {
            path: name.map_or_else(|| header.path_bytes().into_owned(), cut),
            kind: header.entry_type(),
            size,
            stored: size,
            time: seconds.and_then(|seconds| FileTime::parse(&seconds.to_string())),
            link: link.map(cut).or_else(|| Some(header.link_name_bytes()?.into_owned())),
            is_sparse: false,
            attributes: Vec::new(),
        };
        let mut real_size = None;
        for (key, value) in records {
            let number = || std::str::from_utf8(&value).ok()?.parse::<u64>().ok();
            match key.as_str() {
                "path" => packed.path = value,
                "linkpath" => packed.link = Some(value),
                "size" => {
                    packed.stored = number().context("a pack has a size that is not valid")?;
                    check_size(packed.stored)?;
                }
                "mtime" => packed.time = std::str::from_utf8(&value).ok().and_then(FileTime::parse),
                "GNU.sparse.name" => (packed.path, packed.is_sparse) = (value, true),
                "GNU.sparse.realsize" => real_size = number(),
                _ => {
                    let attribute = key.strip_prefix(ATTRIBUTE).map(|name| (name.to_owned(), value));
                    packed.attributes.extend(attribute);
                }
            }
        }
        let has_contents = matches!(packed.kind, EntryType::Regular | EntryType::Continuous);
        if has_contents {
            packed.kind = EntryType::Regular;
        } else {
            packed.stored = 0;
        }
        packed.size = if packed.is_sparse { real_size.unwrap_or_default() } else { packed.stored };
        packed.path = plain(&packed.path);
        if packed.kind == EntryType::Link {
            packed.link = packed.link.map(|link| plain(&link));
        }
        // A file without relevant contents may still have some.
        let filled = if has_contents { packed.stored } else { size };
        (self.left, self.padding) = (filled, padding(filled));
        Ok(packed)
    }
}

impl<R: Read> Read for PackReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = retry::read(&mut self.source.by_ref().take(self.left), buffer)?;
        if bytes == 0 && self.left > 0 && !buffer.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= bytes as u64;
        Ok(bytes)
    }
}

fn check_size(size: u64) -> Result<()> {
    ensure!(size <= LARGEST, "a pack has a file of {size} bytes");
    Ok(())
}

fn padding(size: u64) -> u64 {
    size.next_multiple_of(BLOCK) - size
}

/// Parses repeated `LENGTH KEY=VALUE` lines. Values may have line breaks.
fn parse_records(mut text: &[u8]) -> Result<Vec<(String, Vec<u8>)>> {
    let mut records = Vec::new();
    while !text.is_empty() {
        let record = (|| {
            let blank = text.iter().position(|byte| *byte == b' ')?;
            let length: usize = std::str::from_utf8(&text[..blank]).ok()?.parse().ok()?;
            let record = text.get(blank + 1..length)?.strip_suffix(b"\n")?;
            let equals = record.iter().position(|byte| *byte == b'=')?;
            let key = String::from_utf8(record[..equals].to_vec()).ok()?;
            Some((length, (key, record[equals + 1..].to_vec())))
        })();
        let (length, record) = record.context("a pack has a record that is not valid")?;
        records.push(record);
        text = &text[length..];
    }
    Ok(records)
}

/// Returns a path in the form of lists.
fn plain(path: &[u8]) -> Vec<u8> {
    let path = path.strip_suffix(b"/").unwrap_or(path);
    if path == b"." || path.starts_with(b"./") { path.to_vec() } else { [b"./", path].concat() }
}
