//! Versions of what a build reads from servers: files and Git repositories without a digest or a
//! commit. `curl` and `git` ask, with a time limit and without credentials. Without an answer a
//! version is unknown, and its steps stay open.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::exec::scratch::Scratch;
use crate::files;
use crate::layout::Layout;
use crate::process::query;
use crate::project::graph::GraphStep;
use crate::project::remote::Server;
use crate::redact::Redactor;

/// The time for one answer. A server that takes longer delays the build itself. A file without an
/// `ETag` takes two answers.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// The number of sources that are asked for. Each has a process of its own.
const MOST: usize = 16;
/// The size of a file that is read for want of an `ETag`, in bytes.
const LARGEST: u64 = 1 << 20;

/// Asks for the versions of all sources of a graph that are unknown in advance, at once. An address
/// with a secret is not passed to a program, and a server only if `is_known`.
pub(super) fn ask(
    layout: &Layout,
    now: Timestamp,
    redactor: &Redactor,
    graph: &[GraphStep],
    is_known: &dyn Fn(&Server<'_>) -> bool,
) -> BTreeMap<String, String> {
    let open = graph.iter().filter(|step| step.is_open).flat_map(GraphStep::remotes);
    let urls: BTreeSet<&str> = open.map(|(url, _)| url).filter(|url| redactor.text(url) == *url).collect();
    let servers = urls.into_iter().filter_map(|url| Some((url, Server::of(url).filter(is_known)?)));
    let asked: Vec<(&str, Server<'_>)> = servers.take(MOST).collect();
    if asked.is_empty() {
        return BTreeMap::new();
    }
    let Ok(scratch) = Scratch::new(layout, now, "versions") else { return BTreeMap::new() };
    let file = |number: usize| scratch.dir().join(number.to_string());
    std::thread::scope(|scope| {
        let answers: Vec<_> = asked
            .into_iter()
            .enumerate()
            .map(|(number, (url, server))| (url, scope.spawn(move || version(&server, &file(number)))))
            .collect();
        let known = answers.into_iter().filter_map(|(url, thread)| Some((url, thread.join().ok()?.ok()?)));
        known.map(|(url, version)| (url.to_owned(), version)).collect()
    })
}

/// Returns a digest that changes whenever the content of a source does. `file` is free for a copy.
fn version(server: &Server<'_>, file: &Path) -> Result<String> {
    let version = match server {
        Server::Git { repository, reference } => commits(repository, reference)?,
        Server::File(url) => {
            let head = head(url)?;
            match head.etag {
                // Two servers may give different files the same one. The time of a file is in
                // BuildKit's key, unless the builder still has the file.
                Some(etag) => format!("{url} {etag} {}", head.modified),
                None => format!("{} {}", head.modified, content(url, head.length, file)?),
            }
        }
    };
    Ok(format!("{:x}", Sha256::digest(version))[..20].to_owned())
}

/// Returns the commits of all branches and tags with this name. BuildKit takes one of them.
fn commits(repository: &str, reference: &str) -> Result<String> {
    let mut git = Command::new("git");
    // Settings of the project's own repository could start programs.
    git.current_dir("/").env_remove("GIT_DIR").env_remove("GIT_COMMON_DIR");
    git.env("GIT_TERMINAL_PROMPT", "0").env("GIT_ALLOW_PROTOCOL", "git:http:https");
    git.args(["-c", "credential.helper=", "-c", "core.askPass=true", "ls-remote", "--"]);
    git.args([repository, reference]);
    let commits = answer(git)?;
    ensure!(!commits.trim().is_empty(), "no branch or tag has this name");
    Ok(commits)
}

/// The validators of a file in an answer to HEAD.
#[derive(Debug, Default, PartialEq, Eq)]
struct Head {
    etag: Option<String>,
    modified: String,
    length: Option<u64>,
}

fn head(url: &str) -> Result<Head> {
    let mut curl = curl(url);
    curl.arg("--head");
    parse_head(&answer(curl)?).context("the server has no such file")
}

/// Reads the headers of the last answer, after redirections. Returns `None` unless its status is
/// 200.
fn parse_head(text: &str) -> Option<Head> {
    let mut found = None;
    for line in text.lines() {
        if line.starts_with("HTTP/") {
            found = (line.split_whitespace().nth(1) == Some("200")).then(Head::default);
        }
        let Some((head, (name, value))) = found.as_mut().zip(line.split_once(':')) else { continue };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "etag" => head.etag = (!value.is_empty()).then(|| value.to_owned()),
            "last-modified" => value.clone_into(&mut head.modified),
            "content-length" => head.length = value.parse().ok(),
            _ => {}
        }
    }
    found
}

/// Returns the digest of a small file's content.
fn content(url: &str, length: Option<u64>, file: &Path) -> Result<String> {
    ensure!(length.is_some_and(|length| length <= LARGEST), "the file is large and has no `ETag`");
    let mut curl = curl(url);
    curl.arg("--fail").arg("--max-filesize").arg(LARGEST.to_string()).arg("--output").arg(file);
    answer(curl)?;
    Ok(format!("{:x}", Sha256::digest(files::read(file)?)))
}

fn curl(url: &str) -> Command {
    let mut curl = Command::new("curl");
    // `--disable` has to be the first one: it ignores the user's own file of options.
    curl.args(["--disable", "--silent", "--location", "--globoff"]);
    curl.args(["--proto", "=http,https", "--proto-redir", "=http,https", "--url", url]);
    curl
}

fn answer(mut command: Command) -> Result<String> {
    command.env("LC_ALL", "C");
    let line = PathBuf::from(command.get_program()).display().to_string();
    let answer = query::start_process(command, line)?.answer(ANSWER_TIMEOUT)?;
    ensure!(answer.success, "the server did not answer");
    Ok(answer.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_answer_of_redirections_counts() {
        let text = "HTTP/1.1 302 Found\r\nETag: \"a\"\r\nLocation: /b\r\n\r\nHTTP/2 200 \r\netag: W/\"b\"\r\n\
            Content-Length: 12\r\nlast-modified: Thu, 01 Jan 2026 00:00:01 GMT\r\n\r\n";
        let expected = Head {
            etag: Some("W/\"b\"".into()),
            modified: "Thu, 01 Jan 2026 00:00:01 GMT".into(),
            length: Some(12),
        };
        assert_eq!(parse_head(text), Some(expected));
        for text in ["", "HTTP/1.1 404 Not Found\r\nETag: \"a\"\r\n\r\n", "ETag: \"a\"\r\n"] {
            assert_eq!(parse_head(text), None, "{text}");
        }
        assert_eq!(parse_head("HTTP/1.1 200 OK\r\nETag:\r\n\r\n"), Some(Head::default()));
    }
}
