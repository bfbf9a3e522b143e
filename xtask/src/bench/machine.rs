//! A second machine: another `dockerd` on this one, with its own data, socket and bridge. With
//! `--bridge none` it would remove the first one's `docker0`. For the benchmark and the tests.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::engine::legs::Programs;
use crate::process::collect::Collect;
use crate::process::signals;

/// The variable with the daemon that creates the bridges: a daemon that was started here sets up no
/// masquerading, so a bridge created by it has no connection.
pub const BRIDGE_HOST: &str = "DURANGO_TEST_BRIDGE_HOST";

/// A `daemon.json` that keeps images in containerd, as `--provision` sets it up, and everything in
/// the build cache: by default, Docker 28 removes records when the disk has little room.
pub const CONTAINERD_STORE: &str =
    r#"{"features": {"containerd-snapshotter": true}, "builder": {"gc": {"enabled": false}}}"#;

/// A daemon. It and its directories are removed on drop.
pub struct SecondDaemon {
    dir: tempfile::TempDir,
    env: Vec<(&'static str, String)>,
    /// `None` for a machine without any network.
    bridge: Option<String>,
    child: Child,
}

impl SecondDaemon {
    /// Starts one with this `daemon.json` and waits until it answers.
    pub fn start(config: &str) -> Result<Self> {
        Self::start_as(config, None)
    }

    /// Starts one that reaches nothing, not even this machine: in a network namespace of its own,
    /// with a bridge that leads nowhere.
    pub fn start_offline(config: &str) -> Result<Self> {
        Self::start_on(false, config, None, &mut |_| Ok(()))
    }

    /// Starts one with the programs of a leg; without, with those of the PATH.
    pub fn start_as(config: &str, programs: Option<&Programs>) -> Result<Self> {
        Self::start_in(config, programs, &mut |_| Ok(()))
    }

    /// Starts one after `prepare` got to see the directory that its data will be in.
    pub(crate) fn start_in(
        config: &str,
        programs: Option<&Programs>,
        prepare: &mut dyn FnMut(&Path) -> Result<()>,
    ) -> Result<Self> {
        Self::start_on(true, config, programs, prepare)
    }

    fn start_on(
        has_network: bool,
        config: &str,
        programs: Option<&Programs>,
        prepare: &mut dyn FnMut(&Path) -> Result<()>,
    ) -> Result<Self> {
        // Short, because a socket's path may have 107 bytes.
        let dir = tempfile::Builder::new().prefix("dd-").tempdir_in("/tmp")?;
        fs::write(dir.path().join("daemon.json"), config)?;
        let env = programs.map(|programs| environment(programs, dir.path())).transpose()?.unwrap_or_default();
        prepare(&dir.path().join("data"))?;
        let bridge = has_network.then(make_bridge).transpose()?;
        let child = spawn(dir.path(), &env, bridge.as_deref())?;
        let daemon = Self { dir, env, bridge, child };
        daemon.wait()?;
        Ok(daemon)
    }

    /// Returns its address for DOCKER_HOST.
    pub fn host(&self) -> String {
        format!("unix://{}", self.path("docker.sock").display())
    }

    /// Returns the variables that direct a command to this daemon and to its programs.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let host = ("DOCKER_HOST", self.host());
        self.env.iter().cloned().chain([host, (BRIDGE_HOST, bridge_host())]).collect()
    }

    /// Returns the path of a file in its directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs the client against this daemon.
    pub fn docker(&self, args: &[&str]) -> Result<Output> {
        let mut command = Command::new("docker");
        command.args(args).envs(self.env.iter().cloned());
        command.env("DOCKER_HOST", self.host()).env_remove("DOCKER_CONTEXT");
        command.collect_output().context("failed to run `docker`")
    }

    /// Returns its version and that of the client's buildx as text.
    pub fn versions(&self) -> Result<String> {
        let asked = [&["version", "--format", "{{.Server.Version}}"][..], &["buildx", "version"]];
        let [server, buildx] = asked.map(|args| self.docker(args));
        let text = |output: Output| String::from_utf8_lossy(&output.stdout).trim().to_owned();
        Ok(format!("Docker {}, {}", text(server?), text(buildx?)))
    }

