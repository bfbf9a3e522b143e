//! A second machine: another `dockerd` beside the first, with its own data, its own socket and its own bridge. With
//! `--bridge none` it would take the first one's `docker0` away.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A daemon of a test's own; ends with it, and its folders with it.
pub struct SecondDaemon {
    dir: tempfile::TempDir,
    bridge: String,
    child: Child,
}

impl SecondDaemon {
    /// Starts one that keeps images in containerd, as `--provision` sets it up, and waits until it answers.
    pub fn start() -> Self {
        Self::start_with(r#"{"features": {"containerd-snapshotter": true}}"#)
    }

    /// Starts one with this `daemon.json`.
    pub fn start_with(config: &str) -> Self {
        // Short, since a socket's path may have 107 bytes.
        let dir = tempfile::Builder::new().prefix("dd-").tempdir_in("/tmp").expect("a temporary folder");
        fs::write(dir.path().join("daemon.json"), config).expect("written");
        let bridge = make_bridge();
        let child = spawn(dir.path(), &bridge);
        let daemon = Self { dir, bridge, child };
        daemon.wait();
        daemon
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
    pub fn docker(&self, args: &[&str]) -> Output {
        let mut command = Command::new("docker");
        command.args(args).env("DOCKER_HOST", self.host()).env_remove("DOCKER_CONTEXT");
        command.output().expect("docker runs")
    }

    /// Gives it an image of the first daemon.
    pub fn receive(&self, image: &str) {
        let tar = self.path("image.tar");
        let tar = tar.to_str().expect("a path");
        let saved = Command::new("docker").args(["save", "-o", tar, image]).output().expect("docker runs");
        assert!(saved.status.success(), "{}", String::from_utf8_lossy(&saved.stderr));
        let loaded = self.docker(&["load", "-i", tar]);
        assert!(loaded.status.success(), "{}", String::from_utf8_lossy(&loaded.stderr));
    }

    /// Ends it as a power cut would, and starts another on the same data.
    pub fn crash_and_restart(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("waited for");
        fs::remove_file(self.path("docker.pid")).expect("it left its number");
        self.child = spawn(self.dir.path(), &self.bridge);
        self.wait();
    }

    fn wait(&self) {
        let started = Instant::now();
        while !self.docker(&["version"]).status.success() {
            let log = || fs::read_to_string(self.path("log")).unwrap_or_default();
            assert!(started.elapsed() < Duration::from_secs(60), "the second daemon is not up: {}", log());
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

impl Drop for SecondDaemon {
    fn drop(&mut self) {
        let id = self.child.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &id]).status();
        let asked = Instant::now();
        while self.child.try_wait().is_ok_and(|status| status.is_none()) {
            if asked.elapsed() > Duration::from_secs(20) {
                let _ = self.child.kill();
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        unmount_below(self.dir.path());
        first_docker(&["network", "rm", &self.bridge]);
    }
}

/// A bridge that no other daemon has, made by the first daemon: a bare machine has no `ip` to make one with.
fn make_bridge() -> String {
    let first = std::process::id() % 200;
    for number in (first..255).chain(1..first) {
        let bridge = format!("durango{number}");
        let name = format!("com.docker.network.bridge.name={bridge}");
        let subnet = format!("10.211.{number}.0/24");
        if first_docker(&["network", "create", "--subnet", &subnet, "-o", &name, &bridge]) {
            return bridge;
        }
    }
    panic!("the first daemon makes no bridge");
}

fn first_docker(args: &[&str]) -> bool {
    Command::new("docker").args(args).output().expect("docker runs").status.success()
}

fn spawn(dir: &Path, bridge: &str) -> Child {
    let file = |name: &str| dir.join(name).display().to_string();
    let log = File::options().create(true).append(true).open(dir.join("log")).expect("a log");
    let mut command = Command::new("dockerd");
    command.args(["--config-file", &file("daemon.json"), "--data-root", &file("data")]);
    command.args(["--exec-root", &file("exec"), "--pidfile", &file("docker.pid")]);
    command.args(["--host", &format!("unix://{}", file("docker.sock")), "--bridge", bridge]);
    // The first daemon masquerades what its bridge carries; a second one setting up rules would wipe the first one's.
    command.args(["--iptables=false", "--ip6tables=false"]);
    command.stdin(Stdio::null()).stdout(log.try_clone().expect("a log")).stderr(log);
    command.spawn().expect("dockerd starts")
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
