//! A second machine for tests: what fails in bringing it about fails the test.

use std::path::PathBuf;
use std::process::Output;

use xtask::testing::bench::machine;

use super::{Project, base_of};

/// A daemon of a test's own; ends with it, and its folders with it.
pub struct SecondDaemon(machine::SecondDaemon);

impl SecondDaemon {
    /// Starts one that keeps images in containerd, as `--provision` sets it up, and waits until it answers.
    pub fn start() -> Self {
        Self::start_with(machine::CONTAINERD_STORE)
    }

    /// Starts one with this `daemon.json`.
    pub fn start_with(config: &str) -> Self {
        Self(machine::SecondDaemon::start(config).expect("a second daemon"))
    }

    /// One that has the base image of a project, and the project, which builds there from now on.
    pub fn of(project: Project) -> (Self, Project) {
        Self::start().with(project)
    }

    /// The same with this one.
    pub fn with(self, project: Project) -> (Self, Project) {
        self.receive(&base_of(&project));
        let project = project.env("DOCKER_HOST", &self.host());
        (self, project)
    }

    /// Its address, for DOCKER_HOST.
    pub fn host(&self) -> String {
        self.0.host()
    }

    /// A file of its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path(name)
    }

    /// The client, speaking to this daemon.
    pub fn docker(&self, args: &[&str]) -> Output {
        self.0.docker(args).expect("docker runs")
    }

    /// Gives it an image of the first daemon.
    pub fn receive(&self, image: &str) {
        self.0.receive(image).expect("an image moves");
    }

    /// Ends it as a power cut would, and starts another on the same data.
    pub fn crash_and_restart(&mut self) {
        self.0.crash_and_restart().expect("it comes back");
    }
}
