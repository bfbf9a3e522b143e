//! An HTTP client that shows exactly what the checks need: heads with 1xx before the answer, and
//! the time of the first byte. One request per connection, without TLS and redirects. `httparse`
//! parses the heads.

use std::io::{ErrorKind, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

use crate::process::{retry, signals};

/// The interval of checks for Ctrl-C.
const BLINK: Duration = Duration::from_millis(200);
/// The maximum size of an answer.
const LARGEST: usize = 64 * 1024 * 1024;

#[derive(Debug, Default, Clone)]
pub(crate) struct Request<'a> {
    /// Path and query.
    pub path: &'a str,
    /// Headers other than `Host`, `Connection` and `Content-Length`.
    pub headers: Vec<(&'a str, String)>,
    /// The body of a POST; `None` for a GET.
    pub body: Option<&'a [u8]>,
}

impl<'a> Request<'a> {
    /// Creates a GET without additional headers.
    pub(crate) fn get(path: &'a str) -> Self {
        Self { path, ..Self::default() }
    }

    /// Creates a POST.
    pub(crate) fn post(path: &'a str, body: &'a [u8]) -> Self {
        Self { path, body: Some(body), ..Self::default() }
    }

    /// Adds a header.
    pub(crate) fn header(mut self, name: &'a str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn head(&self, host: &str) -> String {
        let method = if self.body.is_some() { "POST" } else { "GET" };
        let mut head = format!("{method} {} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n", self.path);
        if let Some(body) = self.body {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        self.headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
        head + "\r\n"
    }
}

/// A status and its headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub status: u16,
    /// Names as they were sent.
    pub headers: Vec<(String, String)>,
}

impl Head {
    /// Returns the first header with this name, in any case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Response {
    /// Heads with a 1xx status, in their order before the answer's own.
    pub early: Vec<Head>,
    pub head: Head,
    /// The decoded body.
    pub body: Vec<u8>,
    /// From the request's end to the first byte.
    pub first_byte: Duration,
    /// From the request's end to the last byte.
    pub last_byte: Duration,
}

impl Response {
    /// Returns the body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Sends a request to `HOST:PORT` and reads the answer, within `limit`.
pub(crate) fn send(address: &str, request: &Request<'_>, limit: Duration) -> Result<Response> {
    let deadline = Instant::now() + limit;
    let target = address.to_socket_addrs()?.next().context("no address")?;
    let mut stream = TcpStream::connect_timeout(&target, limit).context("failed to connect")?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(BLINK))?;
    stream.set_write_timeout(Some(limit))?;
    // A server may refuse a body before it has read it. Its answer is more useful than the broken
    // pipe.
    let head = request.head(address);
    let written =
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(request.body.unwrap_or_default()));
    let sent = Instant::now();
    let (bytes, first_byte) = read(&mut stream, deadline, sent)?;
    let last_byte = sent.elapsed();
    if let (true, Err(error)) = (bytes.is_empty(), written) {
        return Err(error).context("failed to send the request");
    }
    let (early, head, body) = parse(&bytes)?;
    Ok(Response { early, head, body, first_byte, last_byte })
}

fn read(stream: &mut TcpStream, deadline: Instant, sent: Instant) -> Result<(Vec<u8>, Duration)> {
    let mut bytes = Vec::new();
    let mut first_byte = Duration::ZERO;
    let mut buffer = [0; 16 * 1024];
    loop {
        signals::check()?;
        if Instant::now() > deadline {
            bail!("the answer did not end within the time limit; so far {} bytes", bytes.len());
        }
        match retry::read(stream, &mut buffer) {
            Ok(0) => return Ok((bytes, first_byte)),
            Ok(count) => {
                if bytes.is_empty() {
                    first_byte = sent.elapsed();
                }
                bytes.extend_from_slice(&buffer[..count]);
                if bytes.len() > LARGEST {
                    bail!("the answer is larger than {LARGEST} bytes");
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset && !bytes.is_empty() => {
                return Ok((bytes, first_byte));
            }
            Err(error) => return Err(error).context("failed to read the answer"),
        }
    }
}

/// Early heads, the answer's head, its body.
type Parts = (Vec<Head>, Head, Vec<u8>);

/// Parses the bytes of a connection.
pub(crate) fn parse(mut bytes: &[u8]) -> Result<Parts> {
    if bytes.is_empty() {
        bail!("the connection was closed without an answer");
    }
    let mut early = Vec::new();
    loop {
        let (head, length) = parse_head(bytes)?;
        bytes = &bytes[length..];
        if (100..200).contains(&head.status) {
            early.push(head);
        } else {
            let body = body(&head, bytes)?;
            return Ok((early, head, body));
        }
    }
}

fn parse_head(bytes: &[u8]) -> Result<(Head, usize)> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(length) =
        response.parse(bytes).map_err(|error| anyhow!("not HTTP: {error}"))?
    else {
        bail!("the answer ended within its head");
    };
    let headers = response
        .headers
        .iter()
        .map(|header| (header.name.to_owned(), String::from_utf8_lossy(header.value).into_owned()))
        .collect();
    Ok((Head { status: response.code.unwrap_or(0), headers }, length))
}

fn body(head: &Head, bytes: &[u8]) -> Result<Vec<u8>> {
    if head.header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        return unchunk(bytes);
    }
    if let Some(length) = head.header("content-length") {
        let length: usize = length.parse().context("an invalid content-length")?;
        if length != bytes.len() {
            bail!("the body has {} bytes instead of {length}", bytes.len());
        }
    }
    Ok(bytes.to_vec())
}

