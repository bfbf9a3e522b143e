//! The inputs and images of a successful build, kept with its record. They decide whether a later
//! build of the same targets has nothing to do.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::files;
use crate::layout::Layout;
use crate::outcome::BuildReport;
use crate::store::contents;

/// Another number wherever one of the digests is made of something else.
const FORMAT: u32 = 1;
/// The file's name in a record.
pub(super) const FILE: &str = "inputs.json";

/// The inputs and the images of a build.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BuildInputs {
    /// Version of the document.
    pub(crate) format: u32,
    /// The build's id.
    pub(crate) build: String,
    /// The question that builds of the same targets and files share.
    pub(crate) question: String,
    /// The digest of its files.
    pub(crate) files: String,
    /// The digest of all that it was made of but files and images.
    pub(crate) rest: String,
    /// The images that it started from or read, each with its digest.
    pub(crate) read: BTreeMap<String, String>,
    /// The images that it made, by name, each with its digest.
    pub(crate) made: BTreeMap<String, String>,
    /// The digest of each target's image.
    pub(crate) targets: BTreeMap<String, String>,
    /// The keys of the steps that each target's layers are of.
    pub(crate) steps: BTreeMap<String, Vec<String>>,
    /// The warnings of BuildKit.
    pub(crate) warnings: Vec<String>,
}

impl BuildInputs {
    /// The inputs of a build, whose digests are of this version's kind.
    pub(crate) fn new(build: &str) -> Self {
        Self { format: FORMAT, build: build.to_owned(), ..Self::default() }
    }

    /// All images that the engine has to have for the build to have nothing to do.
    pub(crate) fn images(&self) -> impl Iterator<Item = (&str, &str)> {
        self.read.iter().chain(&self.made).map(|(name, digest)| (name.as_str(), digest.as_str()))
    }
}

/// The newest build that answers a question. One of another version answers none.
pub(crate) fn newest(layout: &Layout, question: &str) -> Option<BuildInputs> {
    let builds = fs::read_dir(layout.builds()).into_iter().flatten().flatten();
    let mut builds: Vec<_> = builds.map(|build| build.path()).collect();
    builds.retain(|dir| dir.file_name().and_then(|name| name.to_str()).is_some_and(contents::is_id));
    builds.sort();
    let inputs = builds.iter().rev().filter_map(|dir| read::<BuildInputs>(&dir.join(FILE)));
    inputs.into_iter().find(|inputs| inputs.question == question).filter(|inputs| inputs.format == FORMAT)
}

/// The report of a build that ended, as it was recorded.
pub(crate) fn report(layout: &Layout, build: &str) -> Option<BuildReport> {
    read(&layout.build(build).join("outcome.json"))
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&files::read(path).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_build_with_the_same_question_counts() {
        let store = tempfile::tempdir().expect("a directory");
        let layout = Layout::new("/", store.path());
        let write = |build: &str, inputs: &BuildInputs| {
            let dir = layout.build(build);
            fs::create_dir_all(&dir).expect("made");
            fs::write(dir.join(FILE), serde_json::to_vec(inputs).expect("JSON")).expect("written");
        };
        let inputs = |build: &str, question: &str| BuildInputs {
            question: question.into(),
            ..BuildInputs::new(build)
        };
        let ids = ["20261126-000001-1", "20261126-000002-1", "20261126-000003-1"];
        write(ids[1], &inputs(ids[1], "app"));
        write(ids[0], &inputs(ids[0], "app"));
        write(ids[2], &inputs(ids[2], "other"));
        let newest = |question: &str| super::newest(&layout, question).map(|inputs| inputs.build);
        assert_eq!(newest("app").as_deref(), Some(ids[1]));
        assert_eq!((newest("other").as_deref(), newest("none")), (Some(ids[2]), None));
        write(ids[2], &BuildInputs { format: FORMAT + 1, ..inputs(ids[2], "app") });
        assert_eq!(newest("app"), None, "an older build does not stand in for one of another version");
        fs::write(layout.build(ids[2]).join(FILE), "{").expect("written");
        assert_eq!(newest("app").as_deref(), Some(ids[1]));
    }
}
