//! A digest of everything that a build is made from: the included files of its contexts,
//! Dockerfile, arguments, platform. In doubt it includes more. So a key may change without need,
//! but never stays the same by mistake.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::context::{Entry, Tree};
use super::dockerfile::source::DockerfileSource;
use super::ignore::Ignore;
use super::remote::is_remote;
use super::{Declaration, Target};

use crate::files;

/// Collects the inputs of targets.
#[derive(Default)]
pub(crate) struct Inputs {
    hash: Sha256,
    /// The number of files.
    pub files: usize,
}

impl Inputs {
    /// Adds a target.
    pub(crate) fn target(&mut self, declaration: &Declaration, name: &str, platform: &str) -> Result<()> {
        let target = &declaration.targets[name];
        self.part(name.as_bytes());
        self.part(platform.as_bytes());
        let dockerfile = DockerfileSource::read(declaration, target).map(|source| source.bytes);
        self.part(&dockerfile.unwrap_or_default());
        self.part(target.target.as_deref().unwrap_or_default().as_bytes());
        self.part(&serde_json::to_vec(&target.args)?);
        for (name, source) in contexts(target) {
            self.part(name.as_bytes());
            let dir = declaration.dir.join(source);
            let is_elsewhere = source.contains("://") || is_remote(source);
            if is_elsewhere || source.contains(':') && !dir.is_dir() {
                self.part(source.as_bytes());
            } else {
                let ignore = ignore(declaration, target, &dir, name);
                self.directory(&dir, ignore)
                    .with_context(|| format!("failed to read `{}`", dir.display()))?;
            }
        }
        Ok(())
    }

    /// Returns the digest of all inputs in hex.
    pub(crate) fn digest(self) -> String {
        format!("{:x}", self.hash.finalize())
    }

    fn part(&mut self, bytes: &[u8]) {
        self.hash.update((bytes.len() as u64).to_le_bytes());
        self.hash.update(bytes);
    }

    /// Adds names, types, executable bits, and content. Ignores times and owners, which differ from
    /// checkout to checkout. Opens regular files only.
    fn directory(&mut self, dir: &Path, ignore: Ignore) -> Result<()> {
        fs::read_dir(dir)?;
        let mut tree = Tree::new(dir, ignore);
        match tree.root() {
            Some(root) => self.entries(&mut tree, &root),
            None => Ok(()),
        }
    }

    fn entries(&mut self, tree: &mut Tree, directory: &Entry) -> Result<()> {
        for entry in tree.children(directory).iter() {
            let (meta, kind) = (&entry.meta, entry.meta.file_type());
            if kind.is_dir() {
                self.entries(tree, entry)?;
                continue;
            }
            self.part(entry.path.as_bytes());
            if kind.is_symlink() {
                self.part(fs::read_link(&entry.file)?.as_os_str().as_bytes());
            } else if kind.is_file() {
                self.part(&[u8::from(meta.permissions().mode() & 0o111 != 0)]);
                let mut hash = Sha256::new();
                io::copy(&mut files::open_to_read(&entry.file)?, &mut hash)?;
                self.part(&hash.finalize());
            } else if kind.is_socket() {
                // BuildKit sends a socket as an empty file.
                self.part(&[u8::from(meta.permissions().mode() & 0o111 != 0)]);
                self.part(&Sha256::new().finalize());
            } else {
                self.part(format!("{:o} {}", meta.mode() & 0o170_000, meta.rdev()).as_bytes());
            }
            self.files += 1;
        }
        Ok(())
    }
}

/// Returns the main context and the named ones.
fn contexts(target: &Target) -> impl Iterator<Item = (&str, &str)> {
    let named = target.contexts.iter().map(|(name, source)| (name.as_str(), source.as_str()));
    std::iter::once(("", target.context.as_deref().unwrap_or("."))).chain(named)
}

/// Returns the Dockerfile's own `.dockerignore`, which is for the main context only, else the one
/// in the context.
pub(crate) fn ignore(declaration: &Declaration, target: &Target, dir: &Path, name: &str) -> Ignore {
    let own = declaration.dockerfile(target).filter(|_| name.is_empty()).map(|file| {
        let mut name = file.file_name().unwrap_or_default().to_owned();
        name.push(".dockerignore");
        file.with_file_name(name)
    });
    let text = own.and_then(|file| files::read(&file).ok());
    let text = text.or_else(|| files::read(&dir.join(".dockerignore")).ok());
    Ignore::parse(&String::from_utf8_lossy(&text.unwrap_or_default()))
}
