//! Runs the steps that install and start the engine. If the daemon doesn't start, reads its log and
//! says why.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, anyhow};

use super::steps;
use crate::engine::daemon_json;
use crate::host::Host;
use crate::process::query;
use crate::process::root::{User, user};
use crate::process::signals;
use crate::provision::facts::{Init, ProvisionFacts};
use crate::provision::{daemon, failure, packages, probe};
use crate::session::Session;
use crate::step::Step;

/// The files that daemons without systemd log to.
const LOGS: [&str; 2] = [daemon::LOG, "/var/log/docker.log"];
/// A failed start has fewer bytes, except with `debug` in its configuration.
const MAX_LOG: u64 = 256 * 1024;
/// The timeout for the journal.
const JOURNAL_TIMEOUT: Duration = Duration::from_secs(20);

/// Runs the steps, and checks what they have installed. An error of the daemon's start has the
/// reason and advice.
pub(crate) fn run(session: &Session, missing: &[Step]) -> Result<()> {
    let lengths = LOGS.map(|path| fs::metadata(path).map_or(0, |meta| meta.len()));
    if missing.is_empty() {
        return Ok(());
    }
    let Err(error) = steps::run(missing, session.globals.verbose) else {
        return packages::check_installed(&ProvisionFacts::read(session));
    };
    if signals::interrupted() {
        return Err(error);
    }
    let config = fs::read_to_string(daemon_json::PATH).ok();
    let root = probe::data_root(config.as_deref());
    let mut logs = LOGS.into_iter().zip(lengths).map(|(path, length)| (path, added(Path::new(path), length)));
    let explained = logs
        .find_map(|(path, log)| failure::explain(&log, &format!("`{path}`"), &root))
        .or_else(|| failure::explain(&journal(session)?, "`journalctl --unit docker`", &root));
    Err(explained.map_or(error, |text| anyhow!(text)))
}

/// Returns the text that a file got after this length. Daemons append to their log.
fn added(path: &Path, length: u64) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let end = file.seek(SeekFrom::End(0))?;
        // A log that was rotated meanwhile is shorter.
        let begin = if end < length { 0 } else { length };
        file.seek(SeekFrom::Start(begin.max(end.saturating_sub(MAX_LOG))))?;
        let mut bytes = Vec::new();
        file.take(MAX_LOG).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
}

/// Returns systemd's log of the daemon since this command began.
fn journal(session: &Session) -> Option<String> {
    if probe::init(session) != Init::Systemd {
        return None;
    }
    let argv = journal_command(&session.host);
    let line = argv.join(" ");
    let mut command = std::process::Command::new(&argv[0]);
    command.args(&argv[1..]);
    let answer = query::start_process(command, line).ok()?.answer(JOURNAL_TIMEOUT).ok()?;
    answer.success.then_some(answer.stdout)
}

/// sudo was just used for the start, so it doesn't ask for the password again.
fn journal_command(host: &Host) -> Vec<String> {
    let sudo: &[&str] = if user(host) == User::Sudo { &["sudo", "-n"] } else { &[] };
    let since = format!("--since=@{}", host.now.as_second());
    let rest = ["journalctl", "--unit=docker", "--output=cat", "--no-pager", "--lines=400", &since];
    sudo.iter().copied().chain(rest).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::root::Root;
    use crate::step::Action;

    #[test]
    fn only_the_log_of_this_start_is_read() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("log");
        assert_eq!(added(&path, 0), "");
        fs::write(&path, "no space left on device\n").expect("written");
        let before = fs::metadata(&path).expect("there").len();
        assert_eq!(added(&path, before), "");
        fs::write(&path, "no space left on device\naddress already in use\n").expect("written");
        assert_eq!(added(&path, before), "address already in use\n");
        fs::write(&path, "new\n").expect("rotated");
        assert_eq!(added(&path, before), "new\n");
        fs::write(&path, "x".repeat(MAX_LOG as usize) + "end").expect("written");
        let text = added(&path, 0);
        assert!(text.len() as u64 == MAX_LOG && text.ends_with("xend"));
    }

    /// A `sudo`, and a `docker` that answers as soon as its daemon is up.
    fn start_with_sudo(dir: &Path, dockerd: &str) -> Result<()> {
        let tool = |name: &str, script: &str| {
            let (path, content) = (dir.join(name), format!("#!/bin/sh\n{script}\n"));
            let action = Action::Write { path, content, mode: 0o755, secret: false };
            steps::run(&[Step { why: String::new(), action }], false).expect("written");
        };
        tool("sudo", "exec \"$@\"");
        tool("docker", "exec test -s $(dirname $0)/pid");
        tool("dockerd", dockerd);
        let path = format!("{}:{}", dir.display(), std::env::var("PATH").unwrap_or_default());
        let log = dir.join("log").display().to_string();
        let start = daemon::by_sudo(None, &Root::for_test(User::Sudo), &log).env("PATH", path);
        steps::run(&[Step::run("", start)], false)
    }

    #[test]
    fn a_daemon_of_sudo_that_ends_at_once_is_not_waited_for() {
        let dir = tempfile::tempdir().expect("a directory");
        let script = "echo an earlier line; echo failed to start daemon: no such place >&2; exit 1";
        let error = start_with_sudo(dir.path(), script).expect_err("it ended").to_string();
        assert!(
            error.contains("dockerd ended before it was ready\n  an earlier line\n  failed to start"),
            "{error}"
        );
    }

    #[test]
    fn a_daemon_of_sudo_goes_on_in_a_session_of_its_own() {
        let dir = tempfile::tempdir().expect("a directory");
        start_with_sudo(dir.path(), "sleep 0.3; echo $$ >$(dirname $0)/pid; exec sleep 60")
            .expect("it is up");
        let pid = fs::read_to_string(dir.path().join("pid")).expect("a number").trim().to_owned();
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs on");
        let session = stat.rsplit_once(") ").expect("a name").1.split(' ').nth(3).expect("a session");
        assert_eq!(session, pid);
        // A shell's background process ignores SIGINT, and so would all containers.
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs on");
        let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).expect("a mask");
        assert_eq!(u64::from_str_radix(ignored.trim(), 16).expect("a mask") & 2, 0, "SIGINT is ignored");
        assert!(std::process::Command::new("kill").arg(&pid).status().expect("kill runs").success());
    }
}