    /// Loads an image of the first daemon.
    pub fn receive(&self, image: &str) -> Result<()> {
        let tar = self.path("image.tar").display().to_string();
        let saved = Command::new("docker").args(["save", "-o", &tar, image]).collect_output()?;
        succeeded(&saved)?;
        succeeded(&self.docker(&["load", "-i", &tar])?)?;
        Ok(fs::remove_file(tar)?)
    }

    /// Stops it as a power failure would, and starts another one on the same data.
    pub fn crash_and_restart(&mut self) -> Result<()> {
        self.crash()?;
        self.restart()
    }

    /// Returns whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Stops it as a power failure would.
    pub(crate) fn crash(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(fs::remove_file(self.path("docker.pid"))?)
    }

    /// Starts another one on the data of one that ended by itself.
    pub(crate) fn revive(&mut self) -> Result<()> {
        let _ = fs::remove_file(self.path("docker.pid"));
        self.restart()
    }

    /// Starts another one on the data of a stopped one.
    pub(crate) fn restart(&mut self) -> Result<()> {
        self.child = spawn(self.dir.path(), &self.env, self.bridge.as_deref())?;
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
        if let Some(bridge) = &self.bridge {
            bridging_docker(&["network", "rm", bridge]);
        }
    }
}

/// PATH and DOCKER_CONFIG of a leg. The configuration is the daemon's own, so that builders of one
/// run end with it.
fn environment(programs: &Programs, dir: &Path) -> Result<Vec<(&'static str, String)>> {
    let plugins = dir.join("config/cli-plugins");
    fs::create_dir_all(&plugins)?;
    for (name, program) in &programs.plugins {
        std::os::unix::fs::symlink(program, plugins.join(name))?;
    }
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(programs.path.iter().cloned().chain(std::env::split_paths(&inherited)))?;
    let mut env = vec![
        ("PATH", path.to_string_lossy().into_owned()),
        ("DOCKER_CONFIG", dir.join("config").display().to_string()),
    ];
    env.extend(programs.buildkit.iter().map(|bin| ("DURANGO_TEST_BUILDKIT", bin.display().to_string())));
    Ok(env)
}

fn succeeded(output: &Output) -> Result<()> {
    if !output.status.success() {
        bail!("docker failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// Creates a bridge that no other daemon has, with the first daemon: a minimal machine has no `ip`
/// to create one.
fn make_bridge() -> Result<String> {
    let first = std::process::id() % 200;
    for number in (first..255).chain(1..first) {
        let bridge = format!("durango{number}");
        let name = format!("com.docker.network.bridge.name={bridge}");
        let subnet = format!("10.211.{number}.0/24");
        if bridging_docker(&["network", "create", "--subnet", &subnet, "-o", &name, &bridge]) {
            return Ok(bridge);
        }
    }
    bail!("the first daemon makes no bridge")
}

/// Returns the address of the daemon that creates bridges.
fn bridge_host() -> String {
    let named = [BRIDGE_HOST, "DOCKER_HOST"].into_iter().find_map(|name| std::env::var(name).ok());
    named.unwrap_or_else(|| "unix:///var/run/docker.sock".to_owned())
}

fn bridging_docker(args: &[&str]) -> bool {
    let mut command = Command::new("docker");
    command.args(args).env("DOCKER_HOST", bridge_host());
    command.collect_output().is_ok_and(|output| output.status.success())
}

fn spawn(dir: &Path, env: &[(&'static str, String)], bridge: Option<&str>) -> Result<Child> {
    let file = |name: &str| dir.join(name).display().to_string();
    let log = File::options().create(true).append(true).open(dir.join("log"))?;
    let mut command = Command::new(if bridge.is_some() { "dockerd" } else { "unshare" });
    if bridge.is_none() {
        command.args(["--net", "--", "dockerd"]);
    }
    command.envs(env.iter().cloned());
    command.args(["--config-file", &file("daemon.json"), "--data-root", &file("data")]);
    command.args(["--exec-root", &file("exec"), "--pidfile", &file("docker.pid")]);
    command.args(["--host", &format!("unix://{}", file("docker.sock"))]);
    // In a namespace of its own, the daemon makes the default bridge.
    command.args(bridge.iter().flat_map(|bridge| ["--bridge", bridge]));
    // The first daemon masquerades the traffic of its bridge. Rules of a second one would remove
    // the first one's.
    command.args(["--iptables=false", "--ip6tables=false"]);
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    command.spawn().context("failed to start `dockerd`")
}

/// Unmounts what a killed daemon left mounted, deepest first.
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
