//! What provisioning looks at. Where the engine answers, one question to it tells nearly all.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use xshell::cmd;

use super::packages;
use crate::cli::Session;
use crate::engine::facts::{Info, client_config, info};
use crate::engine::os::Distribution;
use crate::engine::{Version, apt, ask, base, daemon_json};
use crate::host::Host;
use crate::project::secrets;

const LIMIT: Duration = Duration::from_secs(20);

/// The machine, as far as installing and starting an engine goes.
#[derive(Debug, Clone)]
pub struct Facts {
    /// What it runs.
    pub distribution: Distribution,
    /// Where apt takes packages from.
    pub sources: Vec<apt::Source>,
    /// Packages that an earlier run took from the extra suite.
    pub pinned: Vec<String>,
    /// Those of the packages that matter here that are installed.
    pub installed: BTreeSet<String>,
    /// Whether there is a docker client on the PATH.
    pub client: bool,
    /// The buildx that this client finds, and where.
    pub buildx: Option<(Version, PathBuf)>,
    /// Whether this client finds Compose.
    pub compose: bool,
    /// Whether there is a daemon to be started.
    pub dockerd: bool,
    /// Whether the base image can be bootstrapped.
    pub mmdebstrap: bool,
    /// Whether Debian's keys are there.
    pub keyring: bool,
    /// Whether there are CA certificates, which the daemon needs to reach a registry.
    pub certificates: bool,
    /// Whether the kernel enforces AppArmor while its tool, without which no container starts, is missing.
    pub lacks_apparmor: bool,
    /// The daemon's state.
    pub daemon: Daemon,
    /// What starts services.
    pub init: Init,
    /// Who we are.
    pub user: User,
    /// The daemon's configuration, if there is one.
    pub config: Option<String>,
    /// Whether the classic image store holds images or containers, or cannot be looked at.
    pub has_images: bool,
    /// Pid files of daemons that are dead; a number that was given out again would keep the next one from starting.
    pub stale: Vec<PathBuf>,
    /// The PATH, where it lacks `/usr/sbin`, in which the daemon finds iptables.
    pub path: Option<String>,
    /// Scratch space of ours.
    pub tmp: PathBuf,
}

/// The daemon's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Daemon {
    /// It runs.
    Runs,
    /// Nobody answers at an address that the user chose: not ours to start.
    Elsewhere(String),
    /// A process of this id is there and does not answer.
    Hangs(i32),
    /// It does not run here.
    Down,
}

/// What starts services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Init {
    /// systemd is running.
    Systemd,
    /// A classic init is running and policy lets services start.
    Service,
    /// Nothing: a container, or policy forbids it.
    None,
}

/// Who we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum User {
    /// root.
    Root,
    /// Somebody with `sudo` on the PATH.
    Sudo,
    /// Somebody without.
    Plain,
}

impl Facts {
    /// Looks at this machine.
    pub fn read(session: &Session) -> Self {
        let host = &session.host;
        let info = info(session);
        let has = |programs: &[&str]| programs.iter().any(|name| program(host, name).is_some());
        let plugin = |name| info.as_ref().and_then(|info| info.plugin(name));
        let buildx =
            plugin("buildx").and_then(|found| Some((Version::parse(&found.version)?, (&found.path).into())));
        let config = fs::read_to_string(daemon_json::PATH).ok();
        let preferences = fs::read_to_string(packages::PREFERENCES).unwrap_or_default();
        let apparmor = fs::read_to_string("/sys/module/apparmor/parameters/enabled").unwrap_or_default();
        Self {
            distribution: Distribution::read(),
            sources: apt::read(Path::new("/etc/apt")),
            pinned: packages::pinned(&preferences),
            installed: installed(session),
            client: host.which("docker").is_some(),
            buildx,
            compose: plugin("compose").is_some(),
            dockerd: has(&["dockerd"]),
            mmdebstrap: has(&["mmdebstrap"]),
            keyring: Path::new(base::KEYRING).exists(),
            certificates: secrets::read(host).ca_bundle.is_some(),
            lacks_apparmor: apparmor.starts_with('Y') && !has(&["apparmor_parser"]),
            daemon: daemon(host, info.as_ref()),
            init: init(session),
            user: user(host),
            has_images: has_images(config.as_deref()),
            config,
            stale: stale_pid_files(),
            path: host
                .var("PATH")
                .filter(|path| !path.split(':').any(|dir| dir == "/usr/sbin"))
                .map(str::to_owned),
            tmp: session.layout.tmp(),
        }
    }
}

/// A program, also where daemons are installed but a plain user's PATH does not lead.
fn program(host: &Host, name: &str) -> Option<PathBuf> {
    let sbin = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(|dir| Path::new(dir).join(name));
    host.which(name).or_else(|| sbin.into_iter().find(|path| path.is_file()))
}

