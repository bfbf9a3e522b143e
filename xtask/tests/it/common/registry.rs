//! A registry for a test: Debian's `docker-registry` on a free port of this machine, over plain
//! HTTP. This module also has servers that are not registries.

use std::fs;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use xtask::testing::process::retry;

/// A registry. It and its data are removed on drop.
pub struct Registry {
    dir: tempfile::TempDir,
    address: IpAddr,
    port: u16,
    child: Child,
    is_mounted: bool,
}

/// The name of the repository.
pub const REPOSITORY: &str = "team/cache";
/// The name and password for [`Registry::guarded`].
pub const USER: (&str, &str) = ("team", "right");
/// The line of an htpasswd file for [`USER`].
const HTPASSWD: &str = "team:$2b$04$97HA6FZaLlbtM9eWm.XY..zn6QkR8qjgCaWFbX248wV5oWZAXxmk6";

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// The options of a registry with TLS.
const TLS: &str = "  tls: {certificate: DIR/server.crt, key: DIR/server.key}\n";

impl Registry {
    /// Starts one without authentication.
    pub fn start() -> Self {
        Self::launch(LOOPBACK, "", None)
    }

    /// Starts one that requires [`USER`].
    pub fn guarded() -> Self {
        Self::launch(LOOPBACK, "auth: {htpasswd: {realm: test, path: DIR/htpasswd}}\n", None)
    }

    /// Starts one whose disk has this size in KiB.
    pub fn small(kib: u32) -> Self {
        Self::launch(LOOPBACK, "", Some(kib))
    }

    /// Starts one at another address of this machine, over plain HTTP.
    pub fn at(address: IpAddr) -> Self {
        Self::launch(address, "", None)
    }

    /// Starts one at another address of this machine, with the certificate of a CA of its own. The
    /// CA is in [`Self::ca`].
    pub fn with_tls(address: IpAddr) -> Self {
        Self::launch(address, TLS, None)
    }

    /// Returns the file of the CA.
    pub fn ca(&self) -> PathBuf {
        self.dir.path().join("server.crt")
    }

    fn launch(address: IpAddr, more: &str, kib: Option<u32>) -> Self {
        let dir =
            tempfile::Builder::new().prefix("registry-").tempdir_in("/tmp").expect("a temporary directory");
        let data = dir.path().join("data");
        fs::create_dir(&data).expect("made");
        if let Some(kib) = kib {
            let size = format!("size={kib}k");
            let mut mount = Command::new("mount");
            mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&data);
            assert!(mount.status().expect("mount runs").success(), "a small disk needs root");
        }
        let root = dir.path().display().to_string();
        let config = format!(
            "version: 0.1\nlog: {{level: info}}\nstorage:\n  filesystem: {{rootdirectory: {root}/data}}\nhttp:\n  addr: '{address}:0'\n{}",
            more.replace("DIR", &root)
        );
        if more == TLS {
            make_certificate(dir.path(), address);
        }
        fs::write(dir.path().join("htpasswd"), HTPASSWD).expect("written");
        fs::write(dir.path().join("config.yml"), config).expect("written");
        let child = serve(dir.path());
        let port = super::logged_port(&dir.path().join("log"), "listening on ");
        Self { dir, address, port, child, is_mounted: kib.is_some() }
    }

    /// Returns the value of `--cache` for its repository.
    pub fn cache(&self) -> String {
        format!("registry={}", self.repository())
    }

    pub fn repository(&self) -> String {
        format!("{}:{}/{REPOSITORY}", self.address, self.port)
    }

    /// Returns the directory of its blobs and repositories.
    pub fn files(&self) -> PathBuf {
        self.dir.path().join("data/docker/registry/v2")
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the tags of the repository, sorted.
    pub fn tags(&self) -> Vec<String> {
        let dir = self.files().join("repositories").join(REPOSITORY).join("_manifests/tags");
        let tags = fs::read_dir(dir).into_iter().flatten().flatten();
        let mut tags: Vec<String> =
            tags.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        tags.sort();
        tags
    }

    /// Returns the file with the digest of a tag.
    pub fn link(&self, tag: &str) -> PathBuf {
        self.files()
            .join("repositories")
            .join(REPOSITORY)
            .join("_manifests/tags")
            .join(tag)
            .join("current/link")
    }

    pub fn digest(&self, tag: &str) -> String {
        fs::read_to_string(self.link(tag)).expect("a tag")
    }

    /// Returns the number of layers that the cache under a tag lists.
    pub fn layers(&self, tag: &str) -> usize {
        let root = self.files();
        let digest = self.digest(tag);
        let digest = digest.trim_start_matches("sha256:");
        let manifest = root.join("blobs/sha256").join(&digest[..2]).join(digest).join("data");
        let manifest: Value = serde_json::from_slice(&fs::read(manifest).expect("a manifest")).expect("JSON");
        let all = ["layers", "manifests"].into_iter().filter_map(|list| manifest[list].as_array()).flatten();
        let is_layer =
            |part: &&Value| !part["mediaType"].as_str().unwrap_or_default().contains("cacheconfig");
        all.filter(is_layer).count()
    }

    /// Returns all of its files with their sizes.
    pub fn blobs(&self) -> Vec<(PathBuf, u64)> {
        let mut files = super::files(&self.files().join("blobs"));
        files.sort();
        files
    }

    /// Returns the number of requests with this method, such as `PUT`, that it has answered.
    pub fn requests(&self, method: &str) -> usize {
        let log = fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        log.lines().filter(|line| line.contains(&format!("] \"{method} "))).count()
    }

    /// Stops the registry. Nothing listens at its address afterwards.
    pub fn stop(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("waited for");
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if self.is_mounted {
            let _ = Command::new("umount").arg("-l").arg(self.dir.path().join("data")).status();
        }
    }
}

