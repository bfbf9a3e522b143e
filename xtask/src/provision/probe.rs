//! Probes the daemon: whether and where it runs, its service manager, and the remains of a dead
//! one.

use std::fs;
use std::path::{Path, PathBuf};

use xshell::cmd;

use super::daemon;
use super::facts::{Daemon, Init};
use crate::engine::builders::context_name;
use crate::engine::daemon_json;
use crate::engine::info::Info;
use crate::host::Host;
use crate::process::query;
use crate::session::Session;

/// The paths of the daemon's socket.
const SOCKETS: [&str; 2] = ["/var/run/docker.sock", "/run/docker.sock"];

/// Returns the daemon's state.
pub(crate) fn daemon(host: &Host, info: Option<&Info>) -> Daemon {
    let place = chosen_place(host);
    let is_forbidden = info.is_some_and(|info| info.is_forbidden() && (place.is_some() || !is_left()));
    if is_forbidden || info.is_some_and(Info::is_up) {
        return Daemon::Runs;
    }
    if let Some(place) = place {
        return Daemon::Elsewhere(place);
    }
    match (pid_of("/var/run/docker.pid", "dockerd"), info) {
        (Some(_), None) if host.which("docker").is_none() => Daemon::Runs,
        (Some(pid), _) => Daemon::Hangs(pid),
        (None, _) => Daemon::Down,
    }
}

/// Returns whether a daemon that xtask started has left its socket. A user who may not use a socket
/// cannot see from it that nobody listens. The socket of another machine or container is in no list
/// of this one, but xtask has started no daemon for it.
fn is_left() -> bool {
    let listed = fs::read_to_string("/proc/net/unix");
    Path::new(daemon::LOG).exists() && listed.is_ok_and(|listed| !has_listener(&listed))
}

/// Parses lines of `ADDRESS: COUNT PROTOCOL FLAGS TYPE STATE INODE PATH`.
fn has_listener(listed: &str) -> bool {
    const LISTENS: u32 = 0x1_0000;
    listed.lines().any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, _, _, flags, _, _, _, path] = words[..] else { return false };
        let listens = u32::from_str_radix(flags, 16).is_ok_and(|flags| flags & LISTENS != 0);
        listens && SOCKETS.contains(&path)
    })
}

/// Returns the address or context that the user selected, if it is not this machine's usual daemon.
pub(crate) fn chosen_place(host: &Host) -> Option<String> {
    let is_usual =
        |address: &str| address.strip_prefix("unix://").is_some_and(|path| SOCKETS.contains(&path));
    if let Some(address) = host.var("DOCKER_HOST") {
        return (!is_usual(address)).then(|| format!("DOCKER_HOST={}", without_password(address)));
    }
    context_name(host).map(|context| format!("the docker context {context}"))
}

fn without_password(address: &str) -> String {
    match (address.split_once("://"), address.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://...@{rest}"),
        _ => address.to_owned(),
    }
}

/// Returns the service manager.
pub(crate) fn init(session: &Session) -> Init {
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

/// Debian's policy-rc.d: 101 forbids an action. Without it everything is allowed.
fn policy_allows(session: &Session) -> bool {
    let policy = "/usr/sbin/policy-rc.d";
    let sh = &session.sh;
    !Path::new(policy).exists()
        || query::query(cmd!(sh, "{policy} docker start"), super::facts::QUERY_TIMEOUT)
            .is_ok_and(|answer| answer.success)
}

/// Returns whether the classic store below the data root has content that a switch to containerd
/// would hide.
pub(crate) fn has_images(config: Option<&str>) -> bool {
    match fs::read_dir(data_root(config).join("image")) {
        Ok(drivers) => drivers.flatten().any(|driver| {
            let images = fs::read_dir(driver.path().join("imagedb/content/sha256"));
            images.is_ok_and(|mut found| found.next().is_some())
        }),
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    }
}

/// Returns the data root of a daemon with this configuration.
pub(crate) fn data_root(config: Option<&str>) -> PathBuf {
    let config = config.and_then(|text| daemon_json::parse(text).ok()).unwrap_or_default();
    config["data-root"].as_str().unwrap_or("/var/lib/docker").into()
}

/// Returns pid files of dead daemons.
pub(crate) fn stale_pid_files() -> Vec<PathBuf> {
    let files =
        [("/var/run/docker.pid", "dockerd"), ("/var/run/docker/containerd/containerd.pid", "containerd")];
    let is_stale = |(path, name): &(&str, &str)| Path::new(path).exists() && pid_of(path, name).is_none();
    files.iter().filter(|file| is_stale(file)).map(|(path, _)| PathBuf::from(path)).collect()
}

/// Returns the process of a pid file, if it runs and has the right name.
fn pid_of(file: &str, name: &str) -> Option<i32> {
    let pid: i32 = fs::read_to_string(file).ok()?.trim().parse().ok()?;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    is_alive(&stat, name).then_some(pid)
}

/// Parses `PID (NAME) STATE ...`. A zombie counts as dead.
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
    fn a_socket_that_was_left_has_no_listener() {
        let header = "Num       RefCount Protocol Flags    Type St Inode Path\n";
        let line = |flags: &str, path: &str| {
            format!("{header}0000000000000000: 00000002 00000000 {flags} 0001 01 81920{path}\n")
        };
        assert!(has_listener(&line("00010000", " /var/run/docker.sock")));
        assert!(has_listener(&line("00010000", " /run/docker.sock")));
        assert!(!has_listener(&line("00000000", " /var/run/docker.sock")), "a connection");
        assert!(!has_listener(&line("00010000", " /run/other.sock")));
        assert!(!has_listener(&line("00010000", "")) && !has_listener(header));
    }

    #[test]
    fn a_place_is_shown_without_its_password() {
        assert_eq!(without_password("ssh://me:secret@host"), "ssh://...@host");
        assert_eq!(without_password("tcp://host:2375"), "tcp://host:2375");
    }
}
