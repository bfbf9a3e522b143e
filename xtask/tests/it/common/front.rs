//! A server in front of a registry, which answers some requests itself: it asks for a token,
//! or refuses.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use xtask::testing::process::retry;

use super::registry::{REPOSITORY, Registry, USER};

/// The longest body of a request that a front reads itself.
const LONGEST_BODY: usize = 1 << 20;

/// The first byte of a TLS connection.
const TLS: u8 = 0x16;

/// A request to the registry.
pub struct Request {
    pub method: String,
    pub path: String,
    /// The first line and the headers, as they came.
    pub head: String,
}

/// The decision about a request.
pub enum Verdict {
    /// The registry answers.
    Pass,
    /// The front answers with a status such as `403 Forbidden`, more headers, and a body.
    Answer(&'static str, String, String),
}

/// A request that came.
#[derive(Clone)]
pub struct Seen {
    pub at: Instant,
    pub is_of_buildx: bool,
    /// The method and the path.
    pub line: String,
}

/// The front. It lasts as long as the test's process.
pub struct Front {
    port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Request {
    /// Returns the value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// Returns whether buildx itself sent it, not BuildKit.
    pub fn is_of_buildx(&self) -> bool {
        !self.header("User-Agent").is_some_and(|agent| agent.starts_with("buildkit/"))
    }

    /// Returns whether it puts a manifest.
    pub fn puts_manifest(&self) -> bool {
        self.method == "PUT" && self.path.contains("/manifests/")
    }
}

impl Front {
    /// Starts one. `rule` decides about each request.
    pub fn start(registry: &Registry, rule: impl Fn(&Request) -> Verdict + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let (behind, seen, rule) = (registry.port(), Arc::default(), Arc::new(rule));
        let requests: Arc<Mutex<Vec<Seen>>> = Arc::clone(&seen);
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let (rule, requests) = (Arc::clone(&rule), Arc::clone(&requests));
                // A client that leaves ends its own request only.
                std::thread::spawn(move || serve(&near, behind, &*rule, &requests));
            }
        });
        Self { port, seen }
    }

    /// Returns the value of `--cache` for the repository behind it.
    pub fn cache(&self) -> String {
        format!("registry={}/{REPOSITORY}", self.host())
    }

    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Returns the requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("a list").clone()
    }
}

/// A rule: the token flow of the distribution specification. [`USER`] gets a token, whose holder
/// may do these actions. A token is their names.
pub fn with_token(request: &Request, actions: &str) -> Verdict {
    let refuse = |scope: &str| {
        let host = request.header("Host").unwrap_or_default();
        let realm = format!("Bearer realm=\"http://{host}/token\",service=\"test\",scope=\"{scope}\"");
        Verdict::Answer("401 Unauthorized", format!("WWW-Authenticate: {realm}\r\n"), String::new())
    };
    if request.path.starts_with("/token") {
        use base64::Engine as _;
        let basic = base64::engine::general_purpose::STANDARD.encode(format!("{}:{}", USER.0, USER.1));
        return match (request.method.as_str(), request.header("Authorization")) {
            ("GET", Some(given)) if given == format!("Basic {basic}") => {
                let token = format!("{{\"token\":\"{actions}\",\"expires_in\":300}}");
                Verdict::Answer("200 OK", "Content-Type: application/json\r\n".into(), token)
            }
            // A client asks by POST first, and then by GET.
            ("POST", _) => Verdict::Answer("405 Method Not Allowed", String::new(), String::new()),
            _ => Verdict::Answer("401 Unauthorized", String::new(), String::new()),
        };
    }
    let action = if matches!(request.method.as_str(), "GET" | "HEAD") { "pull" } else { "push" };
    let token = request.header("Authorization").and_then(|value| value.strip_prefix("Bearer "));
    if token.is_some_and(|token| token.contains(action)) {
        return Verdict::Pass;
    }
    let scope = if action == "push" { "pull,push" } else { "pull" };
    refuse(&format!("repository:{REPOSITORY}:{scope}"))
}

fn serve(
    near: &TcpStream,
    behind: u16,
    rule: &dyn Fn(&Request) -> Verdict,
    seen: &Mutex<Vec<Seen>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(near.try_clone()?);
    // BuildKit tries TLS first, and needs an answer in plain text to try without.
    if reader.fill_buf()?.first() == Some(&TLS) {
        let mut near = near;
        return near.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\n");
    }
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    let mut words = head.split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let request = Request { method, path, head };
    let line = format!("{} {}", request.method, request.path);
    let new = Seen { at: Instant::now(), is_of_buildx: request.is_of_buildx(), line };
    seen.lock().expect("a list").push(new);
    match rule(&request) {
        Verdict::Pass => pass(&request, reader, near, behind),
        Verdict::Answer(status, headers, body) => {
            let length = request.header("Content-Length").and_then(|text| text.parse().ok()).unwrap_or(0);
            reader.read_exact(&mut vec![0; usize::min(length, LONGEST_BODY)])?;
            let length = body.len();
            let body = if request.method == "HEAD" { "" } else { &body };
            write!(
                { near },
                "HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            )
        }
    }
}

/// Passes one request to the registry, and its answer back.
fn pass(
    request: &Request,
    mut reader: BufReader<TcpStream>,
    near: &TcpStream,
    behind: u16,
) -> std::io::Result<()> {
    let mut far = TcpStream::connect(("127.0.0.1", behind))?;
    let fields = request.head.lines().filter(|line| !line.is_empty());
    // The registry has no authentication of its own, and refuses a header for it.
    let kept = fields.filter(|line| !is_field(line, "Connection") && !is_field(line, "Authorization"));
    let head: String = kept.map(|line| format!("{line}\r\n")).collect();
    far.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes())?;
    let (mut to, mut from, mut back) = (far.try_clone()?, far, near.try_clone()?);
    std::thread::spawn(move || copy(&mut reader, &mut to));
    copy(&mut from, &mut back);
    near.shutdown(Shutdown::Both)
}

fn is_field(line: &str, name: &str) -> bool {
    line.split_once(':').is_some_and(|(field, _)| field.eq_ignore_ascii_case(name))
}

fn copy(from: &mut impl Read, to: &mut TcpStream) {
    let mut bytes = [0; 65536];
    loop {
        let count = retry::read(from, &mut bytes).unwrap_or(0);
        if count == 0 || to.write_all(&bytes[..count]).is_err() {
            return;
        }
    }
}
