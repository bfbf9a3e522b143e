//! A second machine: another `dockerd` beside the first, with its own data, its own socket and its own bridge. With
//! `--bridge none` it would take the first one's `docker0` away. For the benchmark and the tests.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::exec::signals;

/// A `daemon.json` that keeps images in containerd, as `--provision` sets it up.
pub const CONTAINERD_STORE: &str = r#"{"features": {"containerd-snapshotter": true}}"#;

/// A daemon that ends with this value, and its folders with it.
pub struct SecondDaemon {
    dir: tempfile::TempDir,
    bridge: String,
    child: Child,
}

impl SecondDaemon {
    /// Starts one with this `daemon.json` and waits until it answers.
    pub fn start(config: &str) -> Result<Self> {
        // Short, since a socket's path may have 107 bytes.
        let dir = tempfile::Builder::new().prefix("dd-").tempdir_in("/tmp")?;
        fs::write(dir.path().join("daemon.json"), config)?;
        let bridge = make_bridge()?;
        let child = spawn(dir.path(), &bridge)?;
        let daemon = Self { dir, bridge, child };
        daemon.wait()?;
        Ok(daemon)
    }

    /// Its address, for DOCKER_HOST.
    pub fn host(&self) -> String {
        format!("unix://{}", self.path("docker.sock").display())
    }

    /// A file of its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The client, speaking to this daemon.
    pub fn docker(&self, args: &[&str]) -> Result<Output> {
        let mut command = Command::new("docker");
        command.args(args).env("DOCKER_HOST", self.host()).env_remove("DOCKER_CONTEXT");
        command.output().context("failed to run `docker`")
    }

    /// Gives it an image of the first daemon.
    pub fn receive(&self, image: &str) -> Result<()> {
        let tar = self.path("image.tar").display().to_string();
        let saved = Command::new("docker").args(["save", "-o", &tar, image]).output()?;
        succeeded(&saved)?;
        succeeded(&self.docker(&["load", "-i", &tar])?)?;
        Ok(fs::remove_file(tar)?)
    }

    /// Ends it as a power cut would, and starts another on the same data.
    pub fn crash_and_restart(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        fs::remove_file(self.path("docker.pid"))?;
        self.child = spawn(self.dir.path(), &self.bridge)?;
        self.wait()
    }

    fn wait(&self) -> Result<()> {
        let started = Instant::now();
        while !self.docker(&["version"])?.status.success() {
            if started.elapsed() > Duration::from_secs(60) {
                let log = fs::read_to_string(self.path("log")).unwrap_or_default();
                bail!("the second daemon is not up: {log}");
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }
}

impl Drop for SecondDaemon {
    fn drop(&mut self) {
        let id = self.child.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &id]).status();
        let asked = Instant::now();
        // After Ctrl-C there is no time for a clean end, and nothing of it is kept.
        let patience = Duration::from_millis(if signals::interrupted() { 500 } else { 20_000 });
        while self.child.try_wait().is_ok_and(|status| status.is_none()) {
            if asked.elapsed() > patience {
                let _ = self.child.kill();
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        unmount_below(self.dir.path());
        first_docker(&["network", "rm", &self.bridge]);
    }
}

fn succeeded(output: &Output) -> Result<()> {
    if !output.status.success() {
        bail!("docker failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// A bridge that no other daemon has, made by the first daemon: a bare machine has no `ip` to make one with.
fn make_bridge() -> Result<String> {
    let first = std::process::id() % 200;
    for number in (first..255).chain(1..first) {
        let bridge = format!("durango{number}");
        let name = format!("com.docker.network.bridge.name={bridge}");
        let subnet = format!("10.211.{number}.0/24");
        if first_docker(&["network", "create", "--subnet", &subnet, "-o", &name, &bridge]) {
            return Ok(bridge);
        }
    }
    bail!("the first daemon makes no bridge")
}

fn first_docker(args: &[&str]) -> bool {
    Command::new("docker").args(args).output().is_ok_and(|output| output.status.success())
}

fn spawn(dir: &Path, bridge: &str) -> Result<Child> {
    let file = |name: &str| dir.join(name).display().to_string();
    let log = File::options().create(true).append(true).open(dir.join("log"))?;
    let mut command = Command::new("dockerd");
    command.args(["--config-file", &file("daemon.json"), "--data-root", &file("data")]);
    command.args(["--exec-root", &file("exec"), "--pidfile", &file("docker.pid")]);
    command.args(["--host", &format!("unix://{}", file("docker.sock")), "--bridge", bridge]);
    // The first daemon masquerades what its bridge carries; a second one setting up rules would wipe the first one's.
    command.args(["--iptables=false", "--ip6tables=false"]);
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    command.spawn().context("failed to start `dockerd`")
}

/// What a daemon that was killed left mounted, deepest first.
fn unmount_below(dir: &Path) {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let below =
        mounts.lines().filter_map(|line| line.split(' ').nth(1)).filter(|at| Path::new(at).starts_with(dir));
    let mut below: Vec<&str> = below.collect();
    below.sort_by_key(|at| std::cmp::Reverse(at.len()));
    for at in below {
        let _ = Command::new("umount").args(["-l", at]).status();
    }
}
