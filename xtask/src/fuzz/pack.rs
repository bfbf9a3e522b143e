//! The parts of a cache mount that come from other machines: the list of files, and after `--` a
//! pack. The result has the files of the list, and no others.

use std::io::{Read as _, copy, sink};

use tar::EntryType;

use crate::exec::mounts::incoming::Incoming;
use crate::exec::mounts::pack::PackReader;
use crate::store::mount_list::{FileKind, MountList};

/// The most bytes that packs may unpack to.
const LIMIT: u64 = 1 << 20;

pub(super) fn run(input: &[u8]) {
    let end = input.windows(4).position(|window| window == b"\n--\n");
    let (list, pack) = end.map_or((input, &b""[..]), |end| (&input[..end], &input[end + 4..]));
    read(pack);
    // Lists of text files have no NUL.
    let list: Vec<u8> = list.iter().map(|byte| if *byte == b'\n' { 0 } else { *byte }).collect();
    let Ok(list) = MountList::parse(&list) else { return };
    assert_eq!(MountList::parse(&list.to_bytes()).expect("it was written"), list);
    for (path, file) in &list.0 {
        assert!(path == b"." || path.starts_with(b"./"), "{path:?}");
        let leaves = |name: &[u8]| matches!(name, b".." | b"") || name == b"." && path != b".";
        assert!(!path.split(|byte| *byte == b'/').skip(1).any(leaves), "{path:?}");
        assert!(file.kind != FileKind::Directory || file.size == 0);
    }
    let _ = (list.bytes(), list.content(), list.changed(&MountList::default()));
    written(&list, pack);
}

/// A pack is read to its end or to what is wrong with it, within its own length.
fn read(pack: &[u8]) {
    let mut reader = PackReader::new(pack);
    while let Ok(Some(packed)) = reader.next() {
        assert!(packed.path == b"." || packed.path.starts_with(b"./"), "{:?}", packed.path);
        if packed.stored % 3 == 0 && copy(&mut reader, &mut sink()).is_err() {
            break;
        }
    }
}

fn written(list: &MountList, pack: &[u8]) {
    let incoming = Incoming::new(list.clone(), LIMIT, 0);
    let Ok(streams) = incoming.write_packs(vec![Vec::new(), Vec::new()], [pack].into_iter().map(Ok)) else {
        return;
    };
    for stream in streams {
        let mut tar = tar::Archive::new(&stream[..]);
        for entry in tar.entries().expect("a tar") {
            let mut entry = entry.expect("an entry");
            let path = entry.path_bytes().into_owned();
            let path = path.strip_suffix(b"/").unwrap_or(&path);
            // Names of sparse files are in records that this crate does not read.
            let Some(file) = list.0.get(path) else {
                assert!(is_sparse(&mut entry), "{path:?} is not in the list");
                continue;
            };
            let kind = match file.kind {
                FileKind::Directory => EntryType::Directory,
                FileKind::File if entry.header().entry_type() == EntryType::Link => EntryType::Link,
                FileKind::File => EntryType::Regular,
                FileKind::Symlink => EntryType::Symlink,
            };
            assert_eq!(entry.header().entry_type(), kind);
            assert_eq!(entry.header().mode().expect("a mode") & !file.mode, 0, "no rights are added");
            if kind == EntryType::Link {
                let link = entry.link_name_bytes().expect("a link").into_owned();
                assert!(list.0.get(&link).is_some_and(|file| file.kind == FileKind::File), "{link:?}");
            }
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).expect("whole");
            assert!(bytes.len() as u64 <= LIMIT, "it is bounded");
        }
    }
}

fn is_sparse(entry: &mut tar::Entry<'_, &[u8]>) -> bool {
    let records = entry.pax_extensions().ok().flatten();
    records.into_iter().flatten().flatten().any(|record| record.key() == Ok("GNU.sparse.name"))
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let list = b"d 755 0 0 0 0 5 .\nd 755 0 0 0 0 5 ./d\nf 644 0 0 3 2 5 ./d/x\nf 644 0 0 3 2 5 ./d/y\nl 777 0 0 1 0 5 ./s\n--\n";
    let mut tar = tar::Builder::new(list.to_vec());
    let mut add = |name: &str, kind: EntryType, link: &str, data: &[u8], records: &[(&str, &[u8])]| {
        tar.append_pax_extensions(records.iter().copied()).expect("appended");
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_size(data.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(5);
        if !link.is_empty() {
            header.set_link_name(link).expect("short");
        }
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        tar.append(&header, data).expect("appended");
    };
    add("./d/", EntryType::Directory, "", b"", &[]);
    add("./d/x", EntryType::Regular, "", b"abc", &[("mtime", b"5.0"), ("SCHILY.xattr.user.a", b"b")]);
    add("./d/y", EntryType::Link, "./d/x", b"", &[]);
    add("./s", EntryType::Symlink, "x", b"", &[("path", b"./s"), ("linkpath", b"/etc")]);
    add(
        "./d/x",
        EntryType::Regular,
        "",
        b"1\n0\n3\nabc",
        &[("GNU.sparse.realsize", b"3"), ("GNU.sparse.name", b"./d/x")],
    );
    let largest: &[u8] = b"18446744073709551615";
    add("./d/x", EntryType::Regular, "", b"abc", &[("size", largest)]);
    vec![tar.into_inner().expect("written")]
}
