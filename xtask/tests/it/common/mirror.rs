//! A Debian mirror for the tests. It makes packages on the fly and serves them over HTTP, on the
//! address at which the engine's containers reach this machine.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use sha2::{Digest, Sha256};

/// The served files: bytes by path.
type Files = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;
/// The paths that were asked for, in order.
type Requests = Arc<Mutex<Vec<String>>>;

/// The mirror. Its server stops on drop.
pub struct Mirror {
    address: String,
    files: Files,
    requests: Requests,
    is_over: Arc<AtomicBool>,
}

/// A package of a mirror: its name, its version, and whether its file exists.
#[derive(Clone, Copy)]
pub struct Package<'a>(pub &'a str, pub &'a str, pub bool);

impl Mirror {
    /// Starts an empty mirror.
    pub fn start() -> Self {
        let gateway = Command::new("docker")
            .args(["network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}"])
            .output()
            .expect("docker runs");
        let gateway = String::from_utf8_lossy(&gateway.stdout).trim().to_owned();
        let listener = TcpListener::bind((gateway.as_str(), 0)).expect("the bridge's address");
        let mirror = Self {
            address: listener.local_addr().expect("an address").to_string(),
            files: Files::default(),
            requests: Arc::default(),
            is_over: Arc::default(),
        };
        let (files, requests, is_over) =
            (Arc::clone(&mirror.files), Arc::clone(&mirror.requests), Arc::clone(&mirror.is_over));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                let (files, requests) = (Arc::clone(&files), Arc::clone(&requests));
                std::thread::spawn(move || serve(stream, &files, &requests));
            }
        });
        mirror
    }

    /// Returns the line of `sources.list` for one of its suites.
    pub fn source(&self, suite: &str) -> String {
        format!("deb [trusted=yes] http://{}/{suite} ./", self.address)
    }

    /// Returns the number of requests that it has answered.
    pub fn requests(&self) -> usize {
        self.requests.lock().expect("no panic").len()
    }

    /// Returns the paths of the requests after the first ones, sorted.
    pub fn paths_since(&self, first: usize) -> Vec<String> {
        let mut paths = self.requests.lock().expect("no panic")[first..].to_vec();
        paths.sort();
        paths
    }

    /// Replaces the packages of a suite.
    pub fn publish(&self, suite: &str, packages: &[Package<'_>]) {
        let mut new = BTreeMap::new();
        let mut index = String::new();
        for Package(name, version, is_there) in packages {
            let deb = deb(name, version);
            let file = format!("{name}_{version}_all.deb");
            let _ = write!(
                index,
                "Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: nobody <a@b>\n\
                 Filename: ./{file}\nSize: {}\nSHA256: {:x}\nDescription: a test\n\n",
                deb.len(),
                Sha256::digest(&deb)
            );
            if *is_there {
                new.insert(format!("/{suite}/{file}"), deb);
            }
        }
        let release = format!(
            "Suite: {suite}\nCodename: {suite}\nDate: Thu, 26 Nov 2026 00:00:00 UTC\nSHA256:\n {:x} {} Packages\n",
            Sha256::digest(&index),
            index.len()
        );
        new.insert(format!("/{suite}/Packages"), index.into_bytes());
        new.insert(format!("/{suite}/Release"), release.into_bytes());
        let mut files = self.files.lock().expect("no panic");
        files.retain(|path, _| !path.starts_with(&format!("/{suite}/")));
        files.extend(new);
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(&self.address);
    }
}

/// Answers the requests of one connection.
fn serve(stream: TcpStream, files: &Files, requests: &Requests) {
    let Ok(mut answers) = stream.try_clone() else { return };
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    while let Some(first) = lines.next() {
        let headers: Vec<String> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
        let path = first.split(' ').nth(1).unwrap_or_default().replace("/./", "/").replace("%2b", "+");
        requests.lock().expect("no panic").push(path.clone());
        let body = files.lock().expect("no panic").get(&path).cloned();
        let (status, body) = body.map_or(("404 Not Found", Vec::new()), |body| ("200 OK", body));
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
        let is_sent = answers.write_all(&[head.as_bytes(), &body].concat()).is_ok();
        if !is_sent || headers.iter().any(|line| line.eq_ignore_ascii_case("Connection: close")) {
            return;
        }
    }
}

/// Returns a package with one file that contains its version.
fn deb(name: &str, version: &str) -> Vec<u8> {
    let dir = tempfile::tempdir().expect("a directory");
    let root = dir.path().join("root");
    fs::create_dir_all(root.join("DEBIAN")).expect("made");
    fs::create_dir_all(root.join("usr/share").join(name)).expect("made");
    let control = format!(
        "Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: nobody <a@b>\nDescription: a test\n"
    );
    fs::write(root.join("DEBIAN/control"), control).expect("written");
    fs::write(root.join("usr/share").join(name).join("version"), version).expect("written");
    let file = dir.path().join("one.deb");
    let built = Command::new("dpkg-deb")
        .args(["--root-owner-group", "--build"])
        .args([&root, &file])
        .env("SOURCE_DATE_EPOCH", "1700000000")
        .output()
        .expect("dpkg-deb runs");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    fs::read(file).expect("a package")
}
