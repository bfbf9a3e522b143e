//! The assertions about answers to the checks: pure functions from an answer to a line about it, or
//! an error with the expectation.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::extensions::ExtensionFacts;
use super::http::Response;

/// Returns the JSON of a page, which must have status 200.
pub(crate) fn json(response: &Response) -> Result<Value> {
    let text = response.text();
    let start: String = text.chars().take(200).collect();
    ensure!(response.head.status == 200, "expected status 200, got {}: {start}", response.head.status);
    serde_json::from_str(&text).with_context(|| format!("expected JSON, got `{start}`"))
}

/// Returns the result of a check script.
pub(crate) fn verdict(answer: &Value) -> Result<String> {
    let detail = answer["detail"].as_str().unwrap_or("no details from the script");
    ensure!(answer["ok"] == true, "{detail}");
    Ok(detail.to_owned())
}

/// Checks a page.
pub(crate) fn page(response: &Response) -> Result<String> {
    let text = response.text();
    ensure!(
        response.head.status == 200 && text == "Hello from frankenphp",
        "expected `Hello from frankenphp`, got status {}: {text}",
        response.head.status
    );
    Ok(format!("{text}, by {}", response.head.header("server").unwrap_or("a server without a name")))
}

/// Checks the serving PHP: thread-safe, because FrankenPHP serves with many threads, and not a
/// debug build.
pub(crate) fn php(seen: &Value) -> Result<String> {
    let version = seen["php"].as_str().context("expected a version of PHP, got none")?;
    ensure!(seen["sapi"] == "frankenphp", "expected the SAPI `frankenphp`, got {}", seen["sapi"]);
    ensure!(seen["zts"] == true, "expected a thread-safe PHP (ZTS), got a non-thread-safe one");
    ensure!(seen["debug"] == false, "expected a release build, got a debug build");
    Ok(format!("PHP {version}, thread-safe"))
}

/// Compares the image's list of extensions with those that PHP has loaded.
pub(crate) fn extensions(facts: &ExtensionFacts) -> Result<String> {
    let missing: Vec<&str> =
        facts.listed.iter().map(String::as_str).filter(|name| !facts.has(name)).collect();
    ensure!(missing.is_empty(), "in the image's list, but not in PHP: {}", missing.join(", "));
    let listed = facts.listed.len();
    let loaded = facts.loaded.len();
    Ok(if listed == 0 {
        format!("{loaded} loaded; the image has no list to compare with")
    } else {
        format!("all {listed} in the image's list, {loaded} in total")
    })
}

/// Checks `$_SERVER` for `GET /server.php?a=1&b=%20x` with `X-Durango: ride`, served from `root`.
pub(crate) fn server(seen: &Value, root: &str) -> Result<String> {
    let script = format!("{root}/server.php");
    let expected = [
        ("REQUEST_METHOD", "GET"),
        ("QUERY_STRING", "a=1&b=%20x"),
        ("REQUEST_URI", "/server.php?a=1&b=%20x"),
        ("SCRIPT_NAME", "/server.php"),
        ("SCRIPT_FILENAME", &script),
        ("DOCUMENT_ROOT", root),
        ("SERVER_SOFTWARE", "FrankenPHP"),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("HTTP_X_DURANGO", "ride"),
    ];
    for (name, value) in expected {
        ensure!(seen[name] == value, "{name}: expected `{value}`, got {}", seen[name]);
    }
    ensure!(seen["GET"]["b"] == " x", "$_GET: expected b=` x`, got {}", seen["GET"]);
    let client = seen["REMOTE_ADDR"].as_str().unwrap_or_default();
    ensure!(client.parse::<std::net::IpAddr>().is_ok(), "REMOTE_ADDR: expected an address, got `{client}`");
    Ok(format!("{} fields arrived unchanged, from {client}", expected.len()))
}

/// Checks a body as PHP read it.
pub(crate) fn body(seen: &Value, bytes: usize, sha256: &str) -> Result<String> {
    ensure!(seen["bytes"] == bytes, "expected {bytes} bytes, got {}", seen["bytes"]);
    ensure!(seen["sha256"] == sha256, "expected the SHA-256 {sha256}, got {}", seen["sha256"]);
    Ok(format!("{bytes} bytes arrived unchanged"))
}

/// Returns the cookie that a first answer sets.
pub(crate) fn cookie(first: &Response) -> Result<String> {
    let cookie = first.head.header("set-cookie").and_then(|value| value.split(';').next());
    cookie
        .map(str::to_owned)
        .with_context(|| format!("expected a Set-Cookie header, got none; {}", first.text()))
}

/// Checks two visits with one cookie, and one without.
pub(crate) fn sessions(visits: [&Value; 3]) -> Result<String> {
    let [first, second, stranger] = visits;
    ensure!(first["visits"] == 1, "first visit: expected 1, got {first}");
    ensure!(second["visits"] == 2, "second visit with the cookie: expected 2, got {second}");
    ensure!(stranger["visits"] == 1, "a visit without a cookie: expected 1, got {stranger}");
    Ok("cookie kept over two requests".into())
}

/// Checks an uploaded file and an additional field.
pub(crate) fn upload(seen: &Value, sha256: &str) -> Result<String> {
    let holds = seen["error"] == 0 && seen["uploaded"] == true && seen["name"] == "Ä b.bin";
    ensure!(holds && seen["field"] == "extra", "expected the file `Ä b.bin` and a field, got {seen}");
    ensure!(seen["sha256"] == sha256, "expected the SHA-256 {sha256}, got {}", seen["sha256"]);
    Ok("a file and a field of multipart/form-data".into())
}

