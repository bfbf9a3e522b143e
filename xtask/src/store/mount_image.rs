//! A saved cache mount as an image in a registry. Its packs and its list of files are the layers,
//! byte for byte, and its `entry.json` is a label. So a registry keeps each pack once, however
//! often the mount grows and is pushed, and a reader pulls only missing packs. No engine ever
//! unpacks such an image, which has no file system.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::layout_check::Blob;
use super::mount::MountEntry;
use super::validate::Validate;

/// The label with the entry.
pub(crate) const LABEL: &str = "builder.durango.mount";
/// The tag inside the layout that is passed to BuildKit.
pub(crate) const TAG: &str = "mount";

/// The small documents of an OCI layout around a mount's blobs.
pub(crate) struct Documents {
    /// `index.json`.
    pub index: Vec<u8>,
    /// The image's manifest, and its digest in hex.
    pub manifest: (String, Vec<u8>),
    /// The image's configuration, and its digest in hex.
    pub config: (String, Vec<u8>),
}

/// Returns the image of an entry, always the same one for the same entry. The packs come oldest
/// first and the list of files last. So a mount that grew has its earlier layers at the bottom,
/// where BuildKit finds them.
pub(crate) fn documents(entry: &MountEntry) -> Result<Documents> {
    let blobs: Vec<&Blob> = entry.packs.iter().chain([&entry.manifest]).collect();
    let (os, rest) = entry.platform.split_once('/').unwrap_or(("linux", &entry.platform));
    let architecture = rest.split('/').next().unwrap_or(rest);
    let digests: Vec<String> = blobs.iter().map(|blob| format!("sha256:{}", blob.digest)).collect();
    let created = entry.saved.to_string();
    let history: Vec<Value> =
        blobs.iter().map(|_| json!({"created": created, "created_by": "cargo xtask"})).collect();
    let config = serde_json::to_vec(&json!({
        "architecture": architecture,
        "os": os,
        "created": created,
        "config": {"Labels": {LABEL: serde_json::to_string(entry)?}},
        "rootfs": {"type": "layers", "diff_ids": digests},
        "history": history,
    }))?;
    let layer =
        |blob: &&Blob| descriptor("application/vnd.oci.image.layer.v1.tar+zstd", &blob.digest, blob.size);
    let config = (hex(&config), config);
    let manifest = serde_json::to_vec(&json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor("application/vnd.oci.image.config.v1+json", &config.0, config.1.len() as u64),
        "layers": blobs.iter().map(layer).collect::<Vec<_>>(),
    }))?;
    let manifest = (hex(&manifest), manifest);
    let mut top = descriptor(MANIFEST, &manifest.0, manifest.1.len() as u64);
    top["annotations"] = json!({"org.opencontainers.image.ref.name": TAG});
    let index = serde_json::to_vec(&json!({"schemaVersion": 2, "manifests": [top]}))?;
    Ok(Documents { index, manifest, config })
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn descriptor(media_type: &str, digest: &str, size: u64) -> Value {
    json!({"mediaType": media_type, "digest": format!("sha256:{digest}"), "size": size})
}

fn hex(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

/// Returns the entry in an image's configuration. An answer of a registry is not trusted, because
/// digests become file names.
pub fn entry(config: &str) -> Result<MountEntry> {
    let config: Value = serde_json::from_str(config).context("its configuration is not valid")?;
    // buildx prints `Config`, newer versions by platform; the document itself has `config`.
    let text = label(&config).context("it is not a cache mount that xtask pushed")?;
    let entry: MountEntry = serde_json::from_str(text).context("its entry is not valid")?;
    entry.validate()?;
    Ok(entry)
}

fn label(value: &Value) -> Option<&str> {
    let fields = value.as_object()?;
    if let Some(text) = fields.get(LABEL) {
        return text.as_str();
    }
    fields.values().find_map(label)
}

/// A mount in a registry.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct RemoteMount {
    /// Its full reference.
    pub reference: String,
    /// Its entry.
    pub entry: MountEntry,
}

/// Returns each mount from the first registry that has it. `found` is in the order of the
/// registries.
pub(crate) fn first_of_each(found: Vec<RemoteMount>) -> BTreeMap<String, RemoteMount> {
    let mut mounts = BTreeMap::new();
    for mount in found {
        mounts.entry(mount.entry.identity.slug()).or_insert(mount);
    }
    mounts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::mount::{MountIdentity, Sharing};
    use crate::store::key::FORMAT;

    fn blob(text: &str) -> Blob {
        Blob { digest: hex(text.as_bytes()), size: text.len() as u64 }
    }

    fn saved() -> MountEntry {
        MountEntry {
            format: FORMAT,
            identity: MountIdentity { id: "durango-gomod".into(), ..MountIdentity::default() },
            sharing: Sharing::Shared,
            target: "/go/pkg/mod".into(),
            platform: "linux/arm64/v8".into(),
            saved: jiff::Timestamp::from_second(1).expect("in range"),
            files: 2,
            bytes: 3,
            is_shared: true,
            manifest: blob("list"),
            packs: vec![blob("old"), blob("new")],
            steps: Vec::new(),
        }
    }

    #[test]
    fn an_entry_goes_through_an_image_and_packs_are_its_layers() {
        let image = documents(&saved()).expect("an image");
        let config = String::from_utf8(image.config.1).expect("text");
        assert_eq!(entry(&config).expect("an entry"), saved());
        let manifest: Value = serde_json::from_slice(&image.manifest.1).expect("JSON");
        let layers: Vec<&str> = manifest["layers"]
            .as_array()
            .expect("layers")
            .iter()
            .filter_map(|l| l["digest"].as_str())
            .collect();
        let digest = |text: &str| format!("sha256:{}", blob(text).digest);
        assert_eq!(layers, [digest("old"), digest("new"), digest("list")]);
        assert_eq!(image.manifest.0, documents(&saved()).expect("an image").manifest.0, "the same each time");
        assert_eq!(serde_json::from_str::<Value>(&config).expect("JSON")["architecture"], "arm64");
        // As buildx prints an index.
        let by_platform = format!(r#"{{"linux/arm64": {}}}"#, config.replace("\"config\"", "\"Config\""));
        assert_eq!(entry(&by_platform).expect("an entry"), saved());
    }

    #[test]
    fn what_a_registry_says_is_not_trusted() {
        let of = |entry: &MountEntry| {
            String::from_utf8(documents(entry).expect("an image").config.1).expect("text")
        };
        let other = MountEntry { format: FORMAT + 1, ..saved() };
        assert!(entry(&of(&other)).expect_err("newer").to_string().contains("format"));
        let mut path = saved();
        path.packs[0].digest = "../".repeat(21) + "x";
        assert!(entry(&of(&path)).expect_err("a path").to_string().contains("not a SHA-256"));
        assert!(entry("{}").expect_err("an image").to_string().contains("not a cache mount"));
        assert!(entry("<html>").is_err());
    }
}
