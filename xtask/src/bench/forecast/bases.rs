//! Two images that stages are based on: the local one, and one with another environment on it.

use std::process::Command;

use anyhow::Result;

use super::super::copy::run;

use crate::process::collect::Collect;

/// The second image is removed with it.
pub(super) struct Bases {
    pub(super) first: String,
    pub(super) second: String,
}

impl Bases {
    /// Builds the second image on the first.
    pub(super) fn new(first: String) -> Result<Self> {
        let second = format!("durango-forecast/base:{}", std::process::id());
        let dir = tempfile::Builder::new().prefix("durango-forecast-").tempdir()?;
        std::fs::write(dir.path().join("Dockerfile"), format!("FROM {first}\nENV O=base\nWORKDIR /base\n"))?;
        let mut command = Command::new("docker");
        command.args(["buildx", "build", "--quiet", "--load", "--tag", &second]).arg(dir.path());
        run(command)?;
        Ok(Self { first, second })
    }
}

impl Drop for Bases {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["image", "rm", &self.second]).collect_output();
    }
}
