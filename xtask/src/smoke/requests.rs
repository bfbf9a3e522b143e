//! Checks by HTTP requests from outside. [`assertions`] has the expectations.

use std::fmt::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::assertions;
use super::checks::{CHECK_TIMEOUT, Scene};
use super::http::Request;
use super::stage::ROOT;
use crate::process::signals;

/// The timeout for the server to read its configuration again.
const RELOAD: Duration = Duration::from_secs(15);
/// More than all buffers hold, and than PHP keeps in memory.
const LARGE: usize = 6 * 1024 * 1024;

fn get_json(scene: &Scene<'_>, path: &str) -> Result<Value> {
    assertions::json(&scene.send(&Request::get(path))?)
}

/// Returns bytes that compression or repetition cannot reproduce by chance.
fn noise(bytes: usize) -> Vec<u8> {
    let blocks = (0u64..).map(|n| Sha256::digest(n.to_le_bytes()));
    blocks.flatten().take(bytes).collect()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// Requests a page over HTTP.
pub(super) fn page(scene: &Scene<'_>) -> Result<String> {
    assertions::page(&scene.send(&Request::get("/hello.php"))?)
}

/// Checks that the serving PHP is thread-safe and not a debug build.
pub(super) fn php(scene: &Scene<'_>) -> Result<String> {
    let seen = get_json(scene, "/loaded.php")?;
    assertions::php(&seen)
}

/// Checks `$_SERVER`.
pub(super) fn server_fields(scene: &Scene<'_>) -> Result<String> {
    let request = Request::get("/server.php?a=1&b=%20x").header("X-Durango", "ride");
    assertions::server(&assertions::json(&scene.send(&request)?)?, ROOT)
}

/// Sends 6 MB of noise.
pub(super) fn large_body(scene: &Scene<'_>) -> Result<String> {
    let bytes = noise(LARGE);
    let request = Request::post("/body.php", &bytes).header("Content-Type", "application/octet-stream");
    assertions::body(&assertions::json(&scene.send(&request)?)?, bytes.len(), &sha256(&bytes))
}

/// Makes two visits with one cookie, and one without.
pub(super) fn sessions(scene: &Scene<'_>) -> Result<String> {
    let first = scene.send(&Request::get("/session.php"))?;
    let visit = assertions::json(&first)?;
    let request = Request::get("/session.php").header("Cookie", assertions::cookie(&first)?);
    let again = assertions::json(&scene.send(&request)?)?;
    let stranger = get_json(scene, "/session.php")?;
    assertions::sessions([&visit, &again, &stranger])
}

/// Sends a file of noise and a field in one form.
pub(super) fn upload(scene: &Scene<'_>) -> Result<String> {
    let bytes = noise(300_000);
    let boundary = "----durango-smoke-boundary";
    let mut form = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"field\"\r\n\r\nextra\r\n--{boundary}\r\n\
         Content-Disposition: form-data; name=\"file\"; filename=\"Ä b.bin\"\r\nContent-Type: application/octet-stream\r\n\r\n"
    )
    .into_bytes();
    form.extend_from_slice(&bytes);
    form.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    let kind = format!("multipart/form-data; boundary={boundary}");
    let answer = scene.send(&Request::post("/upload.php", &form).header("Content-Type", kind))?;
    assertions::upload(&assertions::json(&answer)?, &sha256(&bytes))
}

/// Checks for a 103 before the 200. The page needs a body, which is sent once the 103 is here.
pub(super) fn early_hints(scene: &Scene<'_>) -> Result<String> {
    let answer = scene.send(&Request::put_held("/hints.php", b"seen"));
    assertions::hints(&answer.context("the page sends a 103 and then reads the request's body")?)
}

fn count(scene: &Scene<'_>) -> Result<u64> {
    let seen = get_json(scene, "/counter.php?n=1")?;
    seen["requests"].as_u64().with_context(|| format!("expected a count, got {seen}"))
}

/// Checks that one worker keeps its state between requests.
pub(super) fn worker(scene: &Scene<'_>) -> Result<String> {
    assertions::rises(&[count(scene)?, count(scene)?, count(scene)?])
}

/// Checks that the signal for a reload restarts the workers, without the admin API.
pub(super) fn worker_restart(scene: &Scene<'_>) -> Result<String> {
    count(scene)?;
    let before = count(scene)?;
    let container = scene.container()?;
    container.signal("SIGUSR1")?;
    let begun = Instant::now();
    loop {
        signals::check()?;
        // While the workers restart, a request may fail, or wait for a worker that is gone.
        let answer =
            super::http::send(&container.http, &Request::get("/counter.php?n=1"), Duration::from_secs(2));
        let seen = answer.and_then(|answer| assertions::json(&answer));
        match seen.and_then(|seen| seen["requests"].as_u64().context("expected a count")) {
            Ok(after) if after <= before => return assertions::restarted(before, after),
            Err(error) if !container.is_running() || begun.elapsed() > RELOAD => return Err(error),
            Ok(after) if begun.elapsed() > RELOAD => return assertions::restarted(before, after),
            _ => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// Checks the settings for production.
pub(super) fn production(scene: &Scene<'_>) -> Result<String> {
    assertions::production(&get_json(scene, "/production.php")?)
}

/// Checks that PHP code finds no admin API.
pub(super) fn admin(scene: &Scene<'_>) -> Result<String> {
    assertions::admin(&get_json(scene, "/admin.php")?)
}

/// Checks that hidden files don't exist for visitors, for every notation of the path.
pub(super) fn hidden_files(scene: &Scene<'_>) -> Result<String> {
    let hidden = [
        "/.hidden.php",
        "/%2ehidden.php",
        "//.hidden.php",
        "/a/../.hidden.php",
        "/.hidden.php/path",
        "/.well-known/.hidden.php",
        "/.well-known/../.hidden.php",
        "/.missing",
    ];
    for path in hidden {
        assertions::hidden(path, &scene.send(&Request::get(path))?)?;
    }
    assertions::page(&scene.send(&Request::get("/.well-known/hello.php"))?)?;
    Ok(format!("404 for {} paths; /.well-known is served", hidden.len()))
}

/// Checks the user of the server.
pub(super) fn user(scene: &Scene<'_>, uid: u64) -> Result<String> {
    assertions::user(&get_json(scene, "/process.php")?, uid)
}

/// Checks that one request occupies the only thread, and that another one meanwhile times out.
pub(super) fn busy(scene: &Scene<'_>) -> Result<String> {
    let address = &scene.container()?.http;
    let hold = || super::http::send(address, &Request::get("/sleep.php?ms=4000"), CHECK_TIMEOUT);
    let (sleeper, waiter) = std::thread::scope(|scope| {
        let sleeper = scope.spawn(hold);
        let waiter = loop {
            let answer = scene.send(&Request::get("/hello.php"));
            // As long as others are served, the first request has not begun.
            let is_served = answer.as_ref().is_ok_and(|answer| answer.head.status == 200);
            if !is_served || sleeper.is_finished() {
                break answer;
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        (sleeper.join(), waiter)
    });
    let sleeper = sleeper.map_err(|_| anyhow!("the request that occupies the thread was aborted"))??;
    assertions::busy(sleeper.head.status, &waiter?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_the_same_each_time_and_never_repeats() {
        let bytes = noise(1000);
        assert_eq!((bytes.len(), noise(1000) == bytes), (1000, true));
        assert_ne!(bytes[..32], bytes[32..64]);
        assert_eq!(sha256(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
