//! The daemon: its configuration before the first start, and the start by the machine's service
//! manager.

use std::path::Path;

use anyhow::{Result, anyhow};

use super::facts::{Init, ProvisionFacts};
use crate::engine::daemon_json::{self, Settings};
use crate::process::root::Root;
use crate::step::{Action, Command, Step};

/// The log of a daemon that was started without a service manager.
pub(crate) const LOG: &str = "/var/log/durango-dockerd.log";
/// The configuration before provisioning.
const BACKUP: &str = "/etc/docker/daemon.json.before-durango-provision";
/// The timeout for the start. A daemon with many images takes time.
const SECONDS: u64 = 90;

/// Turns on the containerd image store, unless that would hide existing images. `setup` switches an
/// engine with images. The build cache gets no limit: an engine without one keeps everything, and
/// the installed one forgets every result whenever it removes one.
pub(crate) fn configure(facts: &ProvisionFacts, root: &Root) -> Result<Vec<Step>> {
    let text = facts.config.as_deref().unwrap_or_default();
    let unreadable = |error| {
        anyhow!(
            "failed to read `{}`: {error}\ncorrect it; the daemon cannot start with it either",
            daemon_json::PATH
        )
    };
    let config = daemon_json::parse(text).map_err(unreadable)?;
    let is_decided = daemon_json::feature(&config, daemon_json::CONTAINERD_STORE).is_some();
    if facts.has_images || is_decided {
        return Ok(Vec::new());
    }
    let settings = Settings { features: &[daemon_json::CONTAINERD_STORE], limit: false };
    let Some(new) = daemon_json::with(text, settings).map_err(unreadable)? else {
        return Ok(Vec::new());
    };
    let mut steps = Vec::new();
    if facts.config.is_some() {
        steps.push(Step::run("", root.command(["cp", "-p", daemon_json::PATH, BACKUP])));
    }
    let why = "turning on the containerd image store, so that caches can be exported to a directory";
    steps.extend(root.write(why, Path::new(daemon_json::PATH), &new));
    Ok(steps)
}

/// Starts the daemon and waits until it answers.
pub(crate) fn start(facts: &ProvisionFacts, root: &Root) -> Vec<Step> {
    let ready = root.command(["docker", "version"]);
    let wait =
        |why: &str| Step { why: why.into(), action: Action::Wait { ready: ready.clone(), seconds: SECONDS } };
    match facts.init {
        Init::Systemd => vec![
            Step::run("starting the daemon", root.command(["systemctl", "start", "docker"])),
            wait("waiting for the daemon"),
        ],
        Init::Service => vec![
            Step::run("starting the daemon", root.command(["service", "docker", "start"])),
            wait("waiting for the daemon"),
        ],
        Init::None => by_hand(facts, root, ready.clone()),
    }
}

/// Waits for a running daemon that doesn't answer yet. xtask doesn't stop it or start a second one.
pub(crate) fn await_process(pid: i32) -> Step {
    let why = format!("waiting for the running daemon (process {pid})");
    Step { why, action: Action::Wait { ready: Command::new(["docker", "version"]), seconds: SECONDS } }
}

fn by_hand(facts: &ProvisionFacts, root: &Root, ready: Command) -> Vec<Step> {
    let mut steps: Vec<Step> = facts.stale.iter().map(|path| remove(path, root)).collect();
    let path = facts.path.as_ref().map(|path| format!("{path}:/usr/sbin:/sbin"));
    let why = format!("starting the daemon without a service manager; its log is {LOG}");
    if root.is_sudo() {
        // Only root can open the log, and sudo must end before xtask.
        let path = path.map_or_else(String::new, |path| format!("PATH={} ", shell_words::quote(&path)));
        let line = format!("{path}exec setsid --fork dockerd >>{LOG} 2>&1 </dev/null");
        steps.push(Step::run(why, root.command(["sh", "-c", &line])));
        steps.push(Step {
            why: "waiting for the daemon".into(),
            action: Action::Wait { ready, seconds: SECONDS },
        });
        return steps;
    }
    let mut command = Command::new(["dockerd"]);
    if let Some(path) = path {
        command = command.env("PATH", path);
    }
    steps.push(Step { why, action: Action::Start { command, log: LOG.into(), ready, seconds: SECONDS } });
    steps
}

fn remove(path: &Path, root: &Root) -> Step {
    let why = format!("removing {}, because its daemon is dead", path.display());
    if root.is_sudo() {
        Step::run(why, root.command(["rm", "-f", &path.to_string_lossy()]))
    } else {
        Step::remove(why, path)
    }
}
