//! Completes an export. BuildKit exports only layers that its builder has read: after a build from
//! a store on a fresh engine, those of steps that no other step needed are missing. The result that
//! has them is removed when newer ones take its place. A complete export gets a mark.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::files::{self, Durability};
use crate::store::cache_config::CacheConfig;
use crate::store::layout_check::{self, Blob};

/// Adds the layers that an earlier result has for steps of this export. Their blobs are linked, or
/// copied where links are not possible. An error leaves the export as it was, with blobs that it
/// doesn't name.
pub(super) fn complete_from(export: &Path, earlier: &Path) -> Result<()> {
    let (mut own, other) = (Parts::read(export)?, Parts::read(earlier)?);
    let added = own.config.complete_from(&other.config);
    if added.is_empty() {
        return Ok(());
    }
    let known: BTreeSet<&str> = own.layers.iter().map(digest_of).collect();
    let is_new = |layer: &&Value| added.contains(digest_of(layer)) && !known.contains(digest_of(layer));
    let new: Vec<Value> = other.layers.iter().filter(is_new).cloned().collect();
    for layer in &new {
        provide(export, earlier, layer)?;
    }
    own.layers.extend(new);
    own.write(export)
}

/// Gives the steps of this export ids that they have in no other result: see [`CacheConfig::mark`].
/// An error leaves the export as it was.
pub(super) fn mark(export: &Path, id: &str) -> Result<()> {
    let mut own = Parts::read(export)?;
    own.config.mark(id);
    own.write(export)
}

/// Makes sure that the export has the blob of a layer.
fn provide(export: &Path, earlier: &Path, layer: &Value) -> Result<()> {
    let digest = layout_check::hex(digest_of(layer))?.to_owned();
    let blob = Blob { digest, size: layer["size"].as_u64().unwrap_or_default() };
    if layout_check::has(export, &blob).is_ok() {
        return Ok(());
    }
    layout_check::has(earlier, &blob)?;
    let [from, to] = [earlier, export].map(|dir| layout_check::blobs(dir).join(&blob.digest));
    let linked = fs::hard_link(&from, &to).or_else(|_| fs::copy(&from, &to).map(drop));
    linked.with_context(|| format!("failed to copy `{}`", from.display()))
}

/// The files that describe an export.
struct Parts {
    index: Value,
    manifest: Value,
    config: CacheConfig,
    /// The descriptors of its layers.
    layers: Vec<Value>,
}

impl Parts {
    /// The two lists of descriptors that a manifest may have: see [`layout_check`].
    const LISTS: [&str; 2] = ["layers", "manifests"];

    fn read(dir: &Path) -> Result<Self> {
        let mut index: Value = layout_check::json(&dir.join("index.json"))?;
        let top = tagged(&mut index).context("its index names no tag")?;
        let mut manifest: Value = layout_check::json(&place(dir, top)?)?;
        let descriptor = config_of(&mut manifest).context("it has no cache configuration")?;
        let config = layout_check::json(&place(dir, descriptor)?)?;
        let lists = Self::LISTS.iter().filter_map(|list| manifest[*list].as_array());
        let layers = lists.flatten().filter(|part| !is_config(part)).cloned().collect();
        Ok(Self { index, manifest, config, layers })
    }

    /// Writes them. The index comes last, so the export is always whole.
    fn write(mut self, dir: &Path) -> Result<()> {
        let config = put(dir, &serde_json::to_vec(&self.config)?)?;
        let descriptor = config_of(&mut self.manifest).context("it has no cache configuration")?;
        replace(descriptor, &config);
        let is_there = |list: &&str| self.manifest[*list].is_array();
        let list = Self::LISTS.into_iter().find(is_there).context("it has no layers")?;
        let configs = self.manifest[list].as_array().into_iter().flatten().filter(|part| is_config(part));
        let all: Vec<Value> = self.layers.into_iter().chain(configs.cloned()).collect();
        self.manifest[list] = Value::Array(all);
        let manifest = put(dir, &serde_json::to_vec(&self.manifest)?)?;
        replace(tagged(&mut self.index).context("its index names no tag")?, &manifest);
        files::write(&dir.join("index.json"), &serde_json::to_vec(&self.index)?, Durability::Synced)?;
        Ok(())
    }
}

fn digest_of(descriptor: &Value) -> &str {
    descriptor["digest"].as_str().unwrap_or_default()
}

fn is_config(descriptor: &Value) -> bool {
    descriptor["mediaType"] == layout_check::CACHE_CONFIG
}

/// Returns the descriptor of the index that has the tag.
fn tagged(index: &mut Value) -> Option<&mut Value> {
    let all = index.get_mut("manifests")?.as_array_mut()?;
    all.iter_mut().find(|top| top["annotations"].get(layout_check::TAG).is_some())
}

