//! The input files of a build. They decide whether bake has to be called at all, and a wrong answer
//! would be a stale image. So every file of a context counts, whether or not the Dockerfile copies
//! it, and a file that cannot be read is an error.
//!
//! The stamp of a file (size, device, inode, times) is read before and after the build. If the two
//! are equal, no program wrote to the file during the build, and BuildKit read the content that was
//! hashed. Every write sets the time of the last change, which no program can set back. That time
//! is only as fine as the file system's clock: a file that changed within the last tick can change
//! again and keep its stamp. A build therefore begins a tick after the newest change at the
//! earliest ([`InputFiles::settles_in`]), as git reads a file again that is as new as its index.
//! Remembered digests ([`Digests`]) have the same guard, with a longer tick.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use super::context::{Digests, Entry, Tree, exact_state, stamp};
use super::ignore::Ignore;
use super::remote::is_remote;
use super::{Declaration, Target};
use crate::files;

/// Longer than the tick of a file system with times in nanoseconds, whose clock has 100 Hz.
const TICK: Duration = Duration::from_millis(20);
/// Longer than the tick of a file system whose times are full or even seconds.
const COARSE_TICK: Duration = Duration::from_secs(3);

/// The files, looked at but not read.
pub(crate) struct InputFiles {
    files: Vec<InputFile>,
}

struct InputFile {
    /// Its role in the build.
    role: String,
    path: PathBuf,
    /// `None` if the file does not exist, which is an input as well.
    meta: Option<Metadata>,
    read: Read,
    /// The first name of this file, if it has several: BuildKit gets the others as links to it.
    same_as: Option<usize>,
}

/// The part of a file that is an input.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Read {
    /// Everything that BuildKit compares of a file in a context.
    State,
    /// Only its bytes.
    Bytes,
    /// Its stamp: a secret is compared without being read.
    Stamp,
    /// Nothing, except for a change during the build: a file that came and went shows only in its
    /// directory.
    Nothing,
}

impl InputFiles {
    /// Lists the files of a declaration and of these targets, as BuildKit will get them. `secrets`
    /// are files of secrets.
    ///
    /// # Errors
    ///
    /// Fails if a file cannot be examined, or if a context is not a directory of this machine.
    pub(crate) fn look(
        declaration: &Declaration,
        targets: &BTreeMap<String, Target>,
        secrets: &BTreeSet<PathBuf>,
    ) -> Result<Self> {
        let mut all = Self { files: Vec::new() };
        for file in &declaration.files {
            all.add("declaration", file, Read::Bytes)?;
        }
        all.add("variables", &declaration.dir.join(".env"), Read::Bytes)?;
        for secret in secrets {
            all.add("secret", secret, Read::Stamp)?;
        }
        let mut walked = BTreeSet::new();
        for (name, target) in targets {
            all.target(declaration, name, target, &mut walked)
                .with_context(|| format!("failed to read the inputs of `{name}`"))?;
        }
        Ok(all)
    }

    fn target(
        &mut self,
        declaration: &Declaration,
        name: &str,
        target: &Target,
        walked: &mut BTreeSet<String>,
    ) -> Result<()> {
        let mut own_ignore = None;
        if target.dockerfile_inline.is_none() {
            let path = declaration.dockerfile(target).context("its Dockerfile is elsewhere")?;
            self.add(&format!("{name} Dockerfile"), &path, Read::Bytes)?;
            let mut ignore = path.into_os_string();
            ignore.push(".dockerignore");
            own_ignore = Some(PathBuf::from(ignore));
        }
        let main = ("", target.context.as_deref().unwrap_or("."));
        let named = target.contexts.iter().map(|(name, source)| (name.as_str(), source.as_str()));
        for (context, source) in std::iter::once(main).chain(named) {
            let is_elsewhere = source.contains("://") || is_remote(source) || source.starts_with("target:");
            if is_elsewhere && !context.is_empty() {
                // Other targets are part of the build. Images that it looks up are in
                // its progress.
                if !["target:", "docker-image://"].iter().any(|known| source.starts_with(known)) {
                    bail!("the context `{context}` is elsewhere");
                }
                continue;
            }
            let dir = declaration.dir.join(source);
            if is_elsewhere || !dir.is_dir() {
                bail!("the context `{source}` is not a directory");
            }
            let role = format!("{name} {context}");
            let own = own_ignore.as_deref().filter(|_| context.is_empty());
            let ignore = self.ignore(&role, &dir, own)?;
            if walked.insert(format!("{}\0{}", dir.display(), ignore.text())) {
                self.context(&role, &dir, ignore)?;
            }
        }
        Ok(())
    }

    /// Returns the Dockerfile's own ignore file, else that of the context.
    fn ignore(&mut self, role: &str, dir: &Path, own: Option<&Path>) -> Result<Ignore> {
        let of_context = dir.join(".dockerignore");
        for path in own.into_iter().chain([of_context.as_path()]) {
            if self.add(&format!("{role} ignore file"), path, Read::Bytes)? {
                let text = files::read_text(path)?;
                return Ignore::try_parse(&text).map_err(|_| {
                    anyhow::anyhow!("`{}` has a pattern that BuildKit refuses", path.display())
                });
            }
        }
        Ok(Ignore::default())
    }

