//! The reasons of a daemon that doesn't start, from its log. The daemon names the reason in its
//! last words, between hundreds of lines about other things, and never says what to do.

use std::path::Path;

/// The number of lines that an error shows of a log.
const SHOWN: usize = 8;
/// The longest part of a log's line that an error shows.
const WIDTH: usize = 400;

/// The reason why a daemon doesn't start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    NoSpace,
    RunsAlready,
    AddressInUse,
    Configuration,
    NoIptables,
    NoNetworkRights,
    NoContainerd,
    SlowContainerd,
    BuildCache,
    DamagedBuildCache,
    DamagedContainerd,
    DamagedNetworks,
    DamagedVolumes,
    NotRoot,
    ReadOnly,
    NoFileRights,
}

impl Reason {
    /// Finds the reason in the log of one start.
    fn of(log: &str) -> Option<Self> {
        let fatal: Vec<&str> = log.lines().filter(|line| is_fatal(line)).collect();
        let said = |words: &str| fatal.iter().any(|line| line.contains(words));
        let is_damaged = |line: &&str| DAMAGE.iter().any(|words| line.contains(words));
        // The daemon replaces some damaged databases, and starts.
        let damaged: Vec<&str> =
            fatal.iter().copied().filter(is_damaged).filter(|line| !line.contains("resetting")).collect();
        let in_damaged = |words: &str| damaged.iter().any(|line| line.contains(words));
        let firewall = said("iptables") || said("ip6tables") || said("nftables") || said("nft ");
        let found = [
            // The daemon then ends for a reason that follows from it.
            (
                has_warned(log, "no space left on device") || has_warned(log, "disk quota exceeded"),
                Self::NoSpace,
            ),
            (said("is still running") || said("ensure docker is not running"), Self::RunsAlready),
            (said("address already in use"), Self::AddressInUse),
            (said("unable to configure the Docker daemon"), Self::Configuration),
            // Docker 26 adds that it failed to dial containerd.
            (said("unknown service containerd."), Self::DamagedContainerd),
            (in_damaged("volume store"), Self::DamagedVolumes),
            (in_damaged("network controller"), Self::DamagedNetworks),
            // Docker 26 does not name the database of the history of builds.
            (!damaged.is_empty(), Self::DamagedBuildCache),
            (firewall && (said("not found") || said("no such file or directory")), Self::NoIptables),
            (firewall, Self::NoNetworkRights),
            (said("\"containerd\": executable file not found"), Self::NoContainerd),
            (said("timeout waiting for containerd") || said("failed to dial"), Self::SlowContainerd),
            (said("started with root privileges"), Self::NotRoot),
            (said("read-only file system"), Self::ReadOnly),
            (said("permission denied") || said("operation not permitted"), Self::NoFileRights),
            (fatal.iter().any(|line| is_slow_build_cache(line)), Self::BuildCache),
        ];
        found.into_iter().find_map(|(is_it, reason)| is_it.then_some(reason))
    }

