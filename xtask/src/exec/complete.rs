//! Completes an export. BuildKit exports only layers that its builder has read: after a build from
//! a store on a fresh engine, those of steps that no other step needed are missing. The result that
//! has them is removed when newer ones take its place. A complete export gets a mark.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::files::{self, Durability};
use crate::store::cache_documents::{CacheDocuments, Document, config_of, digest_of, point_to};
use crate::store::layout_check::{self, Blob};

/// Adds the layers that an earlier result has for steps of this export. Their blobs are linked, or
/// copied where links are not possible. An error leaves the export as it was, with blobs that it
/// doesn't name.
pub(super) fn complete_from(export: &Path, earlier: &Path) -> Result<()> {
    let (mut own, other) = (documents(export)?, documents(earlier)?);
    let Some(new) = own.complete_from(&other) else { return Ok(()) };
    for layer in &new {
        provide(export, earlier, layer)?;
    }
    write(export, own)
}

/// Gives the steps of this export ids that they have in no other result: see
/// [`crate::store::cache_config::CacheConfig::mark`]. An error leaves the export as it was.
pub(super) fn mark(export: &Path, id: &str) -> Result<()> {
    let mut own = documents(export)?;
    own.mark(id);
    write(export, own)
}

/// Writes the files that describe an export. The index comes last, so the export is always whole.
fn write(export: &Path, own: CacheDocuments) -> Result<()> {
    let written = own.write()?;
    put(export, &written.config)?;
    put(export, &written.manifest)?;
    let mut index = index(export)?;
    point_to(tagged(&mut index)?, &written.manifest.blob);
    files::write(&export.join("index.json"), &serde_json::to_vec(&index)?, Durability::Synced)?;
    Ok(())
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

/// Reads the files that describe an export.
fn documents(dir: &Path) -> Result<CacheDocuments> {
    let mut index = index(dir)?;
    let manifest: Value = layout_check::json(&place(dir, tagged(&mut index)?)?)?;
    let config = config_of(&manifest).context("it has no cache configuration")?;
    let config = layout_check::json(&place(dir, config)?)?;
    Ok(CacheDocuments::new(manifest, config))
}

fn index(dir: &Path) -> Result<Value> {
    layout_check::json(&dir.join("index.json"))
}

/// Returns the descriptor of the index that has the tag.
fn tagged(index: &mut Value) -> Result<&mut Value> {
    let all = index.get_mut("manifests").and_then(Value::as_array_mut);
    let is_tagged = |top: &&mut Value| top["annotations"].get(layout_check::TAG).is_some();
    all.and_then(|all| all.iter_mut().find(is_tagged)).context("its index names no tag")
}

/// Returns the path of a descriptor's blob.
fn place(dir: &Path, descriptor: &Value) -> Result<PathBuf> {
    Ok(layout_check::blobs(dir).join(layout_check::hex(digest_of(descriptor))?))
}

/// Writes a document as a blob.
fn put(dir: &Path, document: &Document) -> Result<()> {
    let path = layout_check::blobs(dir).join(&document.blob.digest);
    Ok(files::write(&path, &document.bytes, Durability::Quick)?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::store::layout_check::{OCI_LAYOUT, shape, verify};

    /// Writes an export in one of the two shapes: a step `source`, and a step `made` that needs it.
    fn export(dir: &Path, list: &str, has_source: bool) {
        fs::create_dir_all(layout_check::blobs(dir)).expect("made");
        let descriptor = |content: &[u8], media_type: &str| {
            let digest = format!("{:x}", Sha256::digest(content));
            fs::write(layout_check::blobs(dir).join(&digest), content).expect("written");
            json!({"digest": format!("sha256:{digest}"), "size": content.len(), "mediaType": media_type})
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
        let mut top = descriptor(manifest.to_string().as_bytes(), layout_check::INDEX_TYPES[0]);
        top["annotations"] = json!({layout_check::TAG: "latest"});
        fs::write(dir.join("index.json"), json!({"schemaVersion": 2, "manifests": [top]}).to_string())
            .expect("written");
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
            assert_eq!(documents(&later).expect("valid").layers(), 2);
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
