//! A target's Dockerfile, which a build reads and parses once.

use std::path::{Path, PathBuf};

use super::{Dockerfile, decode};
use crate::files;
use crate::project::{Declaration, Target};

/// The Dockerfile of a target.
#[derive(Debug, Clone)]
pub(crate) struct DockerfileSource {
    /// Its path; `None` for an inline Dockerfile.
    pub path: Option<PathBuf>,
    pub bytes: Vec<u8>,
    /// Its text, decoded.
    pub text: String,
    /// The parsed file.
    pub file: Dockerfile,
    /// The text of `<name>.dockerignore`, which BuildKit looks for next to the Dockerfile.
    pub ignore: Option<String>,
}

impl DockerfileSource {
    /// Reads the Dockerfile of a target. Returns `None` for one in a remote context or that is
    /// missing.
    pub(crate) fn read(declaration: &Declaration, target: &Target) -> Option<Self> {
        if let Some(text) = &target.dockerfile_inline {
            return Some(Self::new(None, text.clone().into_bytes(), None));
        }
        let path = declaration.dockerfile(target)?;
        let bytes = files::read(&path).ok()?;
        let mut ignore = path.clone().into_os_string();
        ignore.push(".dockerignore");
        let ignore = files::read(Path::new(&ignore)).ok().map(|bytes| decode(&bytes));
        Some(Self::new(Some(path), bytes, ignore))
    }

    /// Parses a Dockerfile.
    pub(crate) fn new(path: Option<PathBuf>, bytes: Vec<u8>, ignore: Option<String>) -> Self {
        let (text, file) = (decode(&bytes), Dockerfile::parse(&bytes));
        Self { path, bytes, text, file, ignore }
    }
}

#[cfg(test)]
mod tests {
    use super::super::encode;
    use super::*;

    #[test]
    fn bytes_that_are_not_utf8_survive_in_the_text() {
        let bytes = b"FROM a\nRUN echo \xff\n".to_vec();
        let source = DockerfileSource::new(None, bytes.clone(), None);
        assert_eq!(encode(&source.text), bytes);
        assert_eq!(source.file.stages.len(), 1);
    }
}
