//! Asks which images the engine has under which names, in one call: each call costs 40 ms.

use std::time::Duration;

use anyhow::{Result, bail};
use serde::Deserialize;
use serde_json::Value;
use xshell::{Shell, cmd};

use crate::process::query::{self, RunningQuery};
use crate::session::Session;

const QUERY_TIMEOUT: Duration = Duration::from_secs(20);

/// A question for the ids of images, under way.
pub(crate) struct ImagesQuery {
    names: usize,
    running: RunningQuery,
}

impl ImagesQuery {
    /// Asks for the ids of images by name or id.
    pub(crate) fn start<'a>(session: &Session, names: impl Iterator<Item = &'a str>) -> Result<Self> {
        let sh = &session.sh;
        let names: Vec<&str> = names.collect();
        let count = names.len();
        let command = cmd!(sh, "docker image inspect --format '{{.Id}}' {names...}").quiet();
        Ok(Self { names: count, running: query::start(command)? })
    }

    /// Returns the ids in the order of the names.
    ///
    /// # Errors
    ///
    /// Fails unless the engine has every image, with what it says.
    pub(crate) fn ids(self) -> Result<Vec<String>> {
        let answer = self.running.answer(QUERY_TIMEOUT)?;
        let ids: Vec<String> = answer.stdout.split_whitespace().map(str::to_owned).collect();
        if !answer.success || ids.len() != self.names {
            bail!("the engine lacks an image: {}", answer.stderr.trim());
        }
        Ok(ids)
    }
}

/// An image as the engine describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Image {
    pub(crate) id: String,
    tags: Option<Vec<String>>,
    /// The digests of its layers.
    pub(crate) layers: Value,
    /// The configuration that a container or a step on it starts with.
    pub(crate) config: Value,
}

/// The format of the query for an [`Image`].
const IMAGE: &str = concat!(
    r#"{"id":{{json .Id}},"tags":{{json .RepoTags}},"#,
    r#""layers":{{json .RootFS.Layers}},"config":{{json .Config}}}"#
);

impl Image {
    /// Asks for the description of images. The engine names each missing one on stderr.
    pub(crate) fn ask(sh: &Shell, names: &[&str]) -> Result<RunningQuery> {
        query::start(cmd!(sh, "docker image inspect --format {IMAGE} {names...}").quiet())
    }

    /// Parses the engine's answer. `None` if a line of it is no image.
    pub(crate) fn parse(stdout: &str) -> Option<Vec<Self>> {
        let lines = stdout.lines().filter(|line| !line.trim().is_empty());
        lines.map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Returns whether a build means this image by a name.
    pub(crate) fn is(&self, name: &str) -> bool {
        let plain = name.strip_prefix("docker.io/").unwrap_or(name);
        let plain = plain.strip_prefix("library/").unwrap_or(plain);
        let mut tags = self.tags.iter().flatten();
        tags.any(|tag| tag == plain || tag.strip_suffix(":latest") == Some(plain))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_known_by_their_names() {
        let line = |id: &str, tags: &str| {
            format!(r#"{{"id":"{id}","tags":{tags},"layers":["sha256:9"],"config":{{"User":"www"}}}}"#)
        };
        let answer = format!("{}\n{}\n\n", line("1", r#"["debian:13","app:latest"]"#), line("2", "null"));
        let images = Image::parse(&answer).expect("two images");
        assert_eq!(images.iter().map(|image| image.id.as_str()).collect::<Vec<_>>(), ["1", "2"]);
        for name in ["debian:13", "docker.io/library/debian:13", "library/debian:13", "app", "app:latest"] {
            assert!(images[0].is(name) && !images[1].is(name), "{name}");
        }
        assert!(!images[0].is("debian") && !images[0].is("app:1"));
        assert_eq!(Image::parse("sha256:1\n"), None);
        assert_eq!(Image::parse("\n"), Some(Vec::new()));
    }
}