fn installed(session: &Session) -> BTreeSet<String> {
    let (sh, names) = (&session.sh, packages::FOREIGN);
    let format = "${Package} ${db:Status-Status}\\n";
    let Ok(answer) = ask::ask(cmd!(sh, "dpkg-query -W -f {format} {names...}"), LIMIT) else {
        return BTreeSet::new();
    };
    answer.stdout.lines().filter_map(|line| line.strip_suffix(" installed")).map(str::to_owned).collect()
}

fn daemon(host: &Host, info: Option<&Info>) -> Daemon {
    if info.is_some_and(|info| info.is_up() || info.is_forbidden()) {
        return Daemon::Runs;
    }
    if let Some(place) = chosen_place(host) {
        return Daemon::Elsewhere(place);
    }
    match (pid_of("/var/run/docker.pid", "dockerd"), info) {
        (Some(_), None) => Daemon::Runs,
        (Some(pid), Some(_)) => Daemon::Hangs(pid),
        (None, _) => Daemon::Down,
    }
}

/// The address or context that the user chose, where it is not this machine's usual daemon.
pub fn chosen_place(host: &Host) -> Option<String> {
    const USUAL: [&str; 2] = ["unix:///var/run/docker.sock", "unix:///run/docker.sock"];
    if let Some(address) = host.var("DOCKER_HOST") {
        return (!USUAL.contains(&address)).then(|| format!("DOCKER_HOST={}", without_password(address)));
    }
    let config = client_config(host).join("config.json");
    let config: Option<serde_json::Value> =
        fs::read_to_string(config).ok().and_then(|text| serde_json::from_str(&text).ok());
    let current = config.as_ref().and_then(|config| config["currentContext"].as_str());
    let context = host.var("DOCKER_CONTEXT").or(current)?;
    (!context.is_empty() && context != "default").then(|| format!("the docker context {context}"))
}

fn without_password(address: &str) -> String {
    match (address.split_once("://"), address.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://...@{rest}"),
        _ => address.to_owned(),
    }
}

fn init(session: &Session) -> Init {
    if Path::new("/run/systemd/system").is_dir() {
        return Init::Systemd;
    }
    let first = fs::read_to_string("/proc/1/comm").unwrap_or_default();
    if matches!(first.trim(), "init" | "openrc-init") && policy_allows(session) {
        Init::Service
    } else {
        Init::None
    }
}

/// Debian's policy-rc.d: 101 forbids an action; where there is none, everything is allowed.
fn policy_allows(session: &Session) -> bool {
    let policy = "/usr/sbin/policy-rc.d";
    let sh = &session.sh;
    !Path::new(policy).exists()
        || ask::ask(cmd!(sh, "{policy} docker start"), LIMIT).is_ok_and(|answer| answer.success)
}

/// Who we are, by what we may do.
pub fn user(host: &Host) -> User {
    match (host.is_root, host.which("sudo")) {
        (true, _) => User::Root,
        (false, Some(_)) => User::Sudo,
        (false, None) => User::Plain,
    }
}

/// Whether the classic store below the data root holds anything that switching to containerd would hide.
fn has_images(config: Option<&str>) -> bool {
    let config = config.and_then(|text| daemon_json::parse(text).ok()).unwrap_or_default();
    let root = Path::new(config["data-root"].as_str().unwrap_or("/var/lib/docker"));
    match fs::read_dir(root.join("image")) {
        Ok(drivers) => drivers.flatten().any(|driver| {
            let images = fs::read_dir(driver.path().join("imagedb/content/sha256"));
            images.is_ok_and(|mut found| found.next().is_some())
        }),
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    }
}

fn stale_pid_files() -> Vec<PathBuf> {
    let files =
        [("/var/run/docker.pid", "dockerd"), ("/var/run/docker/containerd/containerd.pid", "containerd")];
    let is_stale = |(path, name): &(&str, &str)| Path::new(path).exists() && pid_of(path, name).is_none();
    files.iter().filter(|file| is_stale(file)).map(|(path, _)| PathBuf::from(path)).collect()
}

/// The process that a pid file names, where it lives and is what it should be.
fn pid_of(file: &str, name: &str) -> Option<i32> {
    let pid: i32 = fs::read_to_string(file).ok()?.trim().parse().ok()?;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    is_alive(&stat, name).then_some(pid)
}

/// Reads `PID (NAME) STATE ...`; a process that nobody waited for is as dead as any.
fn is_alive(stat: &str, name: &str) -> bool {
    let parts = stat.split_once('(').and_then(|(_, rest)| rest.rsplit_once(") "));
    parts.is_some_and(|(found, state)| found == name && !state.starts_with(['Z', 'X']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_given_out_again_is_no_daemon() {
        assert!(is_alive("7 (dockerd) S 1 7", "dockerd"));
        assert!(!is_alive("7 (dockerd) Z 1 7", "dockerd"));
        assert!(!is_alive("7 (a) (b) S 1 7", "dockerd"));
    }

    #[test]
    fn a_place_is_shown_without_its_password() {
        assert_eq!(without_password("ssh://me:secret@host"), "ssh://...@host");
        assert_eq!(without_password("tcp://host:2375"), "tcp://host:2375");
    }
}
