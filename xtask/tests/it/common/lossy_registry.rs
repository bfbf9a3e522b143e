//! A registry whose caches lose layers in each push, as BuildKit 0.13 leaves out layers that its
//! builder did not read. So the tests do not depend on the engine's version and luck.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::front::{Front, Request, Verdict};
use super::registry::{REPOSITORY, Registry};

/// Starts a front that takes layers from a tag after BuildKit has pushed it, and before buildx
/// reads it. Only layers that the tags have now are lost. `rule` decides about each request.
pub fn start(registry: &Registry, rule: impl Fn(&Request) -> Verdict + Send + Sync + 'static) -> Front {
    let root = registry.files();
    let earlier: BTreeSet<String> =
        registry.tags().iter().flat_map(|tag| layers(&manifest(&root, tag))).collect();
    let pushed = Mutex::new(BTreeSet::new());
    Front::start(registry, move |request| {
        if let Some((_, tag)) = request.path.split_once("/manifests/") {
            let mut pushed = pushed.lock().expect("a set");
            if request.puts_manifest() && !request.is_of_buildx() {
                pushed.insert(tag.to_owned());
            } else if request.is_of_buildx() && pushed.remove(tag) {
                lose(&root, tag, &earlier);
            }
        }
        rule(request)
    })
}

/// Takes the layers from each step of the cache under a tag whose layers are all in `lost`.
fn lose(root: &Path, tag: &str, lost: &BTreeSet<String>) {
    let mut manifest = manifest(root, tag);
    let digest = manifest["config"]["digest"].as_str().expect("a configuration").to_owned();
    let mut config = read(root, &digest);
    let all = config["layers"].as_array().expect("layers").clone();
    let blob = |at: usize| all[at]["blob"].as_str().expect("a digest");
    let mut kept = BTreeSet::new();
    for record in config["records"].as_array_mut().expect("steps") {
        let tops = record["layers"].as_array().into_iter().flatten().map(|top| index(&top["layer"]));
        let chains = record["chains"].as_array().into_iter().flatten();
        let chains = chains.flat_map(|chain| chain["layers"].as_array().expect("a list")).map(index);
        let results: Vec<usize> = tops.chain(chains).collect();
        // The same files on other layers are the result of another step.
        let is_lost = |at: &usize| down_from(&all, *at).iter().all(|at| lost.contains(blob(*at)));
        if results.iter().all(is_lost) {
            let record = record.as_object_mut().expect("a step");
            record.retain(|name, _| name != "layers" && name != "chains");
        } else {
            results.iter().for_each(|at| kept.extend(down_from(&all, *at)));
        }
    }
    let places: BTreeMap<usize, usize> = kept.iter().enumerate().map(|(to, from)| (*from, to)).collect();
    config["layers"] = kept
        .iter()
        .map(|at| {
            let mut layer = all[*at].clone();
            let parent = parent(&layer);
            layer["parent"] = parent.map_or(json!(-1), |parent| json!(places[&parent]));
            layer
        })
        .collect();
    for record in config["records"].as_array_mut().expect("steps") {
        // Indexing would add what is missing, as null.
        for top in record.get_mut("layers").and_then(Value::as_array_mut).into_iter().flatten() {
            top["layer"] = json!(places[&index(&top["layer"])]);
        }
        for chain in record.get_mut("chains").and_then(Value::as_array_mut).into_iter().flatten() {
            for layer in chain["layers"].as_array_mut().expect("a list") {
                *layer = json!(places[&index(layer)]);
            }
        }
    }
    let blobs: BTreeSet<&str> = kept.iter().map(|at| blob(*at)).collect();
    let is_kept = |layer: &Value| layer["digest"].as_str().is_some_and(|digest| blobs.contains(digest));
    manifest["layers"].as_array_mut().expect("layers").retain(is_kept);
    let (digest, size) = write(root, "_layers", &config);
    manifest["config"]["digest"] = json!(digest);
    manifest["config"]["size"] = json!(size);
    let (digest, _) = write(root, "_manifests/revisions", &manifest);
    fs::write(link(root, tag), digest).expect("written");
}

/// BuildKit leaves out an index of 0.
fn index(value: &Value) -> usize {
    usize::try_from(value.as_u64().unwrap_or_default()).expect("an index")
}

fn parent(layer: &Value) -> Option<usize> {
    (layer["parent"] != json!(-1)).then(|| index(&layer["parent"]))
}

fn down_from(all: &[Value], top: usize) -> Vec<usize> {
    std::iter::successors(Some(top), |at| parent(&all[*at])).collect()
}

/// Returns the digests of a manifest's layers.
fn layers(manifest: &Value) -> Vec<String> {
    let layers = manifest["layers"].as_array().expect("layers").iter();
    layers.map(|layer| layer["digest"].as_str().expect("a digest").to_owned()).collect()
}

fn repository(root: &Path) -> PathBuf {
    root.join("repositories").join(REPOSITORY)
}

fn link(root: &Path, tag: &str) -> PathBuf {
    repository(root).join("_manifests/tags").join(tag).join("current/link")
}

fn manifest(root: &Path, tag: &str) -> Value {
    read(root, &fs::read_to_string(link(root, tag)).expect("a tag"))
}

fn path_of(root: &Path, digest: &str) -> PathBuf {
    let hex = digest.trim_start_matches("sha256:");
    root.join("blobs/sha256").join(&hex[..2]).join(hex).join("data")
}

fn read(root: &Path, digest: &str) -> Value {
    serde_json::from_slice(&fs::read(path_of(root, digest)).expect("a blob")).expect("JSON")
}

/// Adds a blob, with a link in this list of the repository. Returns its digest and its size.
fn write(root: &Path, list: &str, document: &Value) -> (String, usize) {
    let bytes = serde_json::to_vec(document).expect("JSON");
    let hex = format!("{:x}", Sha256::digest(&bytes));
    let digest = format!("sha256:{hex}");
    let link = repository(root).join(list).join("sha256").join(hex).join("link");
    for (path, content) in [(path_of(root, &digest), bytes.as_slice()), (link, digest.as_bytes())] {
        fs::create_dir_all(path.parent().expect("a directory")).expect("made");
        fs::write(path, content).expect("written");
    }
    (digest, bytes.len())
}
