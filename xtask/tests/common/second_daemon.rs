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
    /// Starts one and waits until it answers.
    pub fn start() -> Self {
        // Short, since a socket's path may have 107 bytes.
        let dir = tempfile::Builder::new().prefix("dd-").tempdir_in("/tmp").expect("a temporary folder");
        let config = r#"{"features": {"containerd-snapshotter": true}}"#;
        fs::write(dir.path().join("daemon.json"), config).expect("written");
        let (number, bridge) = make_bridge();
        let child = spawn(dir.path(), &bridge);
        let daemon = Self { dir, bridge, child };
        daemon.wait(number);
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

    /// Ends it as a power cut would, and starts another on the same data.
    pub fn crash_and_restart(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("waited for");
        fs::remove_file(self.path("docker.pid")).expect("it left its number");
        self.child = spawn(self.dir.path(), &self.bridge);
        self.wait(0);
    }

    fn wait(&self, number: u32) {
        let started = Instant::now();
        while !self.docker(&["version"]).status.success() {
            let log = || fs::read_to_string(self.path("log")).unwrap_or_default();
            assert!(started.elapsed() < Duration::from_secs(60), "daemon {number} is not up: {}", log());
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
        let _ = Command::new("ip").args(["link", "del", &self.bridge]).status();
    }
}

/// A bridge that no other daemon has.
fn make_bridge() -> (u32, String) {
    let first = std::process::id() % 200;
    for number in (first..255).chain(1..first) {
        let bridge = format!("durango{number}");
        let made = ip(&["link", "add", &bridge, "type", "bridge"]);
        if made {
            assert!(ip(&["addr", "add", &format!("10.211.{number}.1/24"), "dev", &bridge]));
            assert!(ip(&["link", "set", &bridge, "up"]));
            return (number, bridge);
        }
    }
    panic!("no bridge can be made: is this root?");
}

fn ip(args: &[&str]) -> bool {
    Command::new("ip").args(args).stderr(Stdio::null()).status().expect("ip runs").success()
}

fn spawn(dir: &Path, bridge: &str) -> Child {
    let file = |name: &str| dir.join(name).display().to_string();
    let log = File::options().create(true).append(true).open(dir.join("log")).expect("a log");
    let mut command = Command::new("dockerd");
    command.args(["--config-file", &file("daemon.json"), "--data-root", &file("data")]);
    command.args(["--exec-root", &file("exec"), "--pidfile", &file("docker.pid")]);
    command.args(["--host", &format!("unix://{}", file("docker.sock")), "--bridge", bridge]);
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