fn unchunk(mut bytes: &[u8]) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let status = httparse::parse_chunk_size(bytes).map_err(|_| anyhow!("a broken chunk"))?;
        let httparse::Status::Complete((start, size)) = status else {
            bail!("the body ended within a chunk")
        };
        if size == 0 {
            return Ok(body);
        }
        let chunk = bytes.get(start..).unwrap_or_default();
        let (data, rest) =
            chunk.split_at_checked(usize::try_from(size)?).context("the body ended within a chunk")?;
        body.extend_from_slice(data);
        bytes = rest.get(2..).context("the body ended within a chunk")?;
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, mpsc};

    use rustix::process::{Pid, Signal, kill_process};
    use signal_hook::consts::SIGUSR2;

    use super::*;

    #[test]
    fn early_heads_come_before_the_answer() {
        let bytes =
            b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        let (early, head, body) = parse(bytes).unwrap();
        assert_eq!((early.len(), early[0].status, early[0].header("link")), (1, 103, Some("</a>")));
        assert_eq!((head.status, body.as_slice()), (200, b"ok".as_slice()));
    }

    /// A signal interrupts a read that has a timeout, whatever its handler asks for.
    #[test]
    fn signals_do_not_end_the_wait_for_an_answer() {
        let is_handled = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(SIGUSR2, Arc::clone(&is_handled)).expect("a handler");
        let server = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = server.local_addr().expect("an address").to_string();
        let (sender, threads) = mpsc::channel();
        let asking = std::thread::spawn(move || {
            sender.send(std::fs::read_link("/proc/thread-self").expect("Linux has it")).expect("sent");
            send(&address, &Request::get("/"), Duration::from_secs(60))
        });
        let thread = threads.recv().expect("a thread");
        let thread = thread.file_name().and_then(|name| name.to_str()?.parse().ok()).expect("its id");
        let (mut connection, _) = server.accept().expect("a connection");
        for _ in 0..100 {
            // The kernel prefers the thread that the id names.
            kill_process(Pid::from_raw(thread).expect("an id"), Signal::USR2).expect("it waits");
            let begun = Instant::now();
            while !is_handled.swap(false, Ordering::SeqCst) {
                assert!(begun.elapsed() < Duration::from_secs(60), "the signal is not handled");
                std::thread::yield_now();
            }
        }
        connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").expect("written");
        drop(connection);
        assert_eq!(asking.join().expect("an end").expect("an answer").text(), "ok");
    }

    #[test]
    fn chunks_are_put_together() {
        let bytes =
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1;x=y\r\nd\r\n0\r\n\r\n";
        assert_eq!(parse(bytes).unwrap().2, b"abcd");
    }

    #[test]
    fn a_cut_answer_is_an_error() {
        let cut: [&[u8]; 8] = [
            b"",
            b"HTTP/1.1 200 OK\r\nContent-Le",
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nab",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\nab",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFD\r\nab",
            b"HTTP/1.1 103 Early Hints\r\n\r\n",
        ];
        for bytes in cut {
            assert!(parse(bytes).is_err(), "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn a_request_has_the_length_of_its_body() {
        let request = Request::post("/a?b=1", b"four").header("Cookie", "c=d");
        assert_eq!(
            request.head("127.0.0.1:80"),
            "POST /a?b=1 HTTP/1.1\r\nHost: 127.0.0.1:80\r\nConnection: close\r\nContent-Length: 4\r\nCookie: c=d\r\n\r\n"
        );
    }
}
