//! Bundles and the base images in them. An input that begins with `{` is the content of
//! `bundle.json`, one that begins with `A` is a base image's archive, any other is a bundle's tar.

use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Component, Path};

use jiff::Timestamp;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::defaults::TAG;
use crate::exec::bundle::read;
use crate::exec::bundle::stage::{Taken, oldest_first};
use crate::exec::bundle::{archive, pass, write};
use crate::layout::Layout;
use crate::store::bundle::Bundle;
use crate::store::layout_check::Blob;

pub(super) fn run(input: &[u8]) {
    match input.split_first() {
        Some((b'{', _)) => document(input),
        Some((b'A', archive)) => base_image(archive),
        _ => stream(input),
    }
}

/// A document with the right digest is read as it was written, and names nothing outside.
fn document(input: &[u8]) {
    let Ok(bundle) = serde_json::from_slice::<Bundle>(input) else { return };
    let head = bundle.head().expect("JSON");
    let Ok(mut read) = Bundle::parse(&head) else { return };
    assert_eq!(read, bundle, "a bundle is read as it was written");
    let _ = read.check_platform("linux/amd64");
    let (bytes, largest) = (read.bytes(), read.files.iter().map(|blob| blob.size).max().unwrap_or(0));
    assert!(bytes >= largest, "a sum does not overflow");
    let layout = Layout::new("/r", "/s");
    for layers in &read.images {
        inside("/s/layers", &layout.results(&layers.entry.image, &layers.entry.key.0));
        // Both are sliced where they are shown.
        let _ = layers.entry.key.short();
    }
    for mount in &read.mounts {
        inside("/s/mounts", &layout.all_mounts().join(mount.identity.slug()));
        let _ = mount.stored_bytes();
    }
    read.fresh.iter().for_each(|fresh| inside("/s/fresh", &layout.fresh(&fresh.image)));
    read.files.iter().for_each(|blob| inside("/s", &Path::new("/s/blobs/sha256").join(&blob.digest)));
    let mut order = oldest_first(&read);
    order.sort_unstable();
    assert!(order.iter().copied().eq(0..read.images.len()), "every result comes once");
    let now = Timestamp::UNIX_EPOCH;
    read.clamp_times(now);
    assert!(read.created <= now && read.images.iter().all(|layers| layers.entry.saved <= now));
    assert!(read.mounts.iter().all(|mount| mount.saved <= now));
}

/// Panics where a path is not below a directory.
pub(super) fn inside(dir: &str, path: &Path) {
    let rest = path.strip_prefix(dir).unwrap_or_else(|_| panic!("{path:?} is not in {dir}"));
    let is_name = |part: Component| matches!(part, Component::Normal(name) if name.len() < 256);
    assert!(rest.components().count() > 0 && rest.components().all(is_name), "{path:?} leaves {dir}");
    assert!(!path.to_string_lossy().contains(char::is_control), "{path:?}");
}

/// A tar yields the blobs that its head lists, and writing them again gives the same bundle.
fn stream(input: &[u8]) {
    let mut blobs = Vec::new();
    let mut take = |blob: &Blob, taken: Taken<'_>| {
        let Taken::Stream(from) = taken else { panic!("a tar is a stream") };
        let mut bytes = Vec::new();
        pass(blob, from, |part| {
            bytes.extend(part);
            Ok(())
        })?;
        blobs.push((blob.digest.clone(), bytes));
        Ok(())
    };
    let Ok(bundle) = read::read_tar(input, &mut |_| Ok(true), &mut take) else { return };
    assert_eq!(blobs.len(), bundle.files.len());
    for (blob, (digest, bytes)) in bundle.files.iter().zip(&blobs) {
        assert_eq!((&blob.digest, blob.size), (digest, bytes.len() as u64));
        assert_eq!(format!("{:x}", Sha256::digest(bytes)), *digest);
    }
    let mut again = Vec::new();
    let source = |blob: &Blob| {
        let mut file = tempfile::tempfile()?;
        let (_, bytes) = blobs.iter().find(|(digest, _)| *digest == blob.digest).expect("it was taken");
        file.write_all(bytes)?;
        file.rewind()?;
        Ok(file)
    };
    write::tar(&bundle, &mut again, source).expect("written");
    let read = read::read_tar(&again[..], &mut |_| Ok(false), &mut |_, _| Ok(())).expect("sound");
    assert_eq!(read, bundle);
}

