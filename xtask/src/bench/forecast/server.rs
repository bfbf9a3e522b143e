//! A server of two files for ADD: one that stays, and one that an edit changes. Each is in several
//! directories, with other headers of an answer.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;
use sha2::{Digest, Sha256};

/// The content of `/stays`.
const STAYS: &str = "stays\n";
/// The directories of both files: without a validator, with an ETag, with a time, with both.
pub(super) const DIRECTORIES: &[&str] = &["", "other/", "etag/", "modified/", "etag/modified/"];
/// A client that says nothing is left for so long.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// The server runs until the process ends.
pub(super) struct Server {
    pub(super) port: u16,
    version: Arc<AtomicUsize>,
}

impl Server {
    pub(super) fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let version = Arc::new(AtomicUsize::new(0));
        let served = Arc::clone(&version);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let version = served.load(Ordering::Relaxed);
                // A client that goes away is its own loss.
                std::thread::spawn(move || answer(stream, version).ok());
            }
        });
        Ok(Self { port, version })
    }

    /// Changes `/changes`.
    pub(super) fn change(&self) {
        self.version.fetch_add(1, Ordering::Relaxed);
    }
}

/// The digest of `/stays`, as `ADD --checksum` takes it.
pub(super) fn checksum() -> String {
    format!("sha256:{:x}", Sha256::digest(STAYS))
}

fn answer(mut stream: TcpStream, version: usize) -> Result<()> {
    stream.set_read_timeout(Some(READ_TIMEOUT))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut request, mut line) = (String::new(), String::new());
    reader.read_line(&mut request)?;
    while line != "\r\n" && !(line.is_empty() && request.is_empty()) {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            break;
        }
    }
    let content = if request.contains("/changes ") { format!("{version}\n") } else { STAYS.to_owned() };
    let mut validators = String::new();
    if request.contains("/etag/") {
        validators += &format!("ETag: \"{:x}\"\r\n", Sha256::digest(&content));
    }
    if request.contains("/modified/") {
        let second = if request.contains("/changes ") { version % 60 } else { 0 };
        validators += &format!("Last-Modified: Thu, 01 Jan 2026 00:00:{second:02} GMT\r\n");
    }
    let length = content.len();
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n{validators}Connection: close\r\n\r\n");
    let body = if request.starts_with("HEAD") { "" } else { &content };
    Ok(stream.write_all(format!("{head}{body}").as_bytes())?)
}
