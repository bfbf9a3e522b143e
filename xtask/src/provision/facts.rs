//! What provisioning looks at. Where the engine answers, one question to it tells nearly all.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use xshell::cmd;

use super::{packages, probe};
use crate::defaults;
use crate::engine::facts::info;
use crate::engine::os::Distribution;
use crate::engine::{Version, apt, daemon_json};
use crate::host::Host;
use crate::process::query;
use crate::process::root::{User, user};
use crate::project::secrets;
use crate::session::Session;

/// For questions to the machine itself.
pub(super) const QUERY_TIMEOUT: Duration = Duration::from_secs(20);

/// The machine, as far as installing and starting an engine goes.
#[derive(Debug, Clone)]
pub(crate) struct ProvisionFacts {
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
    /// A client on the PATH that does not answer as Docker's does: Podman's has that name too.
    pub stranger: Option<PathBuf>,
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
    /// Whether the kernel enforces AppArmor while its tool, without which no container starts, is
    /// missing.
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
    /// Pid files of daemons that are dead; a number that was given out again would keep the next
    /// one from starting.
    pub stale: Vec<PathBuf>,
    /// The PATH, where it lacks `/usr/sbin`, in which the daemon finds iptables.
    pub path: Option<String>,
    /// Scratch space of ours.
    pub tmp: PathBuf,
}

/// The daemon's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Daemon {
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
pub(crate) enum Init {
    /// systemd is running.
    Systemd,
    /// A classic init is running and policy lets services start.
    Service,
    /// Nothing: a container, or policy forbids it.
    None,
}

impl ProvisionFacts {
    /// Looks at this machine.
    pub(crate) fn read(session: &Session) -> Self {
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
            stranger: host.which("docker").filter(|_| info.is_none()),
            buildx,
            compose: plugin("compose").is_some(),
            dockerd: has(&["dockerd"]),
            mmdebstrap: has(&["mmdebstrap"]),
            keyring: Path::new(defaults::KEYRING).exists(),
            certificates: secrets::read(host).ca_bundle.is_some(),
            lacks_apparmor: apparmor.starts_with('Y') && !has(&["apparmor_parser"]),
            daemon: probe::daemon(host, info.as_ref()),
            init: probe::init(session),
            user: user(host),
            has_images: probe::has_images(config.as_deref()),
            config,
            stale: probe::stale_pid_files(),
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
    let Ok(answer) = query::query(cmd!(sh, "dpkg-query -W -f {format} {names...}"), QUERY_TIMEOUT) else {
        return BTreeSet::new();
    };
    answer.stdout.lines().filter_map(|line| line.strip_suffix(" installed")).map(str::to_owned).collect()
}
