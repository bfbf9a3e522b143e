//! Every file that a build is made from, for the question whether BuildKit has to be asked at all.
//! A wrong answer would be a stale image, so nothing here is left in doubt: the whole of each
//! context counts, whatever its Dockerfile takes of it, and what cannot be read is an error.
//!
//! A file is looked at twice. Its stamp (size, device, inode, times) is taken before the build, and
//! again after it: where the two are equal, nothing was written meanwhile, and what was hashed is
//! what BuildKit read. Every write sets the time of the last change, which no program can set back;
//! but it is only as fine as the file system's clock. A file that was changed within the last tick
//! may be changed again without another stamp. So a build begins no earlier than a tick after
//! the newest change ([`InputFiles::settles_in`]), as git reads a file again that is as new as its
//! index. Remembered digests ([`Digests`]) have the same guard, with a longer tick.

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
use super::{Declaration, Target};

/// Longer than the tick of a file system that tells times in nanoseconds: a clock of 100 Hz.
const TICK: Duration = Duration::from_millis(20);
/// The same of one that tells full seconds, or every second one.
const COARSE_TICK: Duration = Duration::from_secs(3);

/// The files, looked at but not read.
pub(crate) struct InputFiles {
    files: Vec<InputFile>,
}

struct InputFile {
    /// What it is to the build.
    role: String,
    path: PathBuf,
    /// Nothing where there is none, which counts as well.
    meta: Option<Metadata>,
    read: Read,
    /// The first of several names that are one file: BuildKit is sent the others as links to it.
    same_as: Option<usize>,
}

/// What of a file counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Read {
    /// All that BuildKit compares of a context's file.
    State,
    /// Its bytes alone.
    Bytes,
    /// That it is the very same file: a secret, which nobody reads for this.
    Stamp,
    /// Nothing; a change while a build runs counts. A file that came and went since leaves a trace
    /// in its directory alone.
    Nothing,
}

impl InputFiles {
    /// Looks at the files of a declaration and of these targets, which are as BuildKit will be
    /// handed them. `secrets` are files of secrets.
    ///
    /// # Errors
    ///
    /// Fails where a file cannot be looked at, and where a context is no directory of this machine.
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
                .with_context(|| format!("failed to read what `{name}` is made of"))?;
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
            let is_elsewhere = source.contains("://") || source.starts_with("target:");
            if is_elsewhere && !context.is_empty() {
                // Other targets are among the build's; of images BuildKit itself says what it looks
                // up.
                if !["target:", "docker-image://"].iter().any(|known| source.starts_with(known)) {
                    bail!("the context `{context}` is elsewhere");
                }
                continue;
            }
            let dir = declaration.dir.join(source);
            if is_elsewhere || !dir.is_dir() {
                bail!("the context `{source}` is no directory");
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

    /// The Dockerfile's own ignore file, else the context's.
    fn ignore(&mut self, role: &str, dir: &Path, own: Option<&Path>) -> Result<Ignore> {
        let of_context = dir.join(".dockerignore");
        for path in own.into_iter().chain([of_context.as_path()]) {
            if self.add(&format!("{role} ignore file"), path, Read::Bytes)? {
                let text = fs::read_to_string(path)?;
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

    /// Adds a file that is read by its own path; whether it is there. A link in its place is
    /// refused: what BuildKit makes of one depends on where it leads.
    fn add(&mut self, role: &str, path: &Path, read: Read) -> Result<bool> {
        let meta = match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            // A secret is read by its path, wherever that leads.
            Ok(meta) if meta.is_symlink() && read == Read::Stamp => Some(fs::metadata(path)?),
            meta => Some(meta.with_context(|| format!("failed to read `{}`", path.display()))?),
        };
        let is_there = meta.is_some();
        if meta.as_ref().is_some_and(|meta| !meta.is_file()) && read == Read::Bytes {
            bail!("`{}` is no plain file", path.display());
        }
        let role = format!("{role}\0{}", path.display());
        self.files.push(InputFile { role, path: path.to_path_buf(), meta, read, same_as: None });
        Ok(is_there)
    }

    /// A digest of how the files are stamped: equal before and after a build where nobody wrote
    /// one.
    pub(crate) fn stamp(&self) -> String {
        let mut hash = Sha256::new();
        for file in &self.files {
            hash.update(format!("{}\0{}\0", file.role, file.meta.as_ref().map(stamp).unwrap_or_default()));
        }
        format!("{:x}", hash.finalize())
    }

    /// How long from now on a change might leave no trace in a stamp; nothing where that is too
    /// long to wait for.
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

    /// Bytes that have to be read for the digest.
    pub(crate) fn unread_bytes(&self, digests: &Digests) -> u64 {
        let unread = |file: &&InputFile| {
            let meta = file.meta.as_ref();
            let is_read = matches!(file.read, Read::State | Read::Bytes);
            is_read && meta.is_some_and(|meta| meta.is_file() && !digests.has(&file.path, meta))
        };
        self.files.iter().filter(unread).filter_map(|file| Some(file.meta.as_ref()?.len())).sum()
    }

    /// A digest of all that BuildKit may compare of them.
    ///
    /// # Errors
    ///
    /// Fails where a file cannot be read as a whole.
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
