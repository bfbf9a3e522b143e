//! Checks that a directory is an export of BuildKit's `type=local`: an OCI layout whose index names
//! a tag, whose manifest is an OCI index (BuildKit before 0.21) or an OCI manifest (since 0.21),
//! with a cache configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::files;

/// The media type of the cache configuration (BuildKit's `cache/remotecache/v1/spec.go`).
pub(crate) const CACHE_CONFIG: &str = "application/vnd.buildkit.cacheconfig.v0";

/// The annotation of an index that names the tag of a manifest.
pub(crate) const TAG: &str = "org.opencontainers.image.ref.name";

/// The media types of a list of manifests.
pub(crate) const INDEX_TYPES: [&str; 2] =
    ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];

/// The media types of a manifest.
pub(crate) const MANIFEST_TYPES: [&str; 2] =
    ["application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"];

/// The tag by which BuildKit writes a cache and finds it again.
const LATEST: &str = "latest";

/// The content of `oci-layout`.
#[derive(Deserialize)]
struct Version {
    #[serde(rename = "imageLayoutVersion")]
    version: String,
}

/// The one version that there is.
const VERSION: &str = "1.0.0";

/// The file `oci-layout` of a layout that is written here.
pub(crate) const OCI_LAYOUT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

/// The version of indexes and manifests.
const SCHEMA: u32 = 2;

/// The content of `index.json`, which nothing has the digest of.
#[derive(Deserialize)]
struct Index {
    #[serde(default, rename = "schemaVersion")]
    schema: u32,
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: String,
    #[serde(default)]
    size: u64,
    #[serde(default, rename = "mediaType")]
    media_type: String,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

impl Descriptor {
    fn blob(&self) -> Result<Blob> {
        Ok(Blob { digest: hex(&self.digest)?.to_owned(), size: self.size })
    }
}

/// Either shape of the manifest blob: layers next to the configuration, or all of them as
/// manifests.
#[derive(Deserialize)]
struct Manifest {
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

/// A blob: digest without its algorithm, size in bytes.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
pub struct Blob {
    /// The SHA-256 in hex.
    pub digest: String,
    /// Size in bytes.
    pub size: u64,
}

impl Blob {
    /// Returns its name in a registry.
    pub(crate) fn name(&self) -> String {
        format!("sha256:{}", self.digest)
    }
}

/// Returns the directory of a layout's blobs.
pub fn blobs(dir: &Path) -> PathBuf {
    dir.join("blobs/sha256")
}

/// Checks everything that would end a build: the version, the index, its tag, the manifest, and
/// the configuration. Returns every blob that it names, once: two steps that change nothing have
/// the same empty layer.
pub(crate) fn shape(dir: &Path) -> Result<Vec<Blob>> {
    let Version { version } = json(&dir.join("oci-layout"))?;
    ensure!(version == VERSION, "its layout has version `{}`", version.escape_default());
    let index: Index = json(&dir.join("index.json"))?;
    let tagged = |descriptor: &&Descriptor| descriptor.annotations.get(TAG).is_some_and(|tag| tag == LATEST);
    let Some(top) = index.manifests.iter().find(tagged) else { bail!("its index has no tag `{LATEST}`") };
    ensure!(index.schema == SCHEMA, "its index has version {}", index.schema);
    let is_known = INDEX_TYPES.into_iter().chain(MANIFEST_TYPES).any(|known| known == top.media_type);
    ensure!(is_known, "its manifest has the type `{}`", top.media_type.escape_default());
    let manifest: Manifest = json(&blobs(dir).join(hex(&top.digest)?))?;
    let all: Vec<&Descriptor> =
        manifest.config.iter().chain(&manifest.layers).chain(&manifest.manifests).collect();
    let Some(config) = all.iter().find(|descriptor| descriptor.media_type == CACHE_CONFIG) else {
        bail!("it has no cache configuration");
    };
    let _: serde::de::IgnoredAny = json(&blobs(dir).join(hex(&config.digest)?))?;
    let named = std::iter::once(top).chain(all.iter().copied());
    let all: Result<BTreeSet<Blob>> = named.map(Descriptor::blob).collect();
    let all = all?;
    // BuildKit would wait for the writer of a named pipe.
    let is_other =
        |blob: &&Blob| fs::metadata(blobs(dir).join(&blob.digest)).is_ok_and(|meta| !meta.is_file());
    if let Some(other) = all.iter().find(is_other) {
        bail!("its blob `{}` is not a regular file", other.digest);
    }
    Ok(all.into_iter().collect())
}

/// Checks that a layout of an image, as `docker save` writes it, has the blobs of its index. For a
/// multi-platform image it has only this machine's platform, so the manifests are not followed.
pub(crate) fn image(dir: &Path) -> Result<()> {
    let index: Index = json(&dir.join("index.json"))?;
    for top in index.manifests {
        has(dir, &top.blob()?)?;
        let manifest: Manifest = json(&blobs(dir).join(hex(&top.digest)?))?;
        for part in manifest.config.iter().chain(&manifest.layers) {
            has(dir, &part.blob()?)?;
        }
    }
    Ok(())
}

/// Checks that a blob exists and has its size.
pub(crate) fn has(dir: &Path, blob: &Blob) -> Result<()> {
    let path = blobs(dir).join(&blob.digest);
    let meta = fs::metadata(&path).with_context(|| format!("failed to read `{}`", path.display()))?;
    ensure!(meta.is_file(), "`{}` is not a regular file", path.display());
    let size = meta.len();
    if size != blob.size {
        bail!("`{}` has {size} bytes in place of {}", path.display(), blob.size);
    }
    Ok(())
}

/// Checks a blob's size and digest.
pub fn verify(dir: &Path, blob: &Blob) -> Result<()> {
    has(dir, blob)?;
    let path = blobs(dir).join(&blob.digest);
    let digest = measure(&path)?.digest;
    if digest != blob.digest {
        bail!("`{}` has the digest {digest}", path.display());
    }
    Ok(())
}

/// Returns the digest and size of a file, read once in small pieces.
pub(crate) fn measure(path: &Path) -> Result<Blob> {
    let mut hash = Sha256::new();
    let mut file =
        files::open_to_read(path).with_context(|| format!("failed to read `{}`", path.display()))?;
    let size = io::copy(&mut file, &mut hash)?;
    Ok(Blob { digest: format!("{:x}", hash.finalize()), size })
}

/// Returns the identity of a blob's file, which is the same for hard links.
pub(super) fn identity(dir: &Path, blob: &Blob) -> Option<(u64, u64)> {
    let meta = fs::metadata(blobs(dir).join(&blob.digest)).ok()?;
    Some((meta.dev(), meta.ino()))
}

pub(crate) fn hex(digest: &str) -> Result<&str> {
    let hex = digest
        .strip_prefix("sha256:")
        .filter(|hex| hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()));
    hex.with_context(|| format!("`{digest}` is not a SHA-256 digest"))
}

pub(crate) fn json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = files::read(path).with_context(|| format!("failed to read `{}`", path.display()))?;
    serde_json::from_slice(&bytes).with_context(|| format!("`{}` is not valid", path.display()))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Writes a valid layout of a cache, with one blob that contains a text.
    pub(crate) fn layout_of(dir: &Path, text: &str) {
        let hex = |bytes: &[u8]| format!("{:x}", Sha256::digest(bytes));
        fs::create_dir_all(blobs(dir)).expect("made");
        let put = |bytes: &[u8]| fs::write(blobs(dir).join(hex(bytes)), bytes).expect("written");
        let config = serde_json::json!({ "text": text }).to_string();
        let descriptor = |bytes: &[u8], media_type: &str| {
            serde_json::json!({"digest": format!("sha256:{}", hex(bytes)), "size": bytes.len(),
                "mediaType": media_type, "annotations": {TAG: LATEST}})
        };
        // BuildKit lists a layer once for each step that has it.
        let config_once = descriptor(config.as_bytes(), CACHE_CONFIG);
        let manifest = serde_json::json!({ "manifests": [config_once.clone(), config_once] }).to_string();
        let top = descriptor(manifest.as_bytes(), INDEX_TYPES[0]);
        let index = serde_json::json!({"schemaVersion": SCHEMA, "manifests": [top]}).to_string();
        put(config.as_bytes());
        put(manifest.as_bytes());
        fs::write(dir.join("index.json"), index).expect("written");
        fs::write(dir.join("oci-layout"), OCI_LAYOUT).expect("written");
    }

