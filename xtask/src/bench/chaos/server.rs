//! A registry of the harness's own, and a proxy in front of it that makes trouble.

use std::fs;
use std::io::Write;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use walkdir::WalkDir;

use super::disk::Disk;
use crate::bench::random::Random;
use crate::process::retry;
use crate::process::signals::{self, Supervised};

/// How long the registry may take to start.
const START: Duration = Duration::from_secs(30);
/// How often a connection that is held looks whether the trouble is over.
const PAUSE: Duration = Duration::from_millis(20);

/// The fault of an answer after a number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    None,
    /// The server sends nothing more, and keeps the connections open.
    Stall(u64),
    /// The connections end.
    Cut(u64),
    /// A bit in every few thousand bytes is another.
    Lie(u64),
}

/// A registry behind a proxy; both end with this value.
pub(super) struct Registry {
    _server: Supervised,
    /// The disk that the data is on, if this user may mount one.
    disk: Option<Disk>,
    dir: tempfile::TempDir,
    port: u16,
    passed: Arc<Mutex<Passed>>,
}

/// The trouble, and the bytes of answers that have passed since it was set.
struct Passed {
    trouble: Trouble,
    bytes: u64,
}

impl Registry {
    /// Starts Debian's `docker-registry` and the proxy on free ports of this machine.
    pub(super) fn start(program: &Path) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("durango-chaos-").tempdir()?;
        let data = dir.path().join("data");
        fs::create_dir(&data)?;
        let disk = if Disk::is_possible() { Some(Disk::mount(&data)?) } else { None };
        let config = format!(
            "version: 0.1\nlog: {{level: info}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\n\
             http: {{addr: '127.0.0.1:0'}}\n",
            data.display()
        );
        fs::write(dir.path().join("config.yml"), config)?;
        let log = fs::File::create(dir.path().join("log"))?;
        let mut command = Command::new(program);
        command.arg("serve").arg(dir.path().join("config.yml")).stdin(Stdio::null());
        command.stdout(log.try_clone()?).stderr(log);
        let server = Supervised::member(&mut command).context("failed to start `docker-registry`")?;
        let behind = logged_port(&dir.path().join("log"))?;
        let listener = TcpListener::bind("127.0.0.1:0").context("failed to listen")?;
        let port = listener.local_addr()?.port();
        let passed = Arc::new(Mutex::new(Passed { trouble: Trouble::None, bytes: 0 }));
        let shared = Arc::clone(&passed);
        std::thread::spawn(move || accept(&listener, behind, &shared));
        Ok(Self { _server: server, disk, dir, port, passed })
    }

    /// The value of `--cache`.
    pub(super) fn cache(&self) -> String {
        format!("registry=127.0.0.1:{}/team/cache", self.port)
    }

    /// Makes trouble from now on, or ends it.
    pub(super) fn make(&self, trouble: Trouble) {
        *lock(&self.passed) = Passed { trouble, bytes: 0 };
    }

    /// The disk that its data is on.
    pub(super) fn disk(&self) -> Option<&Disk> {
        self.disk.as_ref()
    }

    /// Removes a part of its blobs, whose manifests stay.
    pub(super) fn forget(&self, random: &mut Random) -> Result<()> {
        for entry in WalkDir::new(self.dir.path().join("data/docker/registry/v2/blobs")).sort_by_file_name() {
            let entry = entry?;
            if entry.file_name() == "data" && random.once_in(2) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

fn lock(passed: &Mutex<Passed>) -> MutexGuard<'_, Passed> {
    passed.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The port that a server names in its log.
fn logged_port(log: &Path) -> Result<u16> {
    let started = Instant::now();
    loop {
        let text = fs::read_to_string(log).unwrap_or_default();
        let rest = text
            .split_once("listening on ")
            .and_then(|(_, rest)| rest.split_once("]:").or(rest.split_once(':')));
        let digits: Option<String> =
            rest.map(|(_, rest)| rest.chars().take_while(char::is_ascii_digit).collect());
        // The line is whole if anything follows the digits.
        if let (Some(digits), true) = (&digits, text.ends_with('\n')) {
            return digits.parse().context("the registry names no port");
        }
        ensure!(started.elapsed() < START, "`docker-registry` does not start: {text}");
        signals::check()?;
        std::thread::sleep(PAUSE);
    }
}

/// Passes every connection on; ends with the process.
fn accept(listener: &TcpListener, behind: u16, passed: &Arc<Mutex<Passed>>) {
    for near in listener.incoming().flatten() {
        let Ok(far) = TcpStream::connect(("127.0.0.1", behind)) else { continue };
        let (Ok(from), Ok(to)) = (near.try_clone(), far.try_clone()) else { continue };
        std::thread::spawn(move || pass(from, to, |_| true));
        let passed = Arc::clone(passed);
        std::thread::spawn(move || pass(far, near, |bytes| trouble(&passed, bytes)));
    }
}

/// Passes bytes on for as long as `change` says so.
fn pass(mut from: TcpStream, mut to: TcpStream, change: impl Fn(&mut [u8]) -> bool) {
    let mut bytes = [0; 16384];
    loop {
        let count = retry::read(&mut from, &mut bytes).unwrap_or(0);
        if count == 0 || !change(&mut bytes[..count]) || to.write_all(&bytes[..count]).is_err() {
            let _ = to.shutdown(Shutdown::Both);
            let _ = from.shutdown(Shutdown::Both);
            return;
        }
    }
}

/// Makes the trouble with some bytes of an answer; whether the connection goes on.
fn trouble(passed: &Mutex<Passed>, bytes: &mut [u8]) -> bool {
    let (trouble, before) = {
        let mut passed = lock(passed);
        passed.bytes += bytes.len() as u64;
        (passed.trouble, passed.bytes)
    };
    match trouble {
        Trouble::Stall(at) if before >= at => {
            while lock(passed).trouble == trouble {
                std::thread::sleep(PAUSE);
            }
            // Later bytes belong to another connection.
            false
        }
        Trouble::Cut(at) => before < at,
        Trouble::Lie(at) if before >= at => {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 4;
            true
        }
        _ => true,
    }
}
