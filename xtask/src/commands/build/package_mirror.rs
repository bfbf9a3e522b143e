//! Asks a package mirror from this machine whether its Release files are those of the last answer.
//! If they are, the builder need not resolve versions again. In case of doubt it is asked.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::base_image::mirror::release_time;
use crate::host::Host;
use crate::process::signals;
use crate::project::release_files::{Place, ReleaseFile};
use crate::smoke::http::{self, Bounds, Request};

/// The time for all answers. The query of the builder takes longer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// The maximum size of an answer. Debian's files have 150 KB.
const LARGEST: usize = 4 << 20;
/// The interval of checks for Ctrl-C.
const BLINK: Duration = Duration::from_millis(100);
/// Variables that name a proxy for requests without TLS.
const PROXIES: [&str; 4] = ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"];

/// The files that were asked for during this build. The files of several targets are asked for
/// once.
#[derive(Default)]
pub(super) struct PackageMirror {
    asked: BTreeMap<ReleaseFile, Result<(), String>>,
}

impl PackageMirror {
    /// Checks that the mirror has exactly these files.
    ///
    /// # Errors
    ///
    /// Says why that is not known.
    pub(super) fn check(&mut self, host: &Host, files: &[ReleaseFile]) -> Result<()> {
        if let Some(name) = PROXIES.iter().find(|name| host.var(name).is_some()) {
            bail!("`{name}` is set");
        }
        let new = files.iter().filter(|file| !self.asked.contains_key(*file));
        self.asked.extend(ask(new.cloned().collect(), host.now)?);
        for file in files {
            match self.asked.get(file) {
                Some(Ok(())) => {}
                Some(Err(why)) => bail!("{}: {why}", file.url),
                None => bail!("{}: no answer within {} s", file.url, ANSWER_TIMEOUT.as_secs()),
            }
        }
        Ok(())
    }
}

/// Asks for all files at once. The result lacks those that take too long.
fn ask(files: Vec<ReleaseFile>, now: Timestamp) -> Result<Vec<(ReleaseFile, Result<(), String>)>> {
    let deadline = Instant::now() + ANSWER_TIMEOUT;
    let (sender, answers) = mpsc::channel();
    for file in files {
        let sender = sender.clone();
        // Nothing bounds the resolution of a name, so nobody waits for the thread.
        std::thread::spawn(move || {
            let answer = check_file(&file, now, deadline).map_err(|error| format!("{error:#}"));
            let _ = sender.send((file, answer));
        });
    }
    drop(sender);
    let mut found = Vec::new();
    loop {
        signals::check()?;
        let left = deadline.saturating_duration_since(Instant::now());
        match answers.recv_timeout(left.min(BLINK)) {
            Ok(answer) => found.push(answer),
            Err(RecvTimeoutError::Timeout) if !left.is_zero() => {}
            Err(_) => return Ok(found),
        }
    }
}

/// Checks that the server has this file and that apt would accept it today.
fn check_file(file: &ReleaseFile, now: Timestamp, deadline: Instant) -> Result<()> {
    let place = file.place().context("not a Release file without TLS")?;
    let stream = connect(&place, deadline)?;
    // As apt does, so that no cache on the way answers for the mirror.
    let request = Request::get(place.path).header("Cache-Control", "max-age=0");
    let bounds = Bounds { deadline, bytes: LARGEST, by_length: true };
    let response = http::exchange(stream, place.authority, &request, &bounds)?;
    ensure!(response.head.status == 200, "the answer has the status {}", response.head.status);
    ensure!(format!("{:x}", Sha256::digest(&response.body)) == file.sha256, "it changed");
    ensure!(!is_expired(&response.text(), now), "it expired");
    Ok(())
}

fn is_expired(release: &str, now: Timestamp) -> bool {
    release_time(release, "Valid-Until:").is_some_and(|until| until.is_none_or(|until| until <= now))
}

fn connect(place: &Place<'_>, deadline: Instant) -> Result<TcpStream> {
    let found: Vec<SocketAddr> =
        (place.host, place.port).to_socket_addrs().context("failed to find the server")?.collect();
    let mut failure = None;
    for address in found.into_iter().filter(|address| is_elsewhere(address.ip())) {
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        match TcpStream::connect_timeout(&address, left) {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = Some(error),
        }
    }
    match failure {
        Some(error) => Err(error).context("failed to connect"),
        None => bail!("its address is one of this machine only"),
    }
}

/// Returns whether an address may mean the same server in a container. It never means this
/// machine's own services, or the metadata of a machine in a cloud.
fn is_elsewhere(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [first, ..] = v4.octets();
            first != 0 && !v4.is_loopback() && !v4.is_link_local() && !v4.is_multicast() && !v4.is_broadcast()
        }
        IpAddr::V6(v6) => {
            let is_local = v6.is_loopback() || v6.is_unspecified() || v6.is_unicast_link_local();
            !is_local && !v6.is_multicast()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_means_another_machine_in_a_container_is_not_asked() {
        let may = |text: &str| is_elsewhere(text.parse().unwrap());
        for address in ["151.101.2.132", "172.17.0.1", "10.0.0.8", "2a04:4e42::644", "fd00::1"] {
            assert!(may(address), "{address}");
        }
        for address in [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "0.0.0.1",
            "169.254.169.254",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
        ] {
            assert!(!may(address), "{address}");
        }
        let file = ReleaseFile { url: "http://127.0.0.1:1/InRelease".into(), sha256: "0a".repeat(32) };
        let why = check_file(&file, Timestamp::UNIX_EPOCH, Instant::now() + ANSWER_TIMEOUT).unwrap_err();
        assert_eq!(why.to_string(), "its address is one of this machine only");
    }

    #[test]
    fn a_file_expires_as_apt_has_it() {
        let at: Timestamp = "2026-11-27T12:00:00Z".parse().unwrap();
        let until = |text: &str| is_expired(&format!("Suite: stable\nValid-Until: {text}\nSHA256:\n"), at);
        assert!(until("Fri, 27 Nov 2026 12:00:00 UTC") && until("Thu, 26 Nov 2026 23:00:00 UTC"));
        assert!(until("tomorrow"), "a time that cannot be read");
        assert!(!until("Fri, 27 Nov 2026 12:00:01 UTC"));
        assert!(!is_expired("Suite: stable\n", at));
    }

    #[test]
    fn a_proxy_on_the_way_leaves_the_question_to_the_builder() {
        let file = ReleaseFile { url: "http://deb.test/InRelease".into(), sha256: "0a".repeat(32) };
        let mut host = Host::read();
        host.env = [("http_proxy".to_owned(), "http://proxy.test:3128".to_owned())].into();
        let mut mirror = PackageMirror { asked: [(file.clone(), Ok(()))].into() };
        assert_eq!(mirror.check(&host, slice(&file)).unwrap_err().to_string(), "`http_proxy` is set");
        host.env.clear();
        mirror.check(&host, slice(&file)).unwrap();
    }

    fn slice(file: &ReleaseFile) -> &[ReleaseFile] {
        std::slice::from_ref(file)
    }
}
