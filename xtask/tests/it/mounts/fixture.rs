//! A project with one cache mount.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;
use xtask::testing::engine::disk_usage::{self, Which};

use crate::common::second_daemon::SecondDaemon;
use crate::common::{COMPOSE, Project, unique};

/// How long a builder may hold a mount that nobody uses.
const PATIENCE: Duration = Duration::from_secs(60);

/// A project whose one RUN uses one mount, which no other test has.
pub(super) struct Mount {
    pub(super) project: Project,
    pub(super) id: String,
    /// A builder whose contents the test may remove.
    pub(super) own: Option<SecondDaemon>,
}

impl Mount {
    /// `run` is the script of the RUN. It takes some time, because a step that ends before the
    /// builder is asked doesn't need its mount. The mount is at /m, with these options. EDIT makes
    /// the step run again.
    pub(super) fn new(name: &str, options: &str, run: &str) -> Self {
        let salt = unique(name);
        let id = format!("durango-test-{}", salt.replace(|c: char| !c.is_ascii_alphanumeric(), ""));
        let dockerfile = format!(
            "ARG BASE_IMAGE=debian:13-slim\nFROM ${{BASE_IMAGE}}\nARG EDIT\nRUN --mount=type=cache,id={id},target=/m,{options} <<'SCRIPT'\nset -e # {id}\nsleep 2; cd /m\n{run}\nSCRIPT\n"
        );
        let compose = COMPOSE.replace("durango-test/app", &format!("durango-test/{name}"));
        Self {
            project: Project::new(&[("compose.yaml", &compose), ("Dockerfile", &dockerfile)]),
            id,
            own: None,
        }
    }

    /// Uses a separate engine: when a mount is removed from the daemon's builder, it forgets all
    /// results.
    pub(super) fn elsewhere(self) -> Self {
        self.on(SecondDaemon::start())
    }

    pub(super) fn on(self, second: SecondDaemon) -> Self {
        let (second, project) = second.with(self.project);
        Self { project, own: Some(second), ..self }
    }

    pub(super) fn docker(&self, args: &[&str]) -> Output {
        match &self.own {
            Some(second) => second.docker(args),
            None => Command::new("docker").args(args).output().expect("docker runs"),
        }
    }

    pub(super) fn build(&self, edit: &str) -> Value {
        let (report, run) = self.project.build(&["app", "--build-arg", &format!("EDIT={edit}")]);
        run.succeeds();
        self.wait_until_released();
        report
    }

    /// The builder releases a mount some time after the call that used it. A step that begins
    /// before that gets another, empty one.
    pub(super) fn wait_until_released(&self) {
        let begun = Instant::now();
        while !self.records(Which::InUse).is_empty() {
            assert!(begun.elapsed() < PATIENCE, "the builder does not release the mount");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Removes the mount from the builder, as a new builder or a prune would.
    pub(super) fn prune(&self) {
        assert!(self.own.is_some(), "other tests would lose their results");
        assert!(!self.records(Which::Mounts).is_empty(), "the builder has the mount");
        let begun = Instant::now();
        while !self.records(Which::Mounts).is_empty() && begun.elapsed() < PATIENCE {
            for id in self.records(Which::Mounts) {
                let pruned = self.docker(&["buildx", "prune", "--force", "--filter", &format!("id={id}")]);
                assert!(pruned.status.success());
            }
        }
        assert!(self.records(Which::Mounts).is_empty());
    }

    /// Returns the ids of the builder's records of the mount.
    pub(super) fn records(&self, which: Which) -> Vec<String> {
        let sh = xshell::Shell::new().expect("a directory");
        if let Some(second) = &self.own {
            sh.set_var("DOCKER_HOST", second.host());
        }
        let records = disk_usage::read(&sh, "default", which).expect("it says what it holds");
        let wanted = format!("/{}", self.id);
        records
            .into_iter()
            .filter(|record| record.mount_id() == Some(&wanted))
            .map(|record| record.id)
            .collect()
    }

    /// Returns the content of a file in the image.
    pub(super) fn image_file(&self, name: &str, file: &str) -> String {
        let output =
            self.docker(&["run", "--rm", "--network=none", &format!("durango-test/{name}"), "cat", file]);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}
