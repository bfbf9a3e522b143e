//! The place that a fault happens to: a private engine, a small project and a store.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::lchown;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::disk::Disk;
use super::report::Report;
use super::running::{Ran, Running};
use super::server::Registry;
use crate::bench::copy::run;
use crate::bench::machine::SecondDaemon;
use crate::bench::random::Random;

/// The services that are edited; one more, [`KEPT`], never is.
pub(super) const EDITED: [&str; 8] = ["s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7"];
/// The service that is built once and must never be lost.
pub(super) const KEPT: &str = "kept";
/// Bytes of a source file; a cache mount gets a copy of each.
const SOURCE: usize = 100_000;
/// Bytes of a layer that no compression makes smaller.
const NOISE: usize = 1_000_000;

/// A user who is not root.
const NOBODY: u32 = 65534;

/// The RUN fails on a cache mount whose content is not what was put there.
const DOCKERFILE: &str = r#"ARG BASE_IMAGE
FROM ${BASE_IMAGE} AS build
COPY @SERVICE@.txt /src
RUN --mount=type=cache,id=@NAME@-@SERVICE@,target=/c set -eu; cd /c; \
    for file in *; do \
        [ ! -e "$file" ] || [ "$(sha256sum <"$file" | cut -c1-64)" = "$file" ] || { echo "damaged: $file"; exit 9; }; \
    done; \
    ls -t | tail -n +5 | xargs -r rm --; \
    key=$(sha256sum </src | cut -c1-64); \
    [ -e "$key" ] || { cp /src .new; mv .new "$key"; }; \
    mkdir /out; cp "$key" /out/object
FROM scratch
COPY @SERVICE@.noise /noise
COPY --from=build /out /
"#;

/// A project on an engine of its own.
pub(super) struct Site {
    /// A small disk below its directory, which is unmounted first.
    disk: Option<Disk>,
    /// The registry next to it, once it was asked for.
    registry: Option<Registry>,
    /// The program of the registry, if there is one.
    pub(super) registry_program: Option<PathBuf>,
    dir: tempfile::TempDir,
    pub(super) engine: SecondDaemon,
    name: String,
    edits: usize,
}

impl Site {
    /// Gives an engine the base image, and writes the project.
    pub(super) fn new(engine: SecondDaemon, base: &str, random: &mut Random) -> Result<Self> {
        engine.receive(base)?;
        let dir = tempfile::Builder::new().prefix("durango-chaos-").tempdir()?;
        let name = dir.path().file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let mut site =
            Self { disk: None, registry: None, registry_program: None, dir, engine, name, edits: 0 };
        let name = &site.name;
        let mut compose = format!("name: {name}\nservices:\n");
        for service in EDITED.into_iter().chain([KEPT]) {
            compose += &format!(
                "  {service}:\n    image: {name}/{service}\n    build:\n      context: .\n      \
                 dockerfile: {service}.Dockerfile\n      args: {{BASE_IMAGE: '{base}'}}\n"
            );
            let text = DOCKERFILE.replace("@SERVICE@", service).replace("@NAME@", name);
            fs::write(site.path(&format!("{service}.Dockerfile")), text)?;
            fs::write(site.path(&format!("{service}.noise")), random.bytes(NOISE))?;
        }
        fs::write(site.path("compose.yaml"), compose)?;
        fs::write(site.path(".dockerignore"), "*\n!*.txt\n!*.noise\n")?;
        fs::create_dir_all(site.path("home/.docker"))?;
        if let Some(plugins) = plugins() {
            std::os::unix::fs::symlink(plugins, site.path("home/.docker/cli-plugins"))?;
        }
        EDITED.into_iter().chain([KEPT]).try_for_each(|service| site.edit(service, random))?;
        Ok(site)
    }