/// The result has one name, and no entry that another parser reads differently.
fn base_image(input: &[u8]) {
    let mut from = tempfile::NamedTempFile::new().expect("a file");
    from.write_all(input).expect("written");
    let mut to = tempfile::NamedTempFile::new().expect("a file");
    if archive::rewrite(from.path(), TAG, to.as_file_mut()).is_err() {
        return;
    }
    let mut again = tempfile::NamedTempFile::new().expect("a file");
    archive::rewrite(to.path(), TAG, again.as_file_mut()).expect("what was written is sound");
    let bytes = |path: &Path| std::fs::read(path).expect("readable");
    assert!(bytes(to.path()) == bytes(again.path()), "what was written is written again");
    let mut files = tar::Archive::new(to.reopen().expect("a file"));
    for entry in files.entries().expect("a tar") {
        let mut entry = entry.expect("an entry");
        if entry.path().expect("a path").ends_with("manifest.json") {
            let mut text = String::new();
            entry.read_to_string(&mut text).expect("text");
            let manifest: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            assert_eq!(manifest[0]["RepoTags"], json!([TAG]));
        }
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let (bundle, blobs) = sound();
    let mut tar = Vec::new();
    let source = |blob: &Blob| {
        let mut file = tempfile::tempfile()?;
        let is_it = |bytes: &&Vec<u8>| format!("{:x}", Sha256::digest(bytes)) == blob.digest;
        file.write_all(blobs.iter().find(is_it).expect("it is there"))?;
        file.rewind()?;
        Ok(file)
    };
    write::tar(&bundle, &mut tar, source).expect("written");
    // Results that come after each other, the last one first.
    let mut chain = bundle.clone();
    let of_number = |number: usize| {
        let mut layers = bundle.images[0].clone();
        (layers.entry.id, layers.entry.after) = (number.to_string(), vec![(number + 1).to_string()]);
        layers
    };
    chain.images = (0..1500).map(of_number).collect();
    vec![serde_json::to_vec(&bundle).expect("JSON"), tar, image(), serde_json::to_vec(&chain).expect("JSON")]
}

/// A small bundle with one part of each kind.
fn sound() -> (Bundle, Vec<Vec<u8>>) {
    let blobs: Vec<Vec<u8>> = ["{}", "layer", "manifest", "list", "pack"].map(|text| text.into()).to_vec();
    let blob =
        |at: usize| json!({"digest": format!("{:x}", Sha256::digest(&blobs[at])), "size": blobs[at].len()});
    let bytes: usize = blobs[..3].iter().map(Vec::len).sum();
    let nonce = json!({"value": 5, "at": "2026-11-26T00:00:00Z"});
    let mut bundle: Bundle = serde_json::from_value(json!({
        "platform": "linux/amd64", "created": "2026-11-26T00:00:00Z", "base": null, "files": [],
        "images": [{"entry": {"format": crate::store::key::FORMAT, "image": "team/app", "platform": "linux/amd64",
            "key": "a".repeat(64), "digest": null, "saved": "2026-11-25T00:00:00Z", "bytes": bytes,
            "steps": ["s"], "id": "1", "after": ["0"]}, "index": "{}", "layout": "{}",
            "blobs": [blob(0), blob(1), blob(2)]}],
        "mounts": [{"format": crate::store::key::FORMAT, "identity": {"namespace": "", "id": "/go/pkg mod", "from": null,
            "source": null, "uid": null, "gid": null, "mode": "0755"}, "sharing": "shared", "target": "/go",
            "platform": "linux/amd64", "saved": "2026-11-25T00:00:00Z", "files": 1, "bytes": 5, "is_shared": true,
            "manifest": blob(3), "packs": [blob(4)]}],
        "fresh": [],
    }))
    .expect("well formed");
    let mut fresh = crate::store::fresh::FreshFile::new("team/app");
    let remembered =
        json!({"all": nonce, "spots": [{"stage": "php", "instruction": "RUN make", "nonce": nonce}]});
    fresh.platforms.insert("linux/amd64".into(), serde_json::from_value(remembered).expect("well formed"));
    bundle.fresh.push(fresh);
    bundle.files = bundle.named();
    (bundle, blobs)
}

/// A base image's archive with one layer.
fn image() -> Vec<u8> {
    let digest = |text: &str| format!("sha256:{:x}", Sha256::digest(text));
    let part =
        |kind: &str, text: &str| json!({"mediaType": kind, "digest": digest(text), "size": text.len()});
    let manifest = json!({"config": part("c", "{}"), "layers": [part("l", "layer")]}).to_string();
    let mut top = part("application/vnd.oci.image.manifest.v1+json", &manifest);
    top["annotations"] = json!({"io.containerd.image.name": format!("docker.io/{TAG}")});
    let index = json!({"manifests": [top]}).to_string();
    let mut archive = tar::Builder::new(vec![b'A']);
    let blob = |text: &str| digest(text).replacen(':', "/", 1);
    for (name, text) in [
        (format!("blobs/{}", blob("{}")), "{}"),
        (format!("blobs/{}", blob("layer")), "layer"),
        (format!("blobs/{}", blob(&manifest)), manifest.as_str()),
        ("index.json".to_owned(), index.as_str()),
    ] {
        let mut header = tar::Header::new_ustar();
        header.set_size(text.len() as u64);
        archive.append_data(&mut header, name, text.as_bytes()).expect("appended");
    }
    archive.into_inner().expect("written")
}
