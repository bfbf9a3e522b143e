//! The base image as an OCI layout in the store, for builders that don't see the daemon's images.
//! `docker save` takes a good part of a second in each build; reusing the layout takes nothing.

use std::fs;
use std::path::PathBuf;

use crate::layout::Layout;
use crate::store::layout_check;

/// The place of a base image in the store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct KeptImage {
    /// Its directory, named by the image's id.
    pub dir: PathBuf,
    /// Whether it exists and is complete.
    pub is_there: bool,
    /// Layouts to remove after the export: a damaged one, and all earlier ones but the newest.
    pub superseded: Vec<PathBuf>,
}

/// Looks for the layout of the image with this id.
pub(crate) fn find(layout: &Layout, id: &str) -> KeptImage {
    let dir = layout.base(id);
    let is_there = layout_check::image(&dir).is_ok();
    let entries = fs::read_dir(layout.bases()).into_iter().flatten().flatten();
    let mut others: Vec<_> = entries
        .map(|entry| (entry.metadata().and_then(|meta| meta.modified()).ok(), entry.path()))
        .filter(|(_, path)| *path != dir)
        .collect();
    others.sort();
    // A parallel build may be reading the newest.
    others.pop();
    let mut superseded: Vec<PathBuf> = others.into_iter().map(|(_, path)| path).collect();
    superseded.extend((dir.exists() && !is_there).then(|| dir.clone()));
    KeptImage { dir, is_there, superseded }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layout_without_its_blobs_is_not_there_and_goes() {
        let store = tempfile::tempdir().expect("a directory");
        let layout = Layout::new("/", store.path());
        assert_eq!(
            find(&layout, "sha256:1"),
            KeptImage { dir: layout.base("sha256:1"), ..KeptImage::default() }
        );
        let index =
            format!("{{\"manifests\": [{{\"digest\": \"sha256:{}\", \"size\": 2}}]}}", "0".repeat(64));
        let blobs = layout_check::blobs(&layout.base("sha256:1"));
        fs::create_dir_all(&blobs).expect("made");
        fs::write(layout.base("sha256:1").join("index.json"), index).expect("written");
        let kept = find(&layout, "sha256:1");
        assert!(!kept.is_there && kept.superseded == [layout.base("sha256:1")], "{kept:?}");
        fs::write(blobs.join("0".repeat(64)), "{}").expect("written");
        assert!(find(&layout, "sha256:1").is_there);
        // The newest of the others is kept.
        assert!(find(&layout, "sha256:2").superseded.is_empty());
    }
}
