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

/// Starts a daemon in a session of its own and waits for it, with its log as $0 and the timeout as
/// $1. A daemon that has ended has no program, even if nothing reads its exit code. `setsid` forks:
/// a shell makes its background processes, and so all containers, ignore Ctrl-C.
const START: &str = r#"pid=$(setsid --fork sh -c "echo \$\$; exec dockerd >>$0 2>&1 </dev/null"); end=$(($(date +%s) + $1)); until timeout 10 docker version >/dev/null 2>&1; do [ -e /proc/$pid/exe ] || { echo dockerd ended before it was ready; tail -n 15 $0; exit 1; }; [ $(date +%s) -lt $end ] || { echo dockerd is not ready after $1 s; exit 1; }; sleep 0.2; done"#;
/// Waits for a daemon, with the timeout as $0.
const AWAIT: &str = r"end=$(($(date +%s) + $0)); until timeout 10 docker version >/dev/null 2>&1; do [ $(date +%s) -lt $end ] || { echo the daemon is not ready after $0 s; exit 1; }; sleep 0.2; done";

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
    let start = match facts.init {
        Init::Systemd => ["systemctl", "start", "docker"],
        Init::Service => ["service", "docker", "start"],
        Init::None => return by_hand(facts, root),
    };
    vec![Step::run("starting the daemon", root.command(start)), await_service(root)]
}

/// One command with sudo, which may ask for the password each time it is used.
fn await_service(root: &Root) -> Step {
    let why = "waiting for the daemon";
    if root.is_sudo() {
        return Step::run(why, root.command(["sh", "-c", AWAIT, &SECONDS.to_string()]));
    }
    Step { why: why.into(), action: Action::Wait { ready: ready(), seconds: SECONDS } }
}

fn ready() -> Command {
    Command::new(["docker", "version"])
}

/// Waits for a running daemon that doesn't answer yet. xtask doesn't stop it or start a second one.
pub(crate) fn await_process(pid: i32) -> Step {
    let why = format!("waiting for the running daemon (process {pid})");
    Step { why, action: Action::Wait { ready: ready(), seconds: SECONDS } }
}

fn by_hand(facts: &ProvisionFacts, root: &Root) -> Vec<Step> {
    let mut steps: Vec<Step> = facts.stale.iter().map(|path| remove(path, root)).collect();
    let path = facts.path.as_ref().map(|path| format!("{path}:/usr/sbin:/sbin"));
    let why = format!("starting the daemon without a service manager; its log is {LOG}");
    if root.is_sudo() {
        steps.push(Step::run(why, by_sudo(path.as_deref(), root, LOG)));
        return steps;
    }
    let mut command = Command::new(["dockerd"]);
    if let Some(path) = path {
        command = command.env("PATH", path);
    }
    let start = Action::Start { command, log: LOG.into(), ready: ready(), seconds: SECONDS };
    steps.push(Step { why, action: start });
    steps
}

/// Returns a command that starts a daemon as root with this log, and waits for it. Only root can
/// open the log, and sudo must end before xtask.
pub(crate) fn by_sudo(path: Option<&str>, root: &Root, log: &str) -> Command {
    let seconds = SECONDS.to_string();
    let start = ["sh", "-c", START, log, &seconds];
    match path {
        Some(path) => root.command_with(("PATH", path), start),
        None => root.command(start),
    }
}

fn remove(path: &Path, root: &Root) -> Step {
    let why = format!("removing {}, because its daemon is dead", path.display());
    if root.is_sudo() {
        Step::run(why, root.command(["rm", "-f", &path.to_string_lossy()]))
    } else {
        Step::remove(why, path)
    }
}
