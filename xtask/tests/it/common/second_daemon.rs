//! A second machine for tests. A failure to start it fails the test.

use std::path::PathBuf;
use std::process::Output;

use xtask::testing::bench::machine;

use super::{Project, base_of};

/// A daemon for one test. It and its directories are removed on drop.
pub struct SecondDaemon(machine::SecondDaemon);

impl SecondDaemon {
    /// Starts one that keeps images in containerd, as `--provision` configures it, and waits for
    /// its answer.
    pub fn start() -> Self {
        Self::start_with(machine::CONTAINERD_STORE)
    }

    /// Starts one that reaches no network.
    pub fn start_offline() -> Self {
        Self(machine::SecondDaemon::start_offline(machine::CONTAINERD_STORE).expect("a second daemon"))
    }

    /// Starts one with this `daemon.json`.
    pub fn start_with(config: &str) -> Self {
        Self(machine::SecondDaemon::start(config).expect("a second daemon"))
    }

    /// Starts one that has the base image of a project. The returned project builds there from now
    /// on.
    pub fn of(project: Project) -> (Self, Project) {
        Self::start().with(project)
    }

    /// Makes the project build on this daemon, which gets its base image.
    pub fn with(self, project: Project) -> (Self, Project) {
        self.receive(&base_of(&project));
        let project = project.env("DOCKER_HOST", &self.host());
        (self, project)
    }

    /// Returns its address for DOCKER_HOST.
    pub fn host(&self) -> String {
        self.0.host()
    }

    /// Returns the path of a file in its directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path(name)
    }

    /// Runs the client against this daemon.
    pub fn docker(&self, args: &[&str]) -> Output {
        self.0.docker(args).expect("docker runs")
    }

    /// Loads an image of the first daemon.
    pub fn receive(&self, image: &str) {
        self.0.receive(image).expect("an image moves");
    }

    /// Stops it as a power failure would, and starts another one on the same data.
    pub fn crash_and_restart(&mut self) {
        self.0.crash_and_restart().expect("it comes back");
    }
}
