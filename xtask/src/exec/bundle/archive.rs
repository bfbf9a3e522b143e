//! Reads a `docker save` archive strictly and writes it again. `docker load` accepts every name in
//! an archive, and parsers disagree about unusual archives. So the engine only gets an archive
//! written here: one image with one name, and the blobs that it refers to, each with the digest in
//! its name.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::process::{retry, signals};
use crate::store::layout_check::{INDEX_TYPES, MANIFEST_TYPES, OCI_LAYOUT};

/// The maximum size of a JSON document of an image in bytes. The limit of BuildKit and containerd
/// is 4 MiB.
const LARGEST_DOCUMENT: u64 = 4 << 20;
/// The maximum number of files in an archive. An image has at most 127 layers.
const MOST_FILES: usize = 1000;

/// A reference to a blob in an image.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: String,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<serde_json::Value>,
    #[serde(default, skip_serializing)]
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Manifest {
    config: Descriptor,
    layers: Vec<Descriptor>,
}

/// The files of an archive by name: offset and size in bytes.
type Files = BTreeMap<String, (u64, u64)>;

/// Writes the image `name` of the archive `from` to `to`.
///
/// # Errors
///
/// Fails if the archive differs from the format of `docker save` of Docker 25 or newer, if it has
/// another image or another name, and if a blob's digest differs from its name.
pub(crate) fn rewrite(from: &Path, name: &str, to: &mut File) -> Result<()> {
    let mut source = File::open(from)?;
    let files = list(&mut source)?;
    let index: Index = document(&mut source, &files, "index.json")?;
    let [image] = index.manifests.as_slice() else {
        bail!("its base image has {} images instead of one", index.manifests.len());
    };
    let found = image.annotations.get("io.containerd.image.name").map_or("", String::as_str);
    let is_ours = found == name || found.strip_prefix("docker.io/") == Some(name);
    ensure!(is_ours, "its base image is named `{}`, and only `{name}` is accepted", found.escape_default());
    let mut walk = Walk { source, files, blobs: BTreeSet::new(), images: Vec::new() };
    walk.image(image, 0)?;
    let Some((config, layers)) = walk.images.first() else {
        bail!("its base image has no manifest");
    };
    let path = |descriptor: &Descriptor| blob_name(&descriptor.digest);
    let tag = name.rsplit_once(':').map_or("latest", |(_, tag)| tag);
    let mut named = serde_json::to_value(image)?;
    named["annotations"] = json!({
        "io.containerd.image.name": format!("docker.io/{name}"), "org.opencontainers.image.ref.name": tag,
    });
    let index = json!({"schemaVersion": 2, "mediaType": INDEX_TYPES[0], "manifests": [named]});
    let layers: Vec<String> = layers.iter().map(path).collect();
    let manifest = json!([{"Config": path(config), "RepoTags": [name], "Layers": layers}]);
    let mut archive = tar::Builder::new(to);
    for (name, text) in [
        ("oci-layout", OCI_LAYOUT.to_owned()),
        ("index.json", index.to_string()),
        ("manifest.json", manifest.to_string()),
    ] {
        append(&mut archive, name, text.len() as u64, text.as_bytes())?;
    }
    walk.copy(&mut archive)?;
    archive.into_inner()?.sync_all()?;
    Ok(())
}

fn append(archive: &mut tar::Builder<&mut File>, name: &str, size: u64, data: impl Read) -> Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_size(size);
    header.set_mode(0o644);
    archive.append_data(&mut header, name, data)?;
    Ok(())
}

/// Lists the files of an archive. Everything that two parsers may read differently is an error:
/// extended headers, links, a directory with a size, a name that is not unique or not normalized.
fn list(source: &mut File) -> Result<Files> {
    let mut archive = tar::Archive::new(source);
    let mut files = Files::new();
    for entry in archive.entries()?.raw(true) {
        signals::check()?;
        let entry = entry.context("its base image is not a tar archive")?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let is_blob = name.strip_prefix("blobs/sha256/").is_some_and(is_hex_digest);
        let fits = match entry.header().entry_type() {
            tar::EntryType::Directory => {
                ["blobs/", "blobs/sha256/"].contains(&name.as_str()) && entry.size() == 0
            }
            tar::EntryType::Regular => {
                is_blob
                    || ["index.json", "manifest.json", "oci-layout", "repositories"].contains(&name.as_str())
            }
            _ => false,
        };
        ensure!(
            fits,
            "its base image has the entry `{}`, which `docker save` does not write",
            name.escape_default()
        );
        let known = files.insert(name.clone(), (entry.raw_file_position(), entry.size()));
        ensure!(known.is_none(), "its base image has the entry `{name}` twice");
        ensure!(files.len() <= MOST_FILES, "its base image has more than {MOST_FILES} files");
    }
    Ok(files)
}

