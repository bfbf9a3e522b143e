//! The usual way to move a cache mount in CI: a build copies it into an image, a container of that
//! image gives it to the host, and a build elsewhere copies it back.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::Result;

use super::copy::{Home, on, run};

/// One mount on its way.
pub(super) struct Moved<'a> {
    /// The mount's id.
    pub(super) id: &'a str,
    /// The base image of both builds.
    pub(super) base: &'a str,
    /// A scratch directory of the run.
    pub(super) dir: &'a Path,
}

impl Moved<'_> {
    /// The files of the mount on the host.
    fn files(&self) -> PathBuf {
        self.dir.join("moved")
    }

    /// Copies the mount to the host; seconds.
    pub(super) fn save(&self, home: &Home) -> Result<f64> {
        let image = format!("{}/moved", self.id);
        let dockerfile =
            format!("FROM {}\nRUN {} mkdir /moved && cp -a /cache/. /moved/\n", self.base, mount(self.id));
        let context = self.context("save", &dockerfile)?;
        fs::create_dir_all(self.files())?;
        let started = Instant::now();
        run(on(home, build(&context, &image)))?;
        let created = run(on(home, docker(&["create", &image])))?;
        let container = String::from_utf8_lossy(&created).trim().to_owned();
        let unpacked = run(on(home, self.unpack(&container)));
        let seconds = started.elapsed().as_secs_f64();
        run(on(home, docker(&["rm", &container])))?;
        run(on(home, docker(&["image", "rm", "--force", &image])))?;
        unpacked.map(|_| seconds)
    }

    /// Copies it into a mount of another machine; seconds.
    pub(super) fn restore(&self, home: &Home) -> Result<f64> {
        let image = format!("{}/moved", self.id);
        let bind = "--mount=type=bind,source=.,target=/moved";
        // Another mount, since xtask has restored the one of this id there.
        let cache = mount(&image);
        let dockerfile = format!("FROM {}\nRUN {cache} {bind} cp -a /moved/. /cache/\n", self.base);
        fs::write(self.dir.join("restore.Dockerfile"), dockerfile)?;
        let mut command = build(&self.files(), &image);
        command.arg("--file").arg(self.dir.join("restore.Dockerfile"));
        let started = Instant::now();
        run(on(home, command))?;
        Ok(started.elapsed().as_secs_f64())
    }

    fn context(&self, name: &str, dockerfile: &str) -> Result<PathBuf> {
        let dir = self.dir.join(name);
        fs::create_dir_all(&dir)?;
        fs::write(dir.join("Dockerfile"), dockerfile)?;
        Ok(dir)
    }

    fn unpack(&self, container: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", "docker cp \"$1:/moved\" - | tar -x --strip-components=1 -C \"$2\"", "sh"]);
        command.arg(container).arg(self.files());
        command
    }
}

fn mount(id: &str) -> String {
    format!("--mount=type=cache,id={id},target=/cache,sharing=shared")
}

fn docker(args: &[&str]) -> Command {
    let mut command = Command::new("docker");
    command.args(args);
    command
}

fn build(context: &Path, image: &str) -> Command {
    let mut command = docker(&["buildx", "build", "--quiet", "--load", "--tag", image]);
    command.env("BUILDX_NO_DEFAULT_ATTESTATIONS", "1").arg(context);
    command
}