    /// A file of its directory.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn store(&self) -> PathBuf {
        self.path("store")
    }

    /// Mounts the small disk unless it is there, and returns its directory.
    pub(super) fn mount_disk(&mut self) -> Result<PathBuf> {
        if self.disk.is_none() {
            self.disk = Some(Disk::mount(&self.path("disk"))?);
        }
        Ok(self.disk()?.dir().to_path_buf())
    }

    /// The small disk.
    pub(super) fn disk(&self) -> Result<&Disk> {
        self.disk.as_ref().context("no small disk is mounted")
    }

    /// Starts the registry unless it runs; returns false if there is no program for it.
    pub(super) fn start_registry(&mut self) -> Result<bool> {
        if let (None, Some(program)) = (&self.registry, &self.registry_program) {
            self.registry = Some(Registry::start(program)?);
        }
        Ok(self.registry.is_some())
    }

    pub(super) fn registry(&self) -> Result<&Registry> {
        self.registry.as_ref().context("no registry was started")
    }

    /// Gives a service a source that no build has seen.
    pub(super) fn edit(&mut self, service: &str, random: &mut Random) -> Result<()> {
        self.edits += 1;
        self.write_source(service, self.edits, random)
    }

    /// Writes a random source, as edit of that number.
    pub(super) fn write_source(&self, service: &str, number: usize, random: &mut Random) -> Result<()> {
        let mut text = format!("{service} {number}\n").into_bytes();
        text.extend(random.bytes(SOURCE));
        Ok(fs::write(self.path(&format!("{service}.txt")), text)?)
    }

    /// xtask with these arguments, this store and an environment of its own.
    pub(super) fn xtask(&self, store: &Path, args: &[&str]) -> Result<Command> {
        Ok(self.environment(Command::new(std::env::current_exe()?), store, args))
    }

    /// The same as a user who is not root, whom the site has to belong to.
    pub(super) fn xtask_as_nobody(&self, store: &Path, args: &[&str]) -> Result<Command> {
        let exe = self.path("home/xtask");
        fs::copy(std::env::current_exe()?, &exe)?;
        self.give_to(NOBODY)?;
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(exe);
        Ok(self.environment(command, store, args))
    }

    /// Gives its files and the engine's socket to a user.
    pub(super) fn give_to(&self, user: u32) -> Result<()> {
        for entry in walkdir::WalkDir::new(self.dir.path()) {
            lchown(entry?.path(), Some(user), Some(user))?;
        }
        let engine = ["", "docker.sock"].map(|name| self.engine.path(name));
        Ok(engine.iter().try_for_each(|path| lchown(path, Some(user), Some(user)))?)
    }

    fn environment(&self, mut command: Command, store: &Path, args: &[&str]) -> Command {
        command.args(args).current_dir(self.dir.path()).env_clear();
        let inherited = |name: &'static str| Some((name, std::env::var_os(name)?));
        command.envs(["PATH", "SSL_CERT_FILE"].into_iter().filter_map(inherited));
        command.envs(self.engine.environment());
        command.env("HOME", self.path("home")).env("DURANGO_CACHE_DIR", store);
        command
    }

    /// The command that builds services.
    pub(super) fn build_command(&self, store: &Path, services: &[&str], more: &[&str]) -> Result<Command> {
        let args = ["build", "--json", "--file", "compose.yaml"];
        self.xtask(store, &[&args, services, more].concat())
    }

    /// Builds services, and checks that each image is what its source says.
    pub(super) fn build(&self, store: &Path, services: &[&str], more: &[&str]) -> Result<Report> {
        let ran = Running::start(self.build_command(store, services, more)?)?.wait()?;
        let report = Report::of(&ran)?;
        services.iter().try_for_each(|service| self.check_image(service))?;
        Ok(report)
    }

    /// Runs a command of xtask that must succeed.
    pub(super) fn run(&self, store: &Path, args: &[&str]) -> Result<Ran> {
        let ran = Running::start(self.xtask(store, args)?)?.wait()?;
        ensure!(ran.code == Some(0), "`{}`: exit code {:?}\n{}", args.join(" "), ran.code, ran.tail());
        Ok(ran)
    }

    /// The JSON of a command, whatever its exit code.
    pub(super) fn json(&self, store: &Path, args: &[&str]) -> Result<Value> {
        let ran = Running::start(self.xtask(store, args)?)?.wait()?;
        serde_json::from_slice(&ran.stdout)
            .with_context(|| format!("no JSON of `{}`: {}", args.join(" "), ran.tail()))
    }

    /// Checks the image of a service against its source.
    pub(super) fn check_image(&self, service: &str) -> Result<()> {
        let image = format!("{}/{service}", self.name);
        let wanted = Sha256::digest(fs::read(self.path(&format!("{service}.txt")))?);
        let id = self.docker(&["create", &image, "/none"])?;
        let id = String::from_utf8_lossy(&id).trim().to_owned();
        let archive = self.docker(&["cp", &format!("{id}:/object"), "-"]);
        self.docker(&["rm", &id])?;
        let mut archive =
            tar::Archive::new(archive.as_deref().map_err(|error| anyhow::anyhow!("{error:#}"))?);
        let mut hash = Sha256::new();
        for entry in archive.entries()? {
            std::io::copy(&mut entry?, &mut hash)?;
        }
        ensure!(hash.finalize() == wanted, "the image `{service}` differs from its source");
        Ok(())
    }

    /// Empties the builder and removes the images, as on a new machine.
    pub(super) fn forget(&self) -> Result<()> {
        let images: Vec<String> =
            EDITED.into_iter().chain([KEPT]).map(|service| format!("{}/{service}", self.name)).collect();
        let images = images.iter().map(String::as_str);
        let _ =
            self.engine.docker(&["image", "rm", "--force"].into_iter().chain(images).collect::<Vec<_>>())?;
        self.docker(&["buildx", "prune", "--all", "--force"]).map(drop)
    }

    fn docker(&self, args: &[&str]) -> Result<Vec<u8>> {
        let output = self.engine.docker(args)?;
        if !output.status.success() {
            bail!("`docker {}` failed: {}", args.join(" "), String::from_utf8_lossy(&output.stderr));
        }
        Ok(output.stdout)
    }

    /// Makes a store be what another directory is.
    pub(super) fn replace(&self, store: &Path, with: Option<&Path>) -> Result<()> {
        remove(store)?;
        let Some(with) = with else { return Ok(()) };
        // Hard links and times stay.
        let args: [OsString; 3] = ["-a".into(), with.into(), store.into()];
        let mut copy = Command::new("cp");
        copy.args(args);
        run(copy).map(drop)
    }
}

