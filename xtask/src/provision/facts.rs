//! The facts for provisioning. If the engine answers, one query returns nearly all.

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

/// The timeout for queries of the machine itself.
pub(super) const QUERY_TIMEOUT: Duration = Duration::from_secs(20);

/// The facts about the machine for an installation and start of the engine.
#[derive(Debug, Clone)]
pub(crate) struct ProvisionFacts {
    pub distribution: Distribution,
    /// The package sources of apt.
    pub sources: Vec<apt::Source>,
    /// Packages that an earlier run installed from the additional suite.
    pub pinned: Vec<String>,
    /// The relevant packages that are installed.
    pub installed: BTreeSet<String>,
    /// Whether a docker client is on the PATH.
    pub client: bool,
    /// A client on the PATH that doesn't answer like Docker's: Podman's has the same name.
    pub stranger: Option<PathBuf>,
    /// The buildx of this client, and its path.
    pub buildx: Option<(Version, PathBuf)>,
    /// Whether this client has Compose.
    pub compose: bool,
    /// Whether a daemon is installed.
    pub dockerd: bool,
    /// Whether the base image can be bootstrapped.
    pub mmdebstrap: bool,
    /// Whether Debian's keys exist.
    pub keyring: bool,
    /// Whether there are CA certificates, which the daemon needs for registries.
    pub certificates: bool,
    /// Whether the kernel enforces AppArmor while its tool is missing, without which no container
    /// starts.
    pub lacks_apparmor: bool,
    /// The daemon's state.
    pub daemon: Daemon,
    /// The service manager.
    pub init: Init,
    /// The rights of this user.
    pub user: User,
    /// The daemon's configuration, if there is one.
    pub config: Option<String>,
    /// Whether the classic image store has images or containers, or cannot be read.
    pub has_images: bool,
    /// Pid files of dead daemons. If another process gets the same id, the next daemon doesn't
    /// start.
    pub stale: Vec<PathBuf>,
    /// The PATH, if it lacks `/usr/sbin`, in which the daemon finds iptables.
    pub path: Option<String>,
    /// A temporary directory.
    pub tmp: PathBuf,
}

/// The daemon's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Daemon {
    Runs,
    /// No answer from an address that the user selected; xtask doesn't start it.
    Elsewhere(String),
    /// A process with this id exists and doesn't answer.
    Hangs(i32),
    /// The daemon does not run here.
    Down,
}

/// The service manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Init {
    Systemd,
    /// A classic init is running, and policy allows services to start.
    Service,
    /// None: a container, or policy forbids it.
    None,
}

impl ProvisionFacts {
    /// Reads the facts.
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

/// Returns a program, even in directories of daemons that are not on a normal user's PATH.
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