    /// Describes the reason.
    fn what(self) -> &'static str {
        match self {
            Self::NoSpace => "its disk is full",
            Self::RunsAlready => "another daemon runs, or the file with its process id is stale",
            Self::AddressInUse => "another program listens on its address",
            Self::Configuration => "its configuration is not valid",
            Self::NoIptables => "its firewall tool is missing",
            Self::NoNetworkRights => "it may not change the firewall of this machine",
            Self::NoContainerd => "`containerd` is missing",
            Self::SlowContainerd => "containerd does not answer",
            Self::BuildCache => "it did not load its build cache within 10 s",
            Self::DamagedBuildCache => "a database of its build cache is damaged",
            Self::DamagedContainerd => "containerd did not load its databases",
            Self::DamagedNetworks => "its database of networks is damaged",
            Self::DamagedVolumes => "its database of volumes is damaged",
            Self::NotRoot => "it does not run as root",
            Self::ReadOnly => "its directory is on a read-only file system",
            Self::NoFileRights => "it may not use its files",
        }
    }

    /// Says what to do, for a daemon with this data root.
    fn remedy(self, root: &Path) -> String {
        let root = root.display();
        match self {
            Self::NoSpace => format!(
                "free some space in `{root}` (`df -h {root}`); containers' logs and unused files there may be \
                 removed, or set another `data-root` in /etc/docker/daemon.json"
            ),
            Self::RunsAlready => {
                "check it with `docker info`; if no daemon runs, remove the file that the message names".into()
            }
            Self::AddressInUse => {
                "stop the program (`ss -lntxp` lists it), or correct `hosts` in /etc/docker/daemon.json".into()
            }
            Self::Configuration => {
                "correct the file that the message names; `dockerd --validate` checks it".into()
            }
            Self::NoIptables => {
                "install iptables (Debian, Ubuntu: `apt-get install iptables`), and check that /usr/sbin is on \
                 root's PATH"
                    .into()
            }
            Self::NoNetworkRights => {
                "in a container, grant NET_ADMIN (`--privileged`) or use the host's daemon with DOCKER_HOST; \
                 elsewhere, check that the kernel has the modules of iptables (`iptables -t nat -L`)"
                    .into()
            }
            Self::NoContainerd => "install it (Debian, Ubuntu: `apt-get install containerd`)".into(),
            Self::SlowContainerd => format!(
                "wait for a busy machine and run the same command again; if that fails again, start `containerd` \
                 by hand to see its reason. Its files are in `{root}/containerd`"
            ),
            // A constant of dockerd, which before 27.4 reads the records slowly.
            Self::BuildCache => format!(
                "the build cache is in `{root}/buildkit`. Docker has no option for a longer time; from 27.4 on it \
                 loads the records faster\n{}: images stay, and the store restores the results that it has",
                moved(&format!("{root}/buildkit"))
            ),
            Self::DamagedBuildCache => format!(
                "{}: images stay, and the store restores the results that it has",
                moved(&format!("{root}/buildkit"))
            ),
            Self::DamagedContainerd => format!(
                "look for `failed to load plugin` in its log. Without another cause there, such as a full disk, \
                 move its files and those of the build cache away (`mv {root}/containerd {root}/containerd.old; mv \
                 {root}/buildkit {root}/buildkit.old`; a containerd with a service of its own has them in \
                 /var/lib/containerd) and run the same command again: images must be pulled or built again, and the \
                 store restores the results that it has"
            ),
            Self::DamagedNetworks => format!(
                "{}: Docker makes its own networks anew, and Compose makes those of its projects",
                moved(&format!("{root}/network/files/local-kv.db"))
            ),
            Self::DamagedVolumes => format!(
                "{}: the content of volumes stays, and only their labels and options are lost",
                moved(&format!("{root}/volumes/metadata.db"))
            ),
            Self::NotRoot => "run the same command as root, or with `sudo` on the PATH".into(),
            Self::ReadOnly => {
                "set a `data-root` that can be written in /etc/docker/daemon.json".into()
            }
            Self::NoFileRights => format!(
                "check the owner and the mount options of the directory that the message names, such as `{root}`; \
                 in a container, the daemon needs `--privileged`"
            ),
        }
    }
}

/// Explains a failed start from its log, which is at `place`. Without a known reason, returns the
/// log's last lines.
pub(crate) fn explain(log: &str, place: &str, root: &Path) -> Option<String> {
    let known = Reason::of(log);
    let fatal: Vec<&str> = log.lines().filter(|line| is_fatal(line)).collect();
    let all: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
    let lines = if known.is_some() && !fatal.is_empty() { fatal } else { all };
    let last = &lines[lines.len().saturating_sub(SHOWN)..];
    if last.is_empty() {
        return None;
    }
    let quoted: String = last.iter().map(|line| format!("\n  {}", shortened(line))).collect();
    let (what, remedy) = match known {
        Some(reason) => (format!(": {}", reason.what()), reason.remedy(root)),
        None => (String::new(), "run `dockerd --debug` as root for more".into()),
    };
    Some(format!("failed to start the Docker daemon{what}{quoted}\n{remedy}\nits log is {place}"))
}

/// Returns whether the daemon ended with this line. Those lines have no time, or a high level. The
/// lines of a service manager in a journal have no time either, and name no reason.
fn is_fatal(line: &str) -> bool {
    let is_log = line.starts_with("time=");
    let is_high = line.contains("level=fatal") || line.contains("level=error");
    !line.trim().is_empty() && (!is_log || is_high) && !is_of_service_manager(line)
}

fn is_of_service_manager(line: &str) -> bool {
    let starts = [
        "docker.service:",
        "Starting docker.service",
        "Failed to start docker.service",
        "Stopped docker.service",
    ];
    starts.iter().any(|start| line.starts_with(start))
}

/// The words of the daemon's database library about a file that it cannot open.
const DAMAGE: [&str; 5] =
    ["invalid database", "file size too small", "checksum error", "version mismatch", ".db: is a directory"];

/// Returns whether the builder gave up its start, which may take 10 s.
fn is_slow_build_cache(line: &str) -> bool {
    let is_builder =
        line == SLOW || line.contains("buildkit") || line == format!("failed to start daemon: {SLOW}");
    is_builder && line.ends_with(SLOW)
}

const SLOW: &str = "context deadline exceeded";

/// Says how to move a file or directory away. xtask doesn't do it.
fn moved(path: &str) -> String {
    format!("move it away (`mv {path} {path}.old`) and run the same command again")
}

/// Returns whether a line above the level of information has the words.
fn has_warned(log: &str, words: &str) -> bool {
    log.lines()
        .any(|line| line.contains(words) && !line.contains("level=info") && !line.contains("level=debug"))
}

fn shortened(line: &str) -> &str {
    line.char_indices().nth(WIDTH).map_or(line, |(end, _)| &line[..end]).trim()
}

#[cfg(test)]
#[path = "failure_tests.rs"]
mod tests;
