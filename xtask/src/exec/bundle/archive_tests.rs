//! Archives as `docker save` writes them, and what is refused.

use super::*;

const NAME: &str = "durango/debian:trixie";

fn digest(text: &str) -> String {
    format!("sha256:{:x}", Sha256::digest(text))
}

fn descriptor(kind: &str, text: &str) -> serde_json::Value {
    json!({"mediaType": kind, "digest": digest(text), "size": text.len()})
}

/// Returns the entries of a valid archive: name, content, type.
fn sound() -> Vec<(String, String, tar::EntryType)> {
    let (config, layer) = ("{}", "layer");
    let manifest = json!({"config": descriptor("c", config), "layers": [descriptor("l", layer)]}).to_string();
    let mut image = descriptor(MANIFEST_TYPES[0], &manifest);
    image["annotations"] = json!({"io.containerd.image.name": format!("docker.io/{NAME}"), "x": "y"});
    let index = json!({ "manifests": [image] }).to_string();
    let file = |name: &str, text: &str| (name.to_owned(), text.to_owned(), tar::EntryType::Regular);
    let blob = |text: &str| file(&blob_name(&digest(text)), text);
    vec![
        ("blobs/".into(), String::new(), tar::EntryType::Directory),
        blob(config),
        blob(layer),
        blob(&manifest),
        blob("a layer that nothing refers to"),
        file("index.json", &index),
        file("manifest.json", r#"[{"RepoTags": ["debian:13-slim"]}]"#),
    ]
}

fn write(entries: &[(String, String, tar::EntryType)]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let mut archive = tar::Builder::new(file.as_file());
    for (name, text, kind) in entries {
        let mut header = tar::Header::new_ustar();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_size(text.len() as u64);
        header.set_cksum();
        archive.append(&header, text.as_bytes()).expect("appended");
    }
    archive.into_inner().expect("written");
    file
}

fn rewritten(entries: &[(String, String, tar::EntryType)]) -> Result<BTreeMap<String, String>> {
    let (from, mut to) = (write(entries), tempfile::NamedTempFile::new()?);
    rewrite(from.path(), NAME, to.as_file_mut())?;
    let mut archive = tar::Archive::new(to.reopen()?);
    let mut files = BTreeMap::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let (name, mut text) = (entry.path()?.display().to_string(), String::new());
        entry.read_to_string(&mut text)?;
        assert!(files.insert(name, text).is_none());
    }
    Ok(files)
}

#[test]
fn one_image_comes_out_under_one_name() {
    let files = rewritten(&sound()).expect("sound");
    assert_eq!(files.len(), 6, "no blob that nothing refers to: {files:?}");
    assert!(!format!("{files:?}").contains("13-slim"), "names are ours: {files:?}");
    let manifest: serde_json::Value = serde_json::from_str(&files["manifest.json"]).expect("JSON");
    assert_eq!(manifest[0]["RepoTags"], json!([NAME]));
    assert_eq!(files[manifest[0]["Layers"][0].as_str().expect("a name")], "layer");
    let index: serde_json::Value = serde_json::from_str(&files["index.json"]).expect("JSON");
    let annotations = &index["manifests"][0]["annotations"];
    assert_eq!(annotations["io.containerd.image.name"], format!("docker.io/{NAME}"));
    assert_eq!(annotations.as_object().map(serde_json::Map::len), Some(2));
    let again: Vec<_> = files.into_iter().map(|(name, text)| (name, text, tar::EntryType::Regular)).collect();
    rewritten(&again).expect("what was written is sound");
}

#[test]
fn an_archive_that_parsers_may_read_differently_is_refused() {
    let with = |name: &str, text: &str, kind: tar::EntryType| {
        let mut entries = sound();
        entries.push((name.to_owned(), text.to_owned(), kind));
        format!("{:#}", rewritten(&entries).expect_err(name))
    };
    let own = |at: usize| sound()[at].clone();
    let (name, text, kind) = own(6);
    for (error, expected) in [
        (with("blobs/", "hidden", tar::EntryType::Directory), "the entry `blobs/`"),
        (with(&name, &text, kind), "twice"),
        (with("./index.json", &own(5).1, kind), "`./index.json`"),
        (with("blobs/sha256/../x", "", kind), "`blobs/sha256/../x`"),
        (with("\u{1b}[2J", "", kind), "`\\u{1b}[2J`"),
        (with("index.json", "", tar::EntryType::Symlink), "the entry `index.json`"),
        (with("pax", "", tar::EntryType::XHeader), "the entry `pax`"),
        (with("long", "", tar::EntryType::GNULongName), "the entry `long`"),
        (with("layer.tar", "", kind), "`layer.tar`"),
    ] {
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn an_image_of_another_name_or_content_is_refused() {
    let changed = |at: usize, from: &str, to: &str| {
        let mut entries = sound();
        entries[at].1 = entries[at].1.replace(from, to);
        format!("{:#}", rewritten(&entries).expect_err(to))
    };
    let index = &sound()[5].1;
    let twice = json!({"manifests": [serde_json::from_str::<serde_json::Value>(index).expect("JSON")["manifests"][0].clone(), {"mediaType": "x", "digest": "y", "size": 1}]});
    for (error, expected) in [
        (changed(5, NAME, "library/debian:13"), "named `docker.io/library/debian:13`"),
        (changed(5, "io.containerd.image.name", "other"), "named ``"),
        (changed(5, index, &twice.to_string()), "2 images"),
        (changed(5, "sha256:", "sha256:../../"), "not a SHA-256 digest"),
        (changed(5, MANIFEST_TYPES[0], "text/html"), "type `text/html`"),
        (changed(2, "layer", "other"), "has the digest"),
        (changed(2, "layer", "longer"), "its size differs"),
    ] {
        assert!(error.contains(expected), "{error}");
    }
}
