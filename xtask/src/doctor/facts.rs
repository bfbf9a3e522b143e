//! The facts for the doctor. The slow queries of the registry and the mirror run in parallel.

use std::fs;
use std::path::{Path, PathBuf};

use super::habits::Habits;
use crate::base_image;
use crate::base_image::{BaseImage, bootstrap, mirror};
use crate::engine::Engine;
use crate::engine::builders;
use crate::engine::disk_usage::{self, Which};
use crate::engine::facts as engine_facts;
use crate::engine::gc_limits::GcLimits;
use crate::engine::info::Info;
use crate::engine::problem::Problem;
use crate::files;
use crate::project::pins;
use crate::project::secrets::{self, Secrets};
use crate::provision::probe::chosen_place;
use crate::record::{read, steps};
use crate::session::Session;
use crate::setup;

/// The name of the disk that the engine's data is on.
pub(crate) const ENGINE_DISK: &str = "engine's disk";

/// The facts about this machine.
pub(crate) struct DoctorFacts {
    /// Whether the workspace has the FrankenPHP images. Otherwise checks about them are skipped.
    pub(crate) has_images: bool,
    /// The client on the PATH.
    pub client: Option<PathBuf>,
    /// The client's answer.
    pub(crate) info: Option<Info>,
    /// The engine, or the problem with it.
    pub engine: Result<Engine, Problem>,
    /// The builder's limits, if it answers.
    pub limits: Option<GcLimits>,
    /// Whether this machine's daemon.json has a limit of the user.
    pub has_limit: bool,
    /// The address or context that the user selected.
    pub place: Option<String>,
    /// Directories that fill up, each with its free bytes.
    pub disks: Vec<(&'static str, PathBuf, u64)>,
    /// The memory in bytes.
    pub memory: Option<u64>,
    /// The host's settings for builds.
    pub secrets: Secrets,
    /// A missing CA bundle that the environment names.
    pub lost_bundle: Option<String>,
    /// The pinned base image, or why the pins cannot be read.
    pub pins: Result<String, String>,
    /// The origin of the base image, if known.
    pub base: Option<BaseImage>,
    /// Why a base image cannot be made here, with advice on the next line.
    pub cannot_bootstrap: Option<String>,
    /// The Debian mirror and whether it answers; `None` if it was not asked.
    pub mirror: Option<(String, bool)>,
    pub buildkit: Option<String>,
    /// Whether `setup` has run for this user's shells.
    pub is_set_up: bool,
    /// The recorded builds.
    pub habits: Habits,
}

impl DoctorFacts {
    /// Reads the facts.
    pub(crate) fn read(session: &Session) -> Self {
        let host = &session.host;
        let engine = engine_facts::ask_engine(session);
        let info = engine_facts::info(session);
        let secrets = secrets::read(host);
        let pins = read_pins(session);
        let has_images = session.layout.has_images();
        let mirror_answer = has_images.then(|| std::thread::spawn(mirror::mirror_answers));
        let base = match (&engine, &pins) {
            (Ok(engine), Ok(pinned)) if has_images => base_image::state(session, engine, pinned).ok(),
            _ => None,
        };
        let named = host.var("DURANGO_CA_BUNDLE").or(host.var("SSL_CERT_FILE"));
        let builder = engine.as_ref().ok().and_then(|engine| builders::read(session, &engine.builder).ok());
        Self {
            has_images,
            limits: builder
                .flatten()
                .filter(|builder| builder.is_up)
                .map(|builder| GcLimits::of(&builder.policy)),
            has_limit: setup::daemon::has_limit(host),
            client: host.which("docker"),
            place: chosen_place(host),
            disks: disks(session, info.as_ref()),
            memory: memory(&fs::read_to_string("/proc/meminfo").unwrap_or_default()),
            lost_bundle: named.filter(|path| !Path::new(path).is_file()).map(str::to_owned),
            cannot_bootstrap: cannot_bootstrap(session),
            mirror: mirror_answer.and_then(|answer| answer.join().unwrap_or_default()),
            buildkit: host.var("DOCKER_BUILDKIT").map(str::to_owned),
            is_set_up: setup::shell::is_set_up(host),
            habits: habits(session, engine.as_ref().ok()),
            info,
            engine,
            secrets,
            pins,
            base,
        }
    }
}

/// Reads the recorded builds, and the builder's records if there are any.
fn habits(session: &Session, engine: Option<&Engine>) -> Habits {
    let builds = steps::all(&session.layout);
    let mut known: Vec<&[String]> = Vec::new();
    let mut graphs = Vec::new();
    for build in &builds {
        if !known.contains(&build.targets.as_slice()) {
            known.push(&build.targets);
            graphs.extend(steps::graph(&session.layout, &build.build));
        }
    }
    let reports =
        read::all(&session.layout).into_iter().rev().filter_map(|past| past.report().cloned()).collect();
    let records = engine
        .filter(|_| !graphs.is_empty())
        .and_then(|engine| disk_usage::read(&session.sh, &engine.builder, Which::All).ok());
    Habits { graphs, reports, records: records.unwrap_or_default(), builds }
}

fn cannot_bootstrap(session: &Session) -> Option<String> {
    let checked = bootstrap::check_tools(session).and_then(|()| bootstrap::check_keyring());
    checked.err().map(|error| error.to_string())
}

fn read_pins(session: &Session) -> Result<String, String> {
    let pins = pins::read(&session.layout.pins()).map_err(|error| format!("{error:#}"))?;
    pins.get("BASE_IMAGE").cloned().ok_or_else(|| "they have no BASE_IMAGE".to_owned())
}

fn disks(session: &Session, info: Option<&Info>) -> Vec<(&'static str, PathBuf, u64)> {
    let mut dirs = vec![("store", session.layout.store.clone())];
    let root = info.filter(|info| info.is_up()).map(|info| PathBuf::from(&info.docker_root_dir));
    // The engine of another machine may have a directory with this name, but on another disk.
    let is_here = chosen_place(&session.host).is_none();
    dirs.extend(root.filter(|root| is_here && root.exists()).map(|root| (ENGINE_DISK, root)));
    dirs.into_iter().filter_map(|(name, path)| Some((name, path.clone(), files::free(&path)?))).collect()
}

fn memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_as_the_kernel_writes_it() {
        assert_eq!(memory("MemTotal:       24684092 kB\nMemFree: 1 kB\n"), Some(24_684_092 * 1024));
        assert_eq!(memory(""), None);
    }
}
