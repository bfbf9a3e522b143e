//! BuildKit of the tests' own, newer than the engine's: built once as a Go tool dependency (`common/buildkit/go.mod` pins it), as an
//! image for docker-container builders and as a server for remote ones. And the three ways to a builder that a test can take.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::Project;

/// The pinned version.
const PINNED: &str = "v0.34.2";
/// Names a directory of `buildkitd` and `buildctl` to test with in place of the pinned ones.
const DIRECTORY: &str = "DURANGO_TEST_BUILDKIT";
/// What the image is called.
const IMAGE: &str = "durango-test/buildkit";

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/common/buildkit")
}

/// The version that is tested with.
pub fn version() -> String {
    if std::env::var_os(DIRECTORY).is_none() {
        return PINNED.to_owned();
    }
    let asked = Command::new(programs().join("buildkitd")).arg("--version").output().expect("buildkitd runs");
    let text = String::from_utf8_lossy(&asked.stdout).into_owned();
    text.split_whitespace().nth(2).expect("a version").to_owned()
}

/// The directory of `buildkitd` and `buildctl`. They take minutes to build, once a machine; tests at the same time wait for one.
pub fn programs() -> PathBuf {
    if let Some(given) = std::env::var_os(DIRECTORY) {
        return given.into();
    }
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../target/test-buildkit/{PINNED}"));
    fs::create_dir_all(&dir).expect("a folder");
    let lock = File::create(dir.join("lock")).expect("a lock");
    lock.lock().expect("locked");
    if !["buildkitd", "buildctl"].iter().all(|name| dir.join(name).is_file()) {
        // Built beside, so that one that was killed leaves nothing that looks whole.
        let beside = dir.join("beside");
        let flags = format!("-s -w -X github.com/moby/buildkit/version.Version={PINNED}");
        let host = xtask::testing::host::Host::read();
        let mut build = if host.which("go").is_some() {
            by_go(&beside, &flags)
        } else {
            by_docker(&host, &beside, &flags)
        };
        let output = build.output().expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        for name in ["buildctl", "buildkitd"] {
            fs::rename(beside.join(name), dir.join(name)).expect("moved");
        }
    }
    fs::canonicalize(dir).expect("a folder")
}

fn by_go(to: &Path, flags: &str) -> Command {
    let mut go = Command::new("go");
    go.args(["build", "-trimpath", "-buildvcs=false", "-ldflags", flags, "-o"])
        .arg(format!("{}/", to.display()));
    go.args(["buildkitd", "buildctl"].map(|name| format!("github.com/moby/buildkit/cmd/{name}")));
    go.current_dir(source()).env("CGO_ENABLED", "0");
    go
}

/// Where there is no Go, as on a machine that was just provisioned.
fn by_docker(host: &xtask::testing::host::Host, to: &Path, flags: &str) -> Command {
    let base = super::base_of(&Project::new(&[("compose.yaml", super::COMPOSE)]));
    let mut build = Command::new("docker");
    build.args([
        "build",
        "--build-arg",
        &format!("BASE_IMAGE={base}"),
        "--build-arg",
        &format!("LDFLAGS={flags}"),
    ]);
    if let Some(bundle) = xtask::testing::project::secrets::read(host).ca_bundle {
        build.arg("--secret").arg(format!("id=ca,src={}", bundle.display()));
    }
    build.arg("--output").arg(format!("type=local,dest={}", to.display()));
    build.arg("--file").arg(source().join("programs.Dockerfile")).arg(source()).env("DOCKER_BUILDKIT", "1");
    build
}

/// The image for docker-container builders; it stays in the engine, as the programs stay on the machine.
pub fn image(project: &Project) -> String {
    let programs = programs();
    let name = format!("{IMAGE}:{}", version());
    let lock = File::create(programs.join("lock")).expect("a lock");
    lock.lock().expect("locked");
    if !docker(&["image", "inspect", &name]) {
        let mut build = Command::new("docker");
        build.args(["build", "--tag", &name, "--build-arg"]);
        build.arg(format!("BASE_IMAGE={}", super::base_of(project)));
        build.arg("--file").arg(source().join("Dockerfile")).arg(&programs).env("DOCKER_BUILDKIT", "1");
        // An image store that another test removes an image from may lose a layer that it unpacks: once more costs a second.
        let first = build.output().expect("docker runs");
        let output = if first.status.success() { first } else { build.output().expect("docker runs") };
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    name
}

fn docker(args: &[&str]) -> bool {
    Command::new("docker").args(args).output().is_ok_and(|output| output.status.success())
}

/// A BuildKit that listens on this machine; it and its data end with the test.
pub struct Remote {
    dir: tempfile::TempDir,
    port: u16,
    child: Child,
}

impl Remote {
    pub fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("bk-").tempdir_in("/tmp").expect("a temporary folder");
        let log = File::create(dir.path().join("log")).expect("a log");
        let mut command = Command::new(programs().join("buildkitd"));
        command.args(["--addr", "tcp://127.0.0.1:0", "--oci-worker-binary=runc"]);
        command.arg("--root").arg(dir.path().join("data"));
        // The engine's containerd is not ours to work with.
        command.args(["--containerd-worker=false"]).stdin(Stdio::null());
        command.stdout(log.try_clone().expect("a log")).stderr(log);
        let child = command.spawn().expect("buildkitd runs");
        let port = super::logged_port(&dir.path().join("log"), "running server on ");
        let remote = Self { dir, port, child };
        remote.wait();
        remote
    }

    /// Its address, for `--endpoint`.
    pub fn endpoint(&self) -> String {
        format!("tcp://127.0.0.1:{}", self.port)
    }

    fn wait(&self) {
        let started = Instant::now();
        let asks = || {
            let mut ask = Command::new(programs().join("buildctl"));
            ask.args(["--addr", &self.endpoint(), "debug", "workers"]).output().expect("buildctl runs")
        };
        while !asks().status.success() {
            let log = || fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            assert!(started.elapsed() < Duration::from_secs(60), "buildkitd is not up: {}", log());
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let asked = Instant::now();
        while self.child.try_wait().is_ok_and(|status| status.is_none()) {
            if asked.elapsed() > Duration::from_secs(20) {
                let _ = self.child.kill();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// A container builder of a test, made by `builder up` and purged with the value.
pub struct Container<'a> {
    project: &'a Project,
    pub name: String,
}

impl<'a> Container<'a> {
    /// A name that no other test has; nothing is made yet.
    pub fn named(project: &'a Project, name: &str) -> Self {
        Self { project, name: format!("durango-test-{name}-{}", std::process::id()) }
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        let run = self.project.run(&["builder", "down", &self.name, "--purge", "--yes"]);
        if run.code != 0 && !std::thread::panicking() {
            panic!("{}", run.all());
        }
    }
}