/// The base image that xtask chooses on the machine's own engine; it is made if it is missing.
pub(super) fn base_image() -> Result<String> {
    let dir = tempfile::Builder::new().prefix("durango-chaos-").tempdir()?;
    let compose = "services:\n  app:\n    build: {context: ., args: {BASE_IMAGE: 'debian:13-slim'}}\n";
    fs::write(dir.path().join("compose.yaml"), compose)?;
    fs::write(dir.path().join("Dockerfile"), "ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nRUN true\n")?;
    let xtask = |args: &[&str]| -> Result<String> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(args).args(["app", "--file", "compose.yaml"]).current_dir(dir.path());
        Ok(String::from_utf8(run(command)?)?)
    };
    xtask(&["build", "--no-save", "--progress", "quiet"])?;
    let plan = xtask(&["plan"])?;
    let rest = plan.split_once(".args.BASE_IMAGE=").map(|(_, rest)| rest);
    let name = rest.and_then(|rest| rest.split([' ', '\'', '\n']).next());
    Ok(name.context("the plan names no base image")?.to_owned())
}

/// Removes a directory that may not be there.
pub(super) fn remove(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("failed to remove `{}`", dir.display()))
        }
        _ => Ok(()),
    }
}

/// The plugins of the client that this process runs with.
fn plugins() -> Option<PathBuf> {
    let own = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    let own = own.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".docker")))?;
    Some(own.join("cli-plugins")).filter(|dir| dir.is_dir())
}