/// Checks the hints, and an answer that shows what the client sent after them.
pub(crate) fn hints(response: &Response) -> Result<String> {
    let statuses: Vec<u16> = response.early.iter().map(|head| head.status).collect();
    let link = response.early.first().and_then(|head| head.header("link")).unwrap_or_default();
    ensure!(
        statuses == [103] && response.head.status == 200,
        "expected 103 and 200, got {statuses:?} and {}",
        response.head.status
    );
    ensure!(link.contains("</style.css>"), "expected a Link header in the 103, got `{link}`");
    ensure!(response.text() == "after the hints: seen", "got the body `{}`", response.text());
    Ok("103 with its Link, before the page ended".into())
}

/// Checks a worker's counter after three requests, and again if the worker restarted.
pub(crate) fn rises(counts: &[u64]) -> Result<String> {
    let rising = counts.len() > 1 && counts.windows(2).all(|pair| pair[1] == pair[0] + 1);
    ensure!(rising, "expected a counter that increases by one per request, got {counts:?}");
    Ok(format!("its counter increased over {} requests: {counts:?}", counts.len()))
}

/// Checks the counter before and after a restart.
pub(crate) fn restarted(before: u64, after: u64) -> Result<String> {
    ensure!(
        before > 1 && after == 1,
        "expected a counter above 1, then 1 after the restart, got {before} and {after}"
    );
    Ok(format!("the counter was {before}, and {after} after the restart"))
}

/// Settings for which PHP's defaults are for development. If a setting has two notations, both are
/// here.
const PRODUCTION: &[(&str, &[&str])] = &[
    ("zend.assertions", &["-1"]),
    ("variables_order", &["GPCS"]),
    ("display_errors", &["", "0", "Off", "off"]),
    ("expose_php", &["", "0", "Off", "off"]),
    ("register_argc_argv", &["", "0", "Off", "off"]),
    ("enable_dl", &["", "0", "Off", "off"]),
    ("allow_url_include", &["", "0", "Off", "off"]),
    ("session.cookie_secure", &["1", "On", "on"]),
    ("session.cookie_httponly", &["1", "On", "on"]),
    ("session.use_strict_mode", &["1", "On", "on"]),
    ("zend.exception_ignore_args", &["1", "On", "on"]),
];

/// Checks the settings of the serving PHP.
pub(crate) fn production(seen: &Value) -> Result<String> {
    for (name, allowed) in PRODUCTION {
        let value = seen["settings"][name].as_str().unwrap_or_default();
        ensure!(allowed.contains(&value), "{name}: expected `{}`, got `{value}`", allowed[0]);
    }
    ensure!(seen["environment"] == 0, "expected an empty $_ENV, got {} variables", seen["environment"]);
    ensure!(seen["path"] == true, "expected getenv() to return PATH");
    Ok(format!("{} settings", PRODUCTION.len()))
}

/// Checks the addresses at which PHP code found the admin API.
pub(crate) fn admin(seen: &Value) -> Result<String> {
    let asked = seen["asked"].as_array().map(Vec::len).unwrap_or_default();
    let found = seen["admin"].as_array().context("expected a list of addresses, got none")?;
    // The server itself listens on two ports. If it tested none of them, it found none.
    ensure!(asked > 1, "expected the server's own addresses among the tested ones, got {}", seen["asked"]);
    ensure!(
        found.is_empty(),
        "PHP code can read and replace the server's configuration at {}",
        seen["admin"]
    );
    Ok(format!("unreachable at {asked} addresses"))
}

/// Checks the answer for a hidden file.
pub(crate) fn hidden(path: &str, response: &Response) -> Result<()> {
    let status = response.head.status;
    ensure!(status == 404, "{path}: expected 404, got {status}: {}", response.text());
    ensure!(!response.text().contains("Hello"), "{path}: the file is shown with the 404");
    Ok(())
}

/// Checks that the sleeping request is served, and that the one that waits too long is not.
pub(crate) fn busy(sleeper: u16, waiter: &Response) -> Result<String> {
    ensure!(sleeper == 200, "the request that occupies the thread: expected 200, got {sleeper}");
    ensure!(waiter.head.status == 503, "the request that waits: expected 503, got {}", waiter.head.status);
    Ok(format!("503 after {} ms of waiting", waiter.first_byte.as_millis()))
}

/// Checks the user of the server.
pub(crate) fn user(seen: &Value, uid: u64) -> Result<String> {
    ensure!(seen["uid"] == uid, "expected user {uid}, got {}", seen["uid"]);
    ensure!(seen["writable"] == true, "the directory for temporary files is not writable for user {uid}");
    ensure!(
        seen["data"] == true,
        "`/data/caddy` is not writable for user {uid}: certificates cannot be stored"
    );
    Ok(format!("user {uid} serves, writes temporary files and stores certificates"))
}

/// Checks that a list has all required entries.
pub(crate) fn lists(text: &str, needed: &[&str]) -> Result<String> {
    let lines: Vec<&str> =
        text.lines().map(|line| line.split_whitespace().next().unwrap_or_default()).collect();
    let missing: Vec<&str> = needed.iter().copied().filter(|name| !lines.contains(name)).collect();
    if !missing.is_empty() {
        bail!("expected {}, missing: {}", needed.join(", "), missing.join(", "));
    }
    Ok(format!("{} among {}", needed.join(", "), lines.len()))
}

/// Checks the image's own page: an answer of the application, and no error of the server.
pub(crate) fn own_page(seen: &Value) -> Result<String> {
    let status = seen["status"].as_str().unwrap_or("no answer");
    let code: u16 = status.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    ensure!((200..500).contains(&code), "https://localhost/: expected an answer, got {status}");
    Ok(format!("https://localhost/ verified: {status}, {} bytes", seen["bytes"]))
}

#[cfg(test)]
#[path = "assertions_tests.rs"]
mod tests;