fn is_hex_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn blob_name(digest: &str) -> String {
    format!("blobs/{}", digest.replacen(':', "/", 1))
}

fn open_entry(source: &mut File, files: &Files, name: &str) -> Result<io::Take<File>> {
    let (offset, size) =
        files.get(name).with_context(|| format!("its base image lacks `{}`", name.escape_default()))?;
    source.seek(SeekFrom::Start(*offset))?;
    Ok(source.try_clone()?.take(*size))
}

fn read_entry(source: &mut File, files: &Files, name: &str) -> Result<Vec<u8>> {
    let mut content = open_entry(source, files, name)?;
    ensure!(content.limit() <= LARGEST_DOCUMENT, "`{name}` in its base image has {} bytes", content.limit());
    let mut bytes = Vec::new();
    content.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn document<T: for<'a> Deserialize<'a>>(source: &mut File, files: &Files, name: &str) -> Result<T> {
    let bytes = read_entry(source, files, name)?;
    serde_json::from_slice(&bytes).with_context(|| format!("failed to read `{name}` in its base image"))
}

/// The blobs that an image refers to.
struct Walk {
    source: File,
    files: Files,
    /// Digests of the reached blobs.
    blobs: BTreeSet<String>,
    /// Configuration and layers of each manifest.
    images: Vec<(Descriptor, Vec<Descriptor>)>,
}

impl Walk {
    /// Follows the descriptor of a manifest, or of an index of manifests. Manifests of other
    /// platforms may be missing.
    fn image(&mut self, descriptor: &Descriptor, depth: usize) -> Result<()> {
        ensure!(depth < 4, "its base image has nested indexes");
        self.reach(descriptor)?;
        let name = blob_name(&descriptor.digest);
        if INDEX_TYPES.contains(&descriptor.media_type.as_str()) {
            let index: Index = document(&mut self.source, &self.files, &name)?;
            for manifest in &index.manifests {
                if self.files.contains_key(&blob_name(&manifest.digest)) {
                    self.image(manifest, depth + 1)?;
                }
            }
            return Ok(());
        }
        let kind = descriptor.media_type.as_str();
        ensure!(
            MANIFEST_TYPES.contains(&kind),
            "its base image has a part of the type `{}`",
            kind.escape_default()
        );
        let manifest: Manifest = document(&mut self.source, &self.files, &name)?;
        self.reach(&manifest.config)?;
        manifest.layers.iter().try_for_each(|layer| self.reach(layer))?;
        self.images.push((manifest.config, manifest.layers));
        Ok(())
    }

    fn reach(&mut self, descriptor: &Descriptor) -> Result<()> {
        let digest = &descriptor.digest;
        let is_digest = digest.strip_prefix("sha256:").is_some_and(is_hex_digest);
        ensure!(
            is_digest,
            "its base image refers to `{}`, which is not a SHA-256 digest",
            digest.escape_default()
        );
        let size = self.files.get(&blob_name(digest)).map(|(_, size)| *size);
        ensure!(size == Some(descriptor.size), "its base image lacks `{digest}`, or its size differs");
        self.blobs.insert(digest.clone());
        Ok(())
    }

    /// Copies the reached blobs, and checks each against its digest.
    fn copy(&mut self, archive: &mut tar::Builder<&mut File>) -> Result<()> {
        for digest in std::mem::take(&mut self.blobs) {
            let name = blob_name(&digest);
            let mut hashed =
                Hashed { from: open_entry(&mut self.source, &self.files, &name)?, hash: Sha256::new() };
            append(archive, &name, self.files[&name].1, &mut hashed)?;
            let found = format!("sha256:{:x}", hashed.hash.finalize());
            ensure!(found == digest, "its base image is damaged: `{digest}` has the digest {found}");
        }
        Ok(())
    }
}

/// Hashes the data that is read through it.
struct Hashed<R> {
    from: R,
    hash: Sha256,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if signals::interrupted() {
            return Err(io::Error::other("interrupted"));
        }
        let count = retry::read(&mut self.from, buffer)?;
        self.hash.write_all(&buffer[..count])?;
        Ok(count)
    }
}

#[cfg(test)]
#[path = "archive_tests.rs"]
mod tests;
