//! Asks which images the engine has under which names, in one call: each call costs 40 ms.

use std::time::Duration;

use anyhow::{Result, bail};
use xshell::cmd;

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
