//! A BuildKit for the tests, newer than the engine's. It is built once as a Go tool dependency
//! (`common/buildkit/go.mod` pins it). It serves as an image for docker-container builders and as a
//! server for remote ones.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{Project, lock};

const PINNED: &str = "v0.34.2";
/// A directory with `buildkitd` and `buildctl` to test instead of the pinned ones.
const DIRECTORY: &str = "DURANGO_TEST_BUILDKIT";
/// The name of the image.
const IMAGE: &str = "durango-test/buildkit";

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/common/buildkit")
}

/// Returns the version under test.
pub fn version() -> String {
    if std::env::var_os(DIRECTORY).is_none() {
        return PINNED.to_owned();
    }
    let asked = Command::new(programs().join("buildkitd")).arg("--version").output().expect("buildkitd runs");
    let text = String::from_utf8_lossy(&asked.stdout).into_owned();
    text.split_whitespace().nth(2).expect("a version").to_owned()
}

/// Returns the directory of `buildkitd` and `buildctl`. Builds them once per machine, which takes
/// minutes; parallel tests wait for one build.
pub fn programs() -> PathBuf {
    if let Some(given) = std::env::var_os(DIRECTORY) {
        return given.into();
    }
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../target/test-buildkit/{PINNED}"));
    fs::create_dir_all(&dir).expect("a directory");
    let _lock = lock::exclusive(&dir.join("lock"));
    if !["buildkitd", "buildctl"].iter().all(|name| dir.join(name).is_file()) {
        // Built in a separate directory, so that a killed build leaves nothing that looks complete.
        let staging = dir.join("staging");
        let flags = format!("-s -w -X github.com/moby/buildkit/version.Version={PINNED}");
        let host = xtask::testing::host::Host::read();
        let mut build = if host.which("go").is_some() {
            by_go(&staging, &flags)
        } else {
            by_docker(&host, &staging, &flags)
        };
        let output = build.output().expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        for name in ["buildctl", "buildkitd"] {
            fs::rename(staging.join(name), dir.join(name)).expect("moved");
        }
    }
    fs::canonicalize(dir).expect("a directory")
}

fn by_go(to: &Path, flags: &str) -> Command {
    let mut go = Command::new("go");
    go.args(["build", "-trimpath", "-buildvcs=false", "-ldflags", flags, "-o"])
        .arg(format!("{}/", to.display()));
    go.args(["buildkitd", "buildctl"].map(|name| format!("github.com/moby/buildkit/cmd/{name}")));
    go.current_dir(source()).env("CGO_ENABLED", "0");
    go
}

/// For a machine without Go, such as a newly provisioned one.
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

/// Returns the image for docker-container builders. It stays in the engine, as the programs stay on
/// the machine.
pub fn image(project: &Project) -> String {
    let programs = programs();
    let name = format!("{IMAGE}:{}", version());
    let _lock = lock::exclusive(&programs.join("lock"));
    if !docker(&["image", "inspect", &name]) {
        let mut build = Command::new("docker");
        build.args(["build", "--tag", &name, "--build-arg"]);
        build.arg(format!("BASE_IMAGE={}", super::base_of(project)));
        build.arg("--file").arg(source().join("Dockerfile")).arg(&programs).env("DOCKER_BUILDKIT", "1");
        // If another test removes an image meanwhile, the image store may lose a layer that it
        // unpacks. A retry costs a second.
        let first = build.output().expect("docker runs");
        let output = if first.status.success() { first } else { build.output().expect("docker runs") };
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    name
}

fn docker(args: &[&str]) -> bool {
    Command::new("docker").args(args).output().is_ok_and(|output| output.status.success())
}

/// A BuildKit that listens on this machine. It and its data are removed on drop.
pub struct Remote {
    dir: tempfile::TempDir,
    port: u16,
    child: Child,
}

impl Remote {
    pub fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("bk-").tempdir_in("/tmp").expect("a temporary directory");
        let log = File::create(dir.path().join("log")).expect("a log");
        let mut command = Command::new(programs().join("buildkitd"));
        command.args(["--addr", "tcp://127.0.0.1:0", "--oci-worker-binary=runc"]);
        command.arg("--root").arg(dir.path().join("data"));
        // The tests must not use the engine's containerd.
        command.args(["--containerd-worker=false"]).stdin(Stdio::null());
        command.stdout(log.try_clone().expect("a log")).stderr(log);
        let child = command.spawn().expect("buildkitd runs");
        let port = super::logged_port(&dir.path().join("log"), "running server on ");
        let remote = Self { dir, port, child };
        remote.wait();
        remote
    }

    /// Returns its address for `--endpoint`.
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

/// A container builder of a test. `builder up` creates it; dropping this value purges it.
pub struct Container<'a> {
    project: &'a Project,
    pub name: String,
}

impl<'a> Container<'a> {
    /// Chooses a name that no other test has. Creates nothing yet.
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
