//! The files of a build context as BuildKit compares them: path, type, mode and content, without
//! times and owners. Digests are cached by the metadata of a file, so a large context is read once.

mod select;
mod state;
mod tree;

pub(crate) use state::noticed;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::dockerfile::steps::Selector;
use super::ignore::Ignore;
pub(super) use select::ContentDigest;
use select::{Selection, Taken};

use crate::files;
pub(super) use state::exact as exact_state;
pub(super) use tree::{Entry, Tree};

/// A file, directory or link of a context, with the state that BuildKit compares.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Input {
    /// Its path below the context, without a leading slash.
    pub path: String,
    /// `mode:digest` of a file, `mode/` of a directory, `->target` of a link, `mode|kind` of a
    /// special file.
    pub state: String,
}

/// The part of a context that a step reads.
#[derive(Debug, Default)]
pub(crate) struct Selected {
    /// The entries, sorted. For more than [`MAX_FILES`] entries only their directories, each with a
    /// digest of its content.
    pub files: Vec<Input>,
    /// The digest by which BuildKit compares it.
    pub(super) digest: ContentDigest,
    /// The size of the files in bytes.
    pub bytes: u64,
    /// The largest top-level entry of the context, with its size in bytes.
    pub largest: Option<(String, u64)>,
}

/// The maximum number of individually recorded entries, which keeps the record of a build small.
pub(crate) const MAX_FILES: usize = 500;

/// Digests of files by their stamps: size, inode, times.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Digests {
    /// Stamp and digest by path.
    files: BTreeMap<String, (String, String)>,
    /// Whether an entry was added.
    #[serde(skip)]
    pub is_new: bool,
}

/// Contexts, each read once.
#[derive(Default)]
pub(super) struct Contexts {
    trees: BTreeMap<String, Tree>,
}

impl Contexts {
    /// Returns the part of a context directory that a step reads. Skips missing files, which
    /// BuildKit reports.
    pub(super) fn select(
        &mut self,
        (root, ignore): (&Path, &Ignore),
        selectors: &[Selector],
        excludes: &[String],
        digests: &mut Digests,
    ) -> Selected {
        let id = format!("{}\0{}", root.display(), ignore.text());
        let tree = self.trees.entry(id).or_insert_with(|| Tree::new(root, ignore.clone()));
        let mut selection = Selection { tree, digests, taken: Vec::new() };
        let parts: Vec<ContentDigest> =
            selectors.iter().map(|selector| selection.select(selector, excludes)).collect();
        let join = |side: fn(&ContentDigest) -> &str| parts.iter().map(side).collect::<Vec<_>>().join(" ");
        let digest = ContentDigest {
            full: join(|one| &one.full),
            plain: join(|one| &one.plain),
            any_mode: join(|one| &one.any_mode),
        };
        let taken: BTreeMap<String, Taken> =
            selection.taken.into_iter().map(|one| (one.input.path.clone(), one)).collect();
        let mut tops: BTreeMap<String, u64> = BTreeMap::new();
        for (path, one) in &taken {
            *tops.entry(path.split('/').next().unwrap_or_default().to_owned()).or_default() += one.bytes;
        }
        Selected {
            files: bounded(taken.into_values().map(|one| one.input).collect()),
            digest,
            bytes: tops.values().sum(),
            largest: tops.into_iter().max_by_key(|(_, bytes)| *bytes),
        }
    }
}

/// Reduces too many files to their directories, and too many of those to top-level directories.
fn bounded(files: Vec<Input>) -> Vec<Input> {
    if files.len() <= MAX_FILES {
        return files;
    }
    let parent = |path: &str| path.rsplit_once('/').map_or(String::new(), |(dir, _)| dir.to_owned());
    let directories = folded(&files, &parent);
    if directories.len() <= MAX_FILES {
        return directories;
    }
    folded(&files, &|path| path.split('/').next().unwrap_or_default().to_owned())
}

fn folded(files: &[Input], directory: &dyn Fn(&str) -> String) -> Vec<Input> {
    let mut hashes: BTreeMap<String, (usize, Sha256)> = BTreeMap::new();
    for file in files {
        let (count, hash) = hashes.entry(directory(&file.path)).or_default();
        *count += 1;
        hash.update(format!("{}\0{}\0", file.path, file.state));
    }
    let state = |(count, hash): (usize, Sha256)| {
        format!("{count} inside:{}", &format!("{:x}", hash.finalize())[..16])
    };
    hashes.into_iter().map(|(path, inside)| Input { path: path + "/", state: state(inside) }).collect()
}

impl Digests {
    /// The first 16 hex digits of a file's digest; of one that cannot be read a word that says so.
    fn of(&mut self, path: &Path, meta: &fs::Metadata) -> String {
        self.read(path, meta).map_or_else(|_| "unreadable".into(), |digest| digest[..16].to_owned())
    }

    /// Returns whether the digest of a file is known, so that asking for it reads nothing.
    pub(crate) fn has(&self, path: &Path, meta: &fs::Metadata) -> bool {
        let known = self.files.get(path.to_string_lossy().as_ref());
        known.is_some_and(|(known, _)| *known == stamp(meta))
    }

    /// The SHA-256 of a file, in hex.
    pub(super) fn read(&mut self, path: &Path, meta: &fs::Metadata) -> std::io::Result<String> {
        if self.has(path, meta)
            && let Some((_, digest)) = self.files.get(path.to_string_lossy().as_ref())
        {
            return Ok(digest.clone());
        }
        let digest = digest(path)?;
        // A file that was written in this instant may be written again with the same time.
        let changed = u64::try_from(meta.ctime()).unwrap_or_default();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let is_settled = changed + 2 <= now;
        if is_settled {
            self.files.insert(path.to_string_lossy().into_owned(), (stamp(meta), digest.clone()));
            self.is_new = true;
        }
        Ok(digest)
    }
}

/// Returns facts about a file that change with each change of the file: every write sets the time
/// of the last change, which no program can set back.
pub(super) fn stamp(meta: &fs::Metadata) -> String {
    format!(
        "{}.{}.{}.{}.{}.{}.{}",
        meta.size(),
        meta.dev(),
        meta.ino(),
        meta.mtime(),
        meta.mtime_nsec(),
        meta.ctime(),
        meta.ctime_nsec()
    )
}

/// The SHA-256 of a file, in hex.
fn digest(path: &Path) -> std::io::Result<String> {
    let mut hash = Sha256::new();
    std::io::copy(&mut files::open_to_read(path)?, &mut hash)?;
    Ok(format!("{:x}", hash.finalize()))
}

#[cfg(test)]
#[path = "context_tests.rs"]
mod tests;