fn serve(dir: &Path) -> Child {
    let log = fs::File::create(dir.join("log")).expect("a log");
    let host = xtask::testing::host::Host::read();
    let tools = xtask::testing::layout::Layout::find(&host, None).expect("a store").test_tools();
    let program = host.which("docker-registry").unwrap_or_else(|| tools.join("usr/bin/docker-registry"));
    let mut command = Command::new(program);
    command.arg("serve").arg(dir.join("config.yml")).stdin(Stdio::null());
    command.stdout(log.try_clone().expect("a log")).stderr(log);
    command.spawn().expect("docker-registry runs: `cargo xtask test --provision` installs it")
}

/// Makes a certificate that signs itself.
fn make_certificate(dir: &Path, address: IpAddr) {
    let name = format!("subjectAltName=IP:{address}");
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test"]);
    command.args(["-keyout", "server.key", "-out", "server.crt", "-addext", &name]).current_dir(dir);
    assert!(command.output().expect("openssl runs").status.success(), "a certificate");
}

/// Starts a server that is not a registry. It accepts every connection and sends this answer, or
/// never answers. It lasts as long as the test's process.
pub fn impostor(answer: Option<&'static str>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for connection in listener.incoming().flatten() {
            match answer {
                None => held.push(connection),
                Some(answer) => {
                    std::thread::spawn(move || reply(connection, answer));
                }
            }
        }
    });
    format!("registry=127.0.0.1:{port}/team/cache")
}

/// Returns the value of `--cache` for a registry behind a gate that closes for good when the first
/// upload begins, as in a network failure.
pub fn behind_a_gate(registry: &Registry) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let behind = registry.port;
    std::thread::spawn(move || {
        let shut = Arc::new(AtomicBool::new(false));
        for near in listener.incoming().flatten() {
            let far = TcpStream::connect(("127.0.0.1", behind)).expect("the registry");
            for (from, to) in [(&near, &far), (&far, &near)] {
                let (from, to) = (from.try_clone().expect("a copy"), to.try_clone().expect("a copy"));
                let shut = Arc::clone(&shut);
                std::thread::spawn(move || pass(from, to, &shut));
            }
        }
    });
    format!("registry=127.0.0.1:{port}/team/cache")
}

/// Returns the value of `--cache` for a registry over a connection with this latency.
pub fn over_a_slow_line(registry: &Registry, latency: Duration) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let behind = registry.port;
    std::thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let far = TcpStream::connect(("127.0.0.1", behind)).expect("the registry");
            for (mut from, mut to, latency) in [
                (near.try_clone().expect("a copy"), far.try_clone().expect("a copy"), Duration::ZERO),
                (far, near, latency),
            ] {
                std::thread::spawn(move || {
                    let mut bytes = [0; 65536];
                    loop {
                        let count = retry::read(&mut from, &mut bytes).unwrap_or(0);
                        std::thread::sleep(latency);
                        if count == 0 || to.write_all(&bytes[..count]).is_err() {
                            let _ = to.shutdown(std::net::Shutdown::Write);
                            return;
                        }
                    }
                });
            }
        }
    });
    format!("registry=127.0.0.1:{port}/team/cache")
}

/// Forwards data until the gate is closed; then forwards nothing and leaves the connection open.
fn pass(mut from: TcpStream, mut to: TcpStream, shut: &AtomicBool) {
    let mut bytes = [0; 16384];
    loop {
        let count = retry::read(&mut from, &mut bytes).unwrap_or(0);
        if bytes[..count].starts_with(b"POST ") {
            shut.store(true, Ordering::SeqCst);
        }
        if shut.load(Ordering::SeqCst) {
            std::thread::park();
        }
        if count == 0 || to.write_all(&bytes[..count]).is_err() {
            let _ = to.shutdown(std::net::Shutdown::Write);
            return;
        }
    }
}

fn reply(mut connection: TcpStream, answer: &str) {
    let mut request = [0; 4096];
    if retry::read(&mut connection, &mut request).is_ok() {
        let length = answer.len();
        let _ = write!(
            connection,
            "HTTP/1.1 {answer}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{answer}"
        );
    }
}