    #[test]
    fn every_damage_of_the_version_and_the_index_is_seen() {
        let dir = tempfile::tempdir().expect("a directory");
        layout_of(dir.path(), "x");
        assert_eq!(shape(dir.path()).expect("valid").len(), 2);
        // Nothing has the digest of these two. BuildKit checks a size when it reads the blob.
        for name in ["index.json", "oci-layout"] {
            let path = dir.path().join(name);
            let whole = files::read(&path).expect("read");
            for bit in 0..whole.len() * 8 {
                let mut flipped = whole.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                fs::write(&path, flipped).expect("written");
                let blobs = shape(dir.path());
                let is_whole =
                    blobs.is_ok_and(|blobs| blobs.iter().all(|blob| has(dir.path(), blob).is_ok()));
                assert!(!is_whole, "{name}: bit {bit}");
            }
            for length in 0..whole.len() {
                fs::write(&path, &whole[..length]).expect("written");
                assert!(shape(dir.path()).is_err(), "{name}: {length} bytes");
            }
            fs::write(&path, whole).expect("written");
        }
        let path = dir.path().join("oci-layout");
        fs::remove_file(&path).expect("removed");
        assert!(shape(dir.path()).is_err(), "it is missing");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        let pipe = |path: &Path| {
            rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).expect("made");
        };
        pipe(&path);
        assert!(shape(dir.path()).is_err(), "it is a pipe");
        fs::remove_file(&path).expect("removed");
        fs::write(&path, OCI_LAYOUT).expect("written");
        for blob in shape(dir.path()).expect("valid") {
            let file = blobs(dir.path()).join(&blob.digest);
            let content = fs::read(&file).expect("read");
            fs::remove_file(&file).expect("removed");
            pipe(&file);
            assert!(shape(dir.path()).is_err() && verify(dir.path(), &blob).is_err(), "a blob is a pipe");
            fs::remove_file(&file).expect("removed");
            fs::write(&file, content).expect("written");
        }
        fs::remove_file(&path).expect("removed");
        fs::create_dir(&path).expect("made");
        let error = format!("{:#}", shape(dir.path()).expect_err("it is a directory"));
        assert!(error.contains("oci-layout"), "{error}");
    }
}
