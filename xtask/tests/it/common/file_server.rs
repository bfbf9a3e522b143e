//! An HTTP server of files that a test changes.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// The content of files by name, and whether they have an `ETag`.
type Files = BTreeMap<String, (bool, String)>;

/// The server runs until the tests end.
pub struct FileServer {
    pub port: u16,
    files: Arc<Mutex<Files>>,
}

impl FileServer {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let files: Arc<Mutex<Files>> = Arc::default();
        let served = Arc::clone(&files);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let files = served.lock().expect("no panic").clone();
                std::thread::spawn(move || answer(stream, &files));
            }
        });
        Self { port, files }
    }

    /// `has_etag` decides whether an answer names its version.
    pub fn set(&self, path: &str, has_etag: bool, content: &str) {
        let file = (has_etag, content.to_owned());
        self.files.lock().expect("no panic").insert(path.to_owned(), file);
    }

    pub fn remove(&self, path: &str) {
        self.files.lock().expect("no panic").remove(path);
    }
}

fn answer(mut stream: TcpStream, files: &Files) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
    let request = lines.next()?.ok()?;
    lines.by_ref().find(|line| line.as_ref().is_ok_and(String::is_empty))?.ok()?;
    let path = request.split(' ').nth(1)?.trim_start_matches('/');
    let answer = match files.get(path) {
        None => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned(),
        Some((has_etag, content)) => {
            let etag = if *has_etag { format!("ETag: \"{}\"\r\n", content.trim()) } else { String::new() };
            let body = if request.starts_with("HEAD") { "" } else { content };
            let length = content.len();
            format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n{etag}Connection: close\r\n\r\n{body}")
        }
    };
    stream.write_all(answer.as_bytes()).ok()
}
