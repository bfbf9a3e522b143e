//! A Git repository that builders fetch from, with a branch that an edit moves.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::files;

use crate::process::collect::Collect;

/// The repository is served until the process ends.
pub(super) struct Repository {
    dir: tempfile::TempDir,
    pub(super) port: u16,
    /// The first commit, which the tag `first` names.
    pub(super) first: String,
}

impl Repository {
    /// Creates and serves a repository; `None` on a machine without Git.
    pub(super) fn start() -> Result<Option<Self>> {
        let exec_path = Command::new("git").arg("--exec-path").collect_output();
        let daemon = exec_path
            .ok()
            .map(|found| PathBuf::from(String::from_utf8_lossy(&found.stdout).trim()).join("git-daemon"));
        let Some(daemon) = daemon.filter(|daemon| daemon.is_file()) else { return Ok(None) };
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let dir = tempfile::Builder::new().prefix("durango-forecast-git-").tempdir()?;
        let mut repository = Self { dir, port: listener.local_addr()?.port(), first: String::new() };
        repository.git(&["init", "--quiet", "--initial-branch", "main"])?;
        repository.commit("first")?;
        repository.first = repository.git(&["rev-parse", "HEAD"])?;
        repository.git(&["tag", "first"])?;
        let base = repository.dir.path().to_owned();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let Ok(other) = stream.try_clone() else { continue };
                let mut command = Command::new(&daemon);
                command.args(["--inetd", "--export-all"]).arg(format!("--base-path={}", base.display()));
                command.arg(&base).env("GIT_CONFIG_GLOBAL", "/dev/null");
                command.stdin(OwnedFd::from(stream)).stdout(OwnedFd::from(other)).stderr(Stdio::null());
                // A client that goes away is its own loss.
                std::thread::spawn(move || command.status().ok());
            }
        });
        Ok(Some(repository))
    }

    /// Moves the branch.
    pub(super) fn commit(&self, content: &str) -> Result<()> {
        files::write(&self.dir.path().join("file"), content)?;
        files::write(&self.dir.path().join("sub/file"), "stays")?;
        self.git(&["add", "--all"])?;
        self.git(&["commit", "--quiet", "--allow-empty", "--message", content]).map(drop)
    }

    fn git(&self, args: &[&str]) -> Result<String> {
        let mut command = Command::new("git");
        command.current_dir(self.dir.path()).env("GIT_CONFIG_GLOBAL", "/dev/null");
        command.args(["-c", "user.name=bench", "-c", "user.email=bench@localhost"]).args(args);
        let output = command.collect_output().context("failed to start Git")?;
        if !output.status.success() {
            bail!("git failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}
