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
    /// The body of a POST or PUT; `None` for a GET.
    pub body: Option<&'a [u8]>,
    /// Whether it is a PUT whose body is held back until the answer begins. PHP reads the body of a
    /// POST before its code runs.
    pub holds_body: bool,
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

    /// Creates a PUT whose body is sent as soon as the answer begins.
    pub(crate) fn put_held(path: &'a str, body: &'a [u8]) -> Self {
        Self { path, body: Some(body), holds_body: true, ..Self::default() }
    }

    /// Adds a header.
    pub(crate) fn header(mut self, name: &'a str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn head(&self, host: &str) -> String {
        let method = match self.body {
            None => "GET",
            Some(_) if self.holds_body => "PUT",
            Some(_) => "POST",
        };
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
    let stream = TcpStream::connect_timeout(&target, limit).context("failed to connect")?;
    exchange(stream, address, request, &Bounds { deadline, bytes: LARGEST, by_length: false })
}

/// The bounds of an answer.
pub(crate) struct Bounds {
    pub deadline: Instant,
    /// The maximum size.
    pub bytes: usize,
    /// Whether it ends with the length that it has, and not when the server closes the connection:
    /// some take 0.1 s for that.
    pub by_length: bool,
}

/// Sends a request to `host` on a connection, and reads the answer.
pub(crate) fn exchange(
    mut stream: TcpStream,
    host: &str,
    request: &Request<'_>,
    bounds: &Bounds,
) -> Result<Response> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(BLINK))?;
    let left = bounds.deadline.saturating_duration_since(Instant::now());
    stream.set_write_timeout(Some(left.max(BLINK)))?;
    // A server may refuse a body before it has read it. Its answer is more useful than the broken
    // pipe.
    let head = request.head(host);
    let body = request.body.unwrap_or_default();
    let (now, held) = if request.holds_body { (&[][..], body) } else { (body, &[][..]) };
    let written = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(now));
    let (bytes, first_byte) = read(&mut stream, bounds, held)?;
    if let (true, Err(error)) = (bytes.is_empty(), written) {
        return Err(error).context("failed to send the request");
    }
    let (early, head, body) = parse(&bytes)?;
    Ok(Response { early, head, body, first_byte })
}

/// Reads an answer, and writes `held` after its first bytes. Also returns their time.
fn read(stream: &mut TcpStream, bounds: &Bounds, held: &[u8]) -> Result<(Vec<u8>, Duration)> {
    let sent = Instant::now();
    let mut bytes = Vec::new();
    let mut first_byte = Duration::ZERO;
    let mut buffer = [0; 16 * 1024];
    loop {
        signals::check()?;
        if Instant::now() > bounds.deadline {
            bail!("the answer did not end within the time limit; so far {} bytes", bytes.len());
        }
        match retry::read(stream, &mut buffer) {
            Ok(0) => return Ok((bytes, first_byte)),
            Ok(count) => {
                if bytes.is_empty() {
                    first_byte = sent.elapsed();
                    // Its answer is more useful than a broken pipe, here as well.
                    let _ = stream.write_all(held);
                }
                bytes.extend_from_slice(&buffer[..count]);
                if bytes.len() > bounds.bytes {
                    bail!("the answer is larger than {} bytes", bounds.bytes);
                }
                if bounds.by_length && is_whole(&bytes) {
                    return Ok((bytes, first_byte));
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

/// Returns whether an answer has the length that its head says.
fn is_whole(bytes: &[u8]) -> bool {
    let says_length =
        |head: &Head| head.header("content-length").is_some() || head.header("transfer-encoding").is_some();
    parse(bytes).is_ok_and(|(_, head, _)| says_length(&head))
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
#[path = "http_tests.rs"]
mod tests;
