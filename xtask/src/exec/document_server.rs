//! Serves one cache's documents as a registry does, over the loopback interface, so that buildx can
//! copy them to another registry. It has no layers: a layer that the other registry lacks as well
//! fails the copy.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::store::cache_documents::{Document, WrittenCache};

/// The tag of the cache.
const TAG: &str = "cache";
/// The timeout for a request and its answer.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// The maximum number of connections, more than buildx makes.
const MOST_CONNECTIONS: usize = 64;
/// The maximum length of a request.
const LONGEST: u64 = 64 << 10;

/// The running server. It ends on drop.
pub(super) struct DocumentServer {
    at: SocketAddr,
    state: Arc<State>,
}

struct State {
    /// The name of the repository, which nobody can guess: other users of this machine can connect
    /// as well.
    repository: String,
    cache: WrittenCache,
    is_over: AtomicBool,
}

impl DocumentServer {
    /// Starts it on a free port.
    pub(super) fn start(cache: WrittenCache) -> Result<Self> {
        let mut random = [0; 16];
        File::open("/dev/urandom")?.read_exact(&mut random)?;
        let repository = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let at = listener.local_addr()?;
        let state = Arc::new(State { repository, cache, is_over: AtomicBool::new(false) });
        let own = Arc::clone(&state);
        std::thread::spawn(move || own.accept(&listener));
        Ok(Self { at, state })
    }

    /// Returns the reference of the cache.
    pub(super) fn reference(&self) -> String {
        format!("{}/{}:{TAG}", self.at, self.state.repository)
    }
}

impl Drop for DocumentServer {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::Relaxed);
        // The accepting thread notices the end with the next connection. Open connections, which
        // may be a stranger's, are not waited for.
        let _ = TcpStream::connect(self.at);
    }
}

impl State {
    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for stream in listener.incoming() {
            if self.is_over.load(Ordering::Relaxed) {
                return;
            }
            let Ok(stream) = stream else {
                std::thread::sleep(Duration::from_millis(10));
                continue;
            };
            // Each connection has a reference.
            if Arc::strong_count(self) <= MOST_CONNECTIONS {
                let own = Arc::clone(self);
                // A client without an answer ends with an error.
                std::thread::spawn(move || own.answer(&stream));
            }
        }
    }

    fn answer(&self, stream: &TcpStream) -> Result<()> {
        stream.set_read_timeout(Some(IDLE_TIMEOUT))?;
        stream.set_write_timeout(Some(IDLE_TIMEOUT))?;
        let mut reader = BufReader::new(stream).take(LONGEST);
        let (mut request, mut line) = (String::new(), String::new());
        reader.read_line(&mut request)?;
        while line != "\r\n" {
            line.clear();
            ensure!(reader.read_line(&mut line)? > 0, "the request has no end");
        }
        let mut words = request.split(' ');
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let mut writer = stream;
        let Some((document, media_type)) = self.find(path) else {
            write!(writer, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
            return Ok(());
        };
        write!(
            writer,
            "HTTP/1.1 200 OK\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\n\
             Docker-Content-Digest: {}\r\nConnection: close\r\n\r\n",
            document.blob.size,
            document.blob.name()
        )?;
        if method == "GET" {
            writer.write_all(&document.bytes)?;
        }
        Ok(())
    }

    fn find(&self, path: &str) -> Option<(&Document, &str)> {
        let path = path.split('?').next()?.strip_prefix("/v2/")?.strip_prefix(&self.repository)?;
        let (_, name) = path.rsplit_once('/')?;
        let WrittenCache { manifest, media_type, config } = &self.cache;
        let is = |document: &Document| name == document.blob.name();
        match path.strip_suffix(name)? {
            "/manifests/" if name == TAG || is(manifest) => Some((manifest, media_type)),
            "/blobs/" if is(config) => Some((config, "application/octet-stream")),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::cache_documents::CacheDocuments;
    use crate::store::layout_check::CACHE_CONFIG;

    #[test]
    fn only_the_documents_of_the_cache_are_served() {
        let config = json!({"mediaType": CACHE_CONFIG, "digest": "sha256:0", "size": 1});
        let manifest = json!({"config": config, "layers": []});
        let cache = CacheDocuments::new(manifest, serde_json::from_value(json!({})).expect("empty"));
        let cache = cache.write().expect("documents");
        let server = DocumentServer::start(cache.clone()).expect("a server");
        let reference = server.reference();
        let (host, rest) = reference.split_once('/').expect("a host");
        let (repository, tag) = rest.split_once(':').expect("a tag");
        let ask = |method: &str, path: &str| {
            let mut stream = TcpStream::connect(host).expect("it listens");
            write!(stream, "{method} {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").expect("sent");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("an answer");
            let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
            (head.split(' ').nth(1).expect("a status").to_owned(), head.to_owned(), body.to_owned())
        };
        let text = |document: &Document| String::from_utf8(document.bytes.clone()).expect("text");
        let digest = |document: &Document| document.blob.name();
        for name in [tag, &digest(&cache.manifest)] {
            let (status, head, body) = ask("GET", &format!("/v2/{repository}/manifests/{name}"));
            assert_eq!((status.as_str(), body), ("200", text(&cache.manifest)));
            assert!(head.contains(&format!("Content-Type: {}", cache.media_type)), "{head}");
        }
        let blob = format!("/v2/{repository}/blobs/{}", digest(&cache.config));
        assert_eq!(ask("GET", &blob).2, text(&cache.config));
        let (_, head, body) = ask("HEAD", &blob);
        assert!(head.contains(&format!("Content-Length: {}", cache.config.bytes.len())), "{head}");
        assert_eq!(body, "");
        let other = format!("/v2/{repository}/blobs/{}", digest(&cache.manifest));
        for path in ["/", "/v2/", &format!("/v2/x/manifests/{tag}"), &other, &blob[1..]] {
            assert_eq!(ask("GET", path).0, "404", "{path}");
        }
        drop(server);
        let ended = TcpStream::connect(host).and_then(|mut stream| {
            write!(stream, "GET {blob} HTTP/1.1\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)
        });
        assert!(matches!(ended, Err(_) | Ok(0)), "nothing is served after the end");
    }
}