/// Returns the descriptor of the configuration.
fn config_of(manifest: &mut Value) -> Option<&mut Value> {
    if is_config(&manifest["config"]) {
        return manifest.get_mut("config");
    }
    manifest.get_mut("manifests")?.as_array_mut()?.iter_mut().find(|part| is_config(part))
}

/// Returns the path of a descriptor's blob.
fn place(dir: &Path, descriptor: &Value) -> Result<PathBuf> {
    Ok(layout_check::blobs(dir).join(layout_check::hex(digest_of(descriptor))?))
}

/// Writes a blob.
fn put(dir: &Path, content: &[u8]) -> Result<Blob> {
    let blob = Blob { digest: format!("{:x}", Sha256::digest(content)), size: u64::try_from(content.len())? };
    files::write(&layout_check::blobs(dir).join(&blob.digest), content, Durability::Quick)?;
    Ok(blob)
}

fn replace(descriptor: &mut Value, blob: &Blob) {
    descriptor["digest"] = json!(format!("sha256:{}", blob.digest));
    descriptor["size"] = json!(blob.size);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::layout_check::{OCI_LAYOUT, shape, verify};

    /// Writes an export in one of the two shapes: a step `source`, and a step `made` that needs it.
    fn export(dir: &Path, list: &str, has_source: bool) {
        fs::create_dir_all(layout_check::blobs(dir)).expect("made");
        let descriptor = |content: &[u8], media_type: &str| {
            let Blob { digest, size } = put(dir, content).expect("written");
            json!({"digest": format!("sha256:{digest}"), "size": size, "mediaType": media_type})
        };
        let mut layers = vec![descriptor(b"made", "layer")];
        let mut records = json!([
            {"digest": "made", "inputs": [[{"link": 1}]], "layers": [{"layer": 0}]},
            {"digest": "source"},
        ]);
        if has_source {
            layers.push(descriptor(b"source", "layer"));
            records[1]["layers"] = json!([{"layer": 1}]);
        }
        let blobs: Vec<Value> =
            layers.iter().map(|layer| json!({"blob": layer["digest"], "parent": -1})).collect();
        let config = json!({"layers": blobs, "records": records}).to_string();
        let config = descriptor(config.as_bytes(), layout_check::CACHE_CONFIG);
        let manifest = if list == "layers" {
            json!({"layers": layers, "config": config})
        } else {
            layers.push(config);
            json!({"manifests": layers})
        };
        let mut top = descriptor(manifest.to_string().as_bytes(), "manifest");
        top["annotations"] = json!({layout_check::TAG: "latest"});
        fs::write(dir.join("index.json"), json!({"manifests": [top]}).to_string()).expect("written");
        fs::write(dir.join("oci-layout"), OCI_LAYOUT).expect("written");
    }

    #[test]
    fn an_export_of_either_shape_gets_what_it_lacks() {
        for (own, other) in [("layers", "manifests"), ("manifests", "layers"), ("layers", "layers")] {
            let root = tempfile::tempdir().expect("a directory");
            let [later, earlier] = ["later", "earlier"].map(|name| root.path().join(name));
            export(&later, own, false);
            export(&earlier, other, true);
            let before = shape(&later).expect("valid").len();
            complete_from(&later, &earlier).expect("completed");
            let blobs = shape(&later).expect("still valid");
            assert_eq!(blobs.len(), before + 1);
            blobs.iter().for_each(|blob| verify(&later, blob).expect("sound"));
            assert_eq!(Parts::read(&later).expect("valid").layers.len(), 2);
            let index = fs::read(later.join("index.json")).expect("read");
            complete_from(&later, &earlier).expect("nothing to do");
            assert_eq!(fs::read(later.join("index.json")).expect("read"), index);
        }
    }

    #[test]
    fn a_damaged_earlier_result_changes_nothing() {
        let root = tempfile::tempdir().expect("a directory");
        let [later, earlier] = ["later", "earlier"].map(|name| root.path().join(name));
        export(&later, "layers", false);
        let before = shape(&later).expect("valid");
        export(&earlier, "manifests", true);
        let source = layout_check::blobs(&earlier).join(format!("{:x}", Sha256::digest(b"source")));
        fs::write(&source, "cut").expect("written");
        complete_from(&later, &earlier).expect_err("another size");
        for index in ["[]", "1", "{}", "{\"manifests\": [1]}", "{\"manifests\": {}}", "no JSON"] {
            fs::write(earlier.join("index.json"), index).expect("written");
            complete_from(&later, &earlier).expect_err(index);
        }
        assert_eq!(shape(&later).expect("valid"), before);
    }
}
