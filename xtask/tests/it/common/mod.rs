//! Helpers of the end-to-end tests: the binary with a cleared environment, and small projects in
//! temporary directories.
#![allow(unreachable_pub, missing_docs)] // `pub` here means: for the tests

pub mod browser;
pub mod buildkit;
pub mod file_server;
pub mod front;
pub mod go;
pub mod lock;
pub mod lossy_registry;
pub mod mirror;
pub mod outcome;
pub mod registry;
pub mod second_daemon;
pub mod terminal;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use xtask::testing::bench::machine::BRIDGE_HOST;
use xtask::testing::engine::Version;

/// Removes the digest of a file of the store, so that a test may change the file.
pub fn forget_digest(file: &mut Value) {
    file.as_object_mut().expect("an object").remove("sha256");
}

/// A project in a temporary directory, with its own home and store.
pub struct Project {
    dir: tempfile::TempDir,
    env: Vec<(String, String)>,
    images: RefCell<BTreeSet<String>>,
}

/// Removes the images of the test from the engine.
impl Drop for Project {
    fn drop(&mut self) {
        let images = self.images.borrow();
        if !images.is_empty() {
            let _ = Command::new("docker").args(["image", "rm", "--force"]).args(images.iter()).output();
        }
    }
}

/// The output and exit code of a run of the binary.
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Project {
    /// Creates a project with these files.
    pub fn new(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::Builder::new().prefix("durango-test-").tempdir().expect("a temporary directory");
        let project = Self { dir, env: Vec::new(), images: RefCell::default() };
        fs::create_dir_all(project.path("home")).expect("a home");
        // The home has its own configuration, with the plugins of the client that runs the tests.
        let plugins = std::env::var("DOCKER_CONFIG").map(|dir| Path::new(&dir).join("cli-plugins"));
        if let Some(plugins) = plugins.ok().filter(|dir| dir.is_dir()) {
            fs::create_dir(project.path("home/.docker")).expect("a directory");
            std::os::unix::fs::symlink(plugins, project.path("home/.docker/cli-plugins")).expect("a link");
        }
        for (name, text) in files {
            project.write(name, text);
        }
        project
    }

    /// Adds a variable to the cleared environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Removes this image with the project. Images of [`Self::build`] are known already.
    pub fn owns(&self, image: &str) {
        self.images.borrow_mut().insert(image.to_owned());
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn store(&self) -> PathBuf {
        self.path("store")
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("made");
        fs::write(path, text).expect("written");
    }

    /// Returns the binary with these arguments, in the project's directory.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.args(args).current_dir(self.dir.path()).env_clear();
        command.env("PATH", std::env::var("PATH").unwrap_or_default());
        command.env("HOME", self.path("home")).env("DURANGO_CACHE_DIR", self.store());
        // An answer takes longer than the default timeout on a machine that runs other tests.
        command.env("DURANGO_REGISTRY_TIMEOUT", "60");
        for name in ["SSL_CERT_FILE", "DOCKER_HOST", BRIDGE_HOST] {
            if let Ok(value) = std::env::var(name) {
                command.env(name, value);
            }
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    pub fn run(&self, args: &[&str]) -> Run {
        Run::from(self.command(args).output().expect("the binary runs"))
    }

    /// Builds the project's own declaration. Returns the JSON report and the run.
    pub fn build(&self, args: &[&str]) -> (Value, Run) {
        let mut all = vec!["build", "--json", "--file", "compose.yaml"];
        all.extend(args);
        let run = self.run(&all);
        let json: Value =
            serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("one JSON document: {}", run.all()));
        let images =
            json["targets"].as_array().into_iter().flatten().filter_map(|target| target["image"].as_str());
        let own = images.filter(|image| image.starts_with("durango-test/")).map(str::to_owned);
        self.images.borrow_mut().extend(own);
        (json, run)
    }
}

/// A word that no other call gives, in this run or an earlier one on the same engine. A step that
/// holds it was never built before.
pub fn unique(name: &str) -> String {
    let now = jiff::Timestamp::now().as_nanosecond();
    format!("{name}-{}-{now:x}", std::process::id())
}

/// Makes a directory of a build so old that no running build can own it.
pub fn make_old(dir: &std::path::Path) {
    let time = std::time::SystemTime::now() - std::time::Duration::from_secs(2 * 3600);
    std::fs::File::open(dir).expect("there").set_modified(time).expect("set");
}

/// Waits until a server's log has this text, and returns the port of the address that follows it.
pub fn logged_port(log: &Path, before: &str) -> u16 {
    let begun = std::time::Instant::now();
    loop {
        let text = fs::read_to_string(log).unwrap_or_default();
        let port = text.split_once(before).and_then(|(_, rest)| rest.split_once(':'));
        // Only a complete line counts: a number may be written in two parts.
        if let Some((port, _)) = port.and_then(|(_, rest)| rest.split_once(['"', ','])) {
            return port.parse().expect("a port");
        }
        assert!(begun.elapsed().as_secs() < 60, "`{before}` is not in the log: {text}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// Records that this machine cannot run the test, with the reason: `return skip("needs root")`.
/// `cargo xtask test` counts and prints the skipped tests.
pub fn skip(reason: &str) {
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    let _ = writeln!(std::io::stderr(), "skipped {name}: {reason}");
    if let Some(file) = std::env::var_os("DURANGO_TEST_SKIPS") {
        let mut file = fs::File::options().append(true).open(file).expect("the list of skips");
        writeln!(file, "{name}: {reason}").expect("written");
    }
}

/// Runs the binary as a user without rights. Returns `None` if this user is not root and cannot
/// become another. Opens the project's directory and its home to that user.
pub fn run_as_nobody(project: &Project, args: &[&str]) -> Option<Run> {
    Some(Run::from(as_nobody(project, args)?.output().expect("setpriv runs")))
}

/// Returns the command of [`run_as_nobody`].
pub fn as_nobody(project: &Project, args: &[&str]) -> Option<Command> {
    use std::os::unix::fs::PermissionsExt;
    if !xtask::testing::host::Host::read().is_root {
        return None;
    }
    let binary = project.path("xtask");
    // By another process: a test that starts a program just now would share a descriptor that is
    // open for writing, and a program in such a file cannot run.
    let copied =
        Command::new("install").args(["-m", "755", env!("CARGO_BIN_EXE_xtask")]).arg(&binary).status();
    assert!(copied.expect("install runs").success());
    for dir in ["", "home"] {
        fs::set_permissions(project.path(dir), fs::Permissions::from_mode(0o777)).expect("opened");
    }
    let setpriv = xtask::testing::host::Host::read().which("setpriv").expect("util-linux has it");
    let mut command = Command::new(setpriv);
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&binary).args(args);
    command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("HOME", project.path("home"));
    command.envs(project.env.iter().map(|(name, value)| (name, value)));
    command.current_dir(project.path(""));
    Some(command)
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Run {
    /// Returns the error, then the output, which may be that of a whole build.
    pub fn all(&self) -> String {
        let error: Vec<&str> =
            self.stderr.lines().skip_while(|line| !line.starts_with("error")).take(20).collect();
        let (code, error) = (self.code, error.join("\n"));
        format!("exit code {code}\n{error}\n--- stdout\n{}\n--- stderr\n{}", self.stdout, self.stderr)
    }

    /// Asserts the exit code and that stderr has each of the words.
    #[track_caller]
    pub fn fails(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "{}", self.all());
        for word in words {
            assert!(self.stderr.contains(word), "`{word}` is not said: {}", self.all());
        }
    }

    #[track_caller]
    pub fn succeeds(&self) {
        assert_eq!(self.code, 0, "{}", self.all());
    }
}

/// Runs docker on the tests' engine. Returns what it prints, without the space around it.
#[track_caller]
pub fn docker(args: &[&str]) -> String {
    let run = Run::from(Command::new("docker").args(args).output().expect("docker runs"));
    run.succeeds();
    run.stdout.trim().to_owned()
}

/// A Compose file with one service `app`. `BASE_IMAGE` is the pinned one, so xtask provides the
/// base.
pub const COMPOSE: &str = r"
services:
  app:
    image: durango-test/app
    build:
      context: .
      args:
        BASE_IMAGE: debian:13-slim
";

/// Returns the version of buildx that the tests call.
pub fn buildx_version() -> Version {
    let output = Command::new("docker").args(["buildx", "version"]).output().expect("docker runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split(' ').nth(1).and_then(Version::parse).expect("a version")
}

/// Returns the base image of the first engine, by its name in the plan.
pub fn base_of(project: &Project) -> String {
    let plan = project.run(&["plan", "default", "--file", "compose.yaml"]);
    plan.succeeds();
    let (_, rest) = plan.stdout.split_once(".args.BASE_IMAGE=").expect("a base image");
    rest.split([' ', '\'']).next().expect("a name").to_owned()
}

/// Returns whether the step with this instruction was cached.
pub fn cached(report: &Value, instruction: &str) -> bool {
    let steps = report["steps"].as_array().expect("steps");
    let found =
        steps.iter().find(|step| step["instruction"].as_str().is_some_and(|text| text.contains(instruction)));
    found.unwrap_or_else(|| panic!("no step `{instruction}` in {report}"))["cached"]
        .as_bool()
        .expect("a flag")
}

/// Returns every file below a directory with its size. Skips the empty lock file that a build
/// leaves next to a result that it reads.
pub fn files(dir: &Path) -> Vec<(PathBuf, u64)> {
    let entries = walkdir::WalkDir::new(dir).into_iter().flatten();
    let entries = entries.filter(|entry| entry.file_type().is_file() && entry.file_name() != "held");
    entries.map(|entry| (entry.path().to_path_buf(), entry.metadata().map_or(0, |meta| meta.len()))).collect()
}
