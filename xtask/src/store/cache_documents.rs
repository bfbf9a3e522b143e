//! The documents of a cache: its manifest, in either of two shapes, and its configuration.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::cache_config::CacheConfig;
use super::layout_check::{Blob, CACHE_CONFIG};
use crate::text::sha256;

/// The media type of a manifest that lists layers as manifests.
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// The media type of a manifest that lists them as layers.
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// The two lists of descriptors that a manifest may have: see [`super::layout_check`].
const LISTS: [&str; 2] = ["layers", "manifests"];

/// A cache's manifest and configuration.
#[derive(Debug, Clone)]
pub(crate) struct CacheDocuments {
    manifest: Value,
    config: CacheConfig,
    /// The descriptors of its layers.
    layers: Vec<Value>,
}

/// A document with its digest and size.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    pub(crate) blob: Blob,
    pub(crate) bytes: Vec<u8>,
}

/// The documents as they are written.
#[derive(Debug, Clone)]
pub(crate) struct WrittenCache {
    pub(crate) manifest: Document,
    /// The media type of the manifest.
    pub(crate) media_type: &'static str,
    pub(crate) config: Document,
}

impl CacheDocuments {
    /// Creates them from what a builder has written.
    pub(crate) fn new(manifest: Value, config: CacheConfig) -> Self {
        let lists = LISTS.iter().filter_map(|list| manifest[*list].as_array());
        let layers = lists.flatten().filter(|part| !is_config(part)).cloned().collect();
        Self { manifest, config, layers }
    }

    /// Adds the layers that an earlier cache has for steps of this one. Returns the descriptors of
    /// layers that this cache did not list before, or `None` if no step got any.
    pub(crate) fn complete_from(&mut self, earlier: &Self) -> Option<Vec<Value>> {
        let added = self.config.complete_from(&earlier.config);
        if added.is_empty() {
            return None;
        }
        let known: BTreeSet<&str> = self.layers.iter().map(digest_of).collect();
        let is_new = |layer: &&Value| added.contains(digest_of(layer)) && !known.contains(digest_of(layer));
        let new: Vec<Value> = earlier.layers.iter().filter(is_new).cloned().collect();
        self.layers.extend(new.iter().cloned());
        Some(new)
    }

    /// Gives its steps ids that they have in no other cache: see [`CacheConfig::mark`].
    pub(crate) fn mark(&mut self, id: &str) {
        self.config.mark(id);
    }

    /// Gives the manifest the shape of an index, which lists the configuration among the layers.
    pub(crate) fn into_index(mut self) -> Self {
        let own = config_of(&self.manifest).cloned();
        self.manifest = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [own]});
        self
    }

    /// Returns them as they are written.
    pub(crate) fn write(mut self) -> Result<WrittenCache> {
        let config = Document::new(serde_json::to_vec(&self.config)?)?;
        let descriptor = config_in(&mut self.manifest).context("it has no cache configuration")?;
        point_to(descriptor, &config.blob);
        let is_there = |list: &&str| self.manifest[*list].is_array();
        let list = LISTS.into_iter().find(is_there).context("it has no layers")?;
        let configs = self.manifest[list].as_array().into_iter().flatten().filter(|part| is_config(part));
        let all: Vec<Value> = self.layers.into_iter().chain(configs.cloned()).collect();
        self.manifest[list] = Value::Array(all);
        let media_type = if list == LISTS[0] { MANIFEST } else { INDEX };
        Ok(WrittenCache { manifest: Document::new(serde_json::to_vec(&self.manifest)?)?, media_type, config })
    }

    #[cfg(test)]
    pub(crate) fn layers(&self) -> usize {
        self.layers.len()
    }
}

impl Document {
    fn new(bytes: Vec<u8>) -> Result<Self> {
        Ok(Self { blob: Blob { digest: sha256::hex(&bytes), size: u64::try_from(bytes.len())? }, bytes })
    }
}

/// Returns the digest that a descriptor names.
pub(crate) fn digest_of(descriptor: &Value) -> &str {
    descriptor["digest"].as_str().unwrap_or_default()
}

/// Makes a descriptor name another blob.
pub(crate) fn point_to(descriptor: &mut Value, blob: &Blob) {
    descriptor["digest"] = json!(blob.name());
    descriptor["size"] = json!(blob.size);
}

/// Returns the descriptor of a manifest's configuration.
pub(crate) fn config_of(manifest: &Value) -> Option<&Value> {
    if is_config(&manifest["config"]) {
        return manifest.get("config");
    }
    manifest.get("manifests")?.as_array()?.iter().find(|part| is_config(part))
}

fn config_in(manifest: &mut Value) -> Option<&mut Value> {
    if is_config(&manifest["config"]) {
        return manifest.get_mut("config");
    }
    manifest.get_mut("manifests")?.as_array_mut()?.iter_mut().find(|part| is_config(part))
}

fn is_config(descriptor: &Value) -> bool {
    descriptor["mediaType"] == CACHE_CONFIG
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_has_the_layers_and_the_configuration_of_a_manifest() {
        let config: CacheConfig =
            serde_json::from_value(json!({"records": [{"digest": "a"}]})).expect("a configuration");
        let descriptor =
            |media_type: &str, digest: &str| json!({"mediaType": media_type, "digest": digest, "size": 1});
        let layers = [descriptor("tar", "sha256:1"), descriptor("tar", "sha256:2")];
        let manifest =
            json!({"config": descriptor(CACHE_CONFIG, "sha256:3"), "layers": layers, "mediaType": MANIFEST});
        let documents = CacheDocuments::new(manifest, config);
        let plain = documents.clone().write().expect("documents");
        let index = documents.into_index().write().expect("documents");
        assert_eq!((plain.media_type, index.media_type), (MANIFEST, INDEX));
        assert_eq!(plain.config.bytes, index.config.bytes);
        let json: Value = serde_json::from_slice(&index.manifest.bytes).expect("JSON");
        let parts = json["manifests"].as_array().expect("parts");
        assert_eq!(parts[..2], layers);
        let digest = index.config.blob.name();
        assert_eq!((parts.len(), config_of(&json).map(digest_of)), (3, Some(digest.as_str())));
        let json: Value = serde_json::from_slice(&plain.manifest.bytes).expect("JSON");
        assert_eq!((&json["layers"], digest_of(&json["config"])), (&json!(layers), digest.as_str()));
    }
}
