//! A small bundle, and imports of it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::Result;
use jiff::Timestamp;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::exec::budget::Budget;
use crate::exec::bundle::{BundlePlace, read, write};
use crate::exec::scratch::Scratch;
use crate::layout::Layout;
use crate::project::mount::{MountIdentity, Sharing};
use crate::store::bundle::{Bundle, Layers};
use crate::store::contents;
use crate::store::entry::Entry;
use crate::store::fresh::{FreshFile, Nonce, Remembered};
use crate::store::key::{FORMAT, Key};
use crate::store::layout_check::{Blob, OCI_LAYOUT};
use crate::store::mount::MountEntry;
use crate::store::policy::Policy;

pub(super) const HERE: &str = "linux/amd64";

/// A bundle and its blobs by digest.
pub(super) struct Made {
    pub(super) dir: tempfile::TempDir,
    pub(super) bundle: Bundle,
    pub(super) sources: BTreeMap<String, PathBuf>,
}

pub(super) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("in range")
}

impl Made {
    pub(super) fn new(second: i64) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let mut sources = BTreeMap::new();
        let mut blob = |bytes: &[u8]| {
            let blob = Blob { digest: format!("{:x}", Sha256::digest(bytes)), size: bytes.len() as u64 };
            let path = dir.path().join(&blob.digest);
            fs::write(&path, bytes).expect("written");
            sources.insert(blob.digest.clone(), path);
            blob
        };
        let descriptor = |blob: &Blob, kind: &str| json!({"digest": format!("sha256:{}", blob.digest), "size": blob.size, "mediaType": kind});
        let config = blob(b"{\"layers\":[]}");
        let layer = blob(&[7; 700]);
        let manifest = json!({"config": descriptor(&config, "application/vnd.buildkit.cacheconfig.v0"), "layers": [descriptor(&layer, "layer")]});
        let manifest = blob(manifest.to_string().as_bytes());
        let mut top = descriptor(&manifest, "application/vnd.oci.image.manifest.v1+json");
        top["annotations"] = json!({"org.opencontainers.image.ref.name": "latest"});
        let mut blobs = vec![config, layer, manifest];
        blobs.sort();
        let entry = Entry {
            format: FORMAT,
            image: "team/app".into(),
            platform: HERE.into(),
            key: Key::new("team/app", HERE, b"FROM x"),
            digest: None,
            saved: at(second),
            bytes: blobs.iter().map(|blob| blob.size).sum(),
            steps: Vec::new(),
            steps_any_mode: Vec::new(),
            id: second.to_string(),
            after: (second > 100).then(|| "100".to_owned()).into_iter().collect(),
        };
        let index = json!({"schemaVersion": 2, "manifests": [top]}).to_string();
        let mount = MountEntry {
            format: FORMAT,
            identity: MountIdentity { id: "mod".into(), ..MountIdentity::default() },
            sharing: Sharing::Shared,
            target: "/mod".into(),
            platform: HERE.into(),
            saved: at(second),
            files: 1,
            bytes: 5,
            is_shared: true,
            manifest: blob(b"list"),
            packs: vec![blob(b"first pack")],
            steps: Vec::new(),
        };
        let mut fresh = FreshFile::new("team/app");
        let remembered =
            Remembered { all: Some(Nonce { value: 5, at: at(second) }), spots: Vec::new(), packages: None };
        fresh.platforms.insert(HERE.into(), remembered);
        let mut bundle = Bundle {
            platform: HERE.into(),
            created: at(second),
            images: vec![Layers { entry, index, layout: OCI_LAYOUT.into(), blobs }],
            mounts: vec![mount],
            base: None,
            fresh: vec![fresh],
            files: Vec::new(),
        };
        bundle.files = bundle.named();
        Self { dir, bundle, sources }
    }

    pub(super) fn tar(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        write::tar(&self.bundle, &mut bytes, |blob| Ok(File::open(&self.sources[&blob.digest])?))
            .expect("written");
        bytes
    }

    pub(super) fn import(&self, layout: &Layout, bytes: &[u8]) -> Result<Vec<String>> {
        let file = self.dir.path().join("bundle.tar");
        fs::write(&file, bytes).expect("written");
        import(layout, &BundlePlace::File(file))
    }
}

pub(super) fn import(layout: &Layout, from: &BundlePlace) -> Result<Vec<String>> {
    import_within(layout, from, 1 << 20)
}

pub(super) fn import_within(layout: &Layout, from: &BundlePlace, budget: u64) -> Result<Vec<String>> {
    let policy = Policy { budget, ..Policy::default() };
    let budget = Budget::new(layout, &policy, Timestamp::now());
    let scratch = Scratch::new(layout, Timestamp::now(), contents::IMPORT).expect("made");
    let done =
        read::import_with(layout, from, HERE, &budget, scratch.dir(), Timestamp::now(), &|_, _| Ok(false));
    done.map(|(_, imported)| imported.kept)
}

/// Returns every file below a directory with its content.
pub(super) fn content(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = walkdir::WalkDir::new(dir).into_iter().flatten().filter(|entry| entry.file_type().is_file());
    files
        .map(|entry| {
            (entry.path().strip_prefix(dir).expect("below").into(), fs::read(entry.path()).expect("read"))
        })
        .collect()
}

pub(super) fn store() -> (tempfile::TempDir, Layout) {
    let dir = tempfile::tempdir().expect("a directory");
    let layout = Layout::new("/r", dir.path());
    (dir, layout)
}

pub(super) fn refused(made: &Made, bytes: &[u8]) -> String {
    let (dir, layout) = store();
    let error = made.import(&layout, bytes).expect_err("refused");
    assert_eq!(content(dir.path()), BTreeMap::new(), "{error:#}");
    format!("{error:#}")
}