    fn context(&mut self, role: &str, dir: &Path, ignore: Ignore) -> Result<()> {
        let mut tree = Tree::new(dir, ignore);
        let root = tree.root().with_context(|| format!("`{}` is missing", dir.display()))?;
        self.files.push(InputFile {
            role: role.to_owned(),
            path: root.file.clone(),
            meta: Some(root.meta.clone()),
            read: Read::Nothing,
            same_as: None,
        });
        let mut names = BTreeMap::new();
        self.entry(role, &mut tree, &root, &mut names);
        match tree.unreadable() {
            Some(path) => bail!("`{}` cannot be read", path.display()),
            None => Ok(()),
        }
    }

    fn entry(
        &mut self,
        role: &str,
        tree: &mut Tree,
        directory: &Entry,
        names: &mut BTreeMap<(u64, u64), usize>,
    ) {
        for entry in tree.children(directory).iter() {
            let (meta, at) = (&entry.meta, self.files.len());
            let is_linked = !meta.is_dir() && meta.nlink() > 1;
            let first = is_linked.then(|| *names.entry((meta.dev(), meta.ino())).or_insert(at));
            self.files.push(InputFile {
                role: format!("{role}\0{}", entry.path),
                path: entry.file.clone(),
                meta: Some(meta.clone()),
                read: Read::State,
                same_as: first.filter(|first| *first != at),
            });
            self.entry(role, tree, entry, names);
        }
    }

    /// Adds a file that is read by its own path. Returns whether it exists. Refuses a link in its
    /// place, because BuildKit's treatment of one depends on its destination.
    fn add(&mut self, role: &str, path: &Path, read: Read) -> Result<bool> {
        let meta = match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            // A secret is read by its path, wherever that leads.
            Ok(meta) if meta.is_symlink() && read == Read::Stamp => Some(fs::metadata(path)?),
            meta => Some(meta.with_context(|| format!("failed to read `{}`", path.display()))?),
        };
        let is_there = meta.is_some();
        if meta.as_ref().is_some_and(|meta| !meta.is_file()) && read == Read::Bytes {
            bail!("`{}` is not a regular file", path.display());
        }
        let role = format!("{role}\0{}", path.display());
        self.files.push(InputFile { role, path: path.to_path_buf(), meta, read, same_as: None });
        Ok(is_there)
    }

    /// Returns a digest of all stamps. It is equal before and after a build if no file was written.
    pub(crate) fn stamp(&self) -> String {
        let mut hash = Sha256::new();
        for file in &self.files {
            hash.update(format!("{}\0{}\0", file.role, file.meta.as_ref().map(stamp).unwrap_or_default()));
        }
        format!("{:x}", hash.finalize())
    }

    /// Returns for how long a change may leave a stamp as it is, or `None` if that is too long to
    /// wait for.
    pub(crate) fn settles_in(&self, now: SystemTime) -> Option<Duration> {
        let settled = |meta: &Metadata| {
            let nanos = u32::try_from(meta.ctime_nsec()).unwrap_or_default();
            let changed = Duration::new(u64::try_from(meta.ctime()).unwrap_or_default(), nanos);
            let is_coarse = nanos % 1_000_000 == 0;
            SystemTime::UNIX_EPOCH + changed + if is_coarse { COARSE_TICK } else { TICK }
        };
        let last = self.files.iter().filter_map(|file| file.meta.as_ref().map(settled)).max();
        let left = last.and_then(|last| last.duration_since(now).ok()).unwrap_or_default();
        (left <= TICK).then_some(left)
    }

    /// Returns the number of bytes that have to be read for the digest.
    pub(crate) fn unread_bytes(&self, digests: &Digests) -> u64 {
        let unread = |file: &&InputFile| {
            let meta = file.meta.as_ref();
            let is_read = matches!(file.read, Read::State | Read::Bytes);
            is_read && meta.is_some_and(|meta| meta.is_file() && !digests.has(&file.path, meta))
        };
        self.files.iter().filter(unread).filter_map(|file| Some(file.meta.as_ref()?.len())).sum()
    }

    /// Returns a digest of everything that BuildKit may compare.
    ///
    /// # Errors
    ///
    /// Fails if a file cannot be read as a whole.
    pub(crate) fn digest(&self, digests: &mut Digests) -> io::Result<String> {
        let mut hash = Sha256::new();
        for file in &self.files {
            let state = match (&file.meta, file.read) {
                (None, _) | (_, Read::Nothing) => String::new(),
                (Some(meta), Read::Stamp) => stamp(meta),
                (Some(meta), Read::Bytes) => digests.read(&file.path, meta)?,
                (Some(meta), Read::State) => exact_state(&file.path, meta, digests)?,
            };
            let first = file.same_as.and_then(|at| self.files.get(at)).map_or("", |first| &first.role);
            hash.update(format!("{}\0{state}\0{first}\0", file.role));
        }
        Ok(format!("{:x}", hash.finalize()))
    }
}

#[cfg(test)]
#[path = "input_files_tests.rs"]
mod tests;
