//! The text of the tree: line lengths, retired words, the hosts that it names.

use std::fs;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

/// Columns of a comment or a line of Markdown.
const COLUMNS: usize = 100;

/// Words that have a better one, and that one.
const RETIRED: &[(&str, &str)] = &[
    ("beside", "next to, during"),
    ("folder", "directory"),
    ("folders", "directories"),
    ("foresee", "forecast"),
    ("foreseen", "forecast"),
    ("foresees", "forecasts"),
    ("lent", "passed"),
    ("mend", "fix"),
    ("mended", "fixed"),
    ("mends", "fixes"),
    ("told", "reported"),
    ("upon", "on, based on"),
    ("veil", "redact"),
    ("veiled", "redacted"),
    ("veils", "redacts"),
    ("whoever", "the user, the caller"),
];

/// Phrases that have a better one, and that one.
const PHRASES: &[(&str, &str)] =
    &[("once more", "again"), ("parted by", "separated by"), ("of no account", "not used")];

/// Words that begin a comment in place of a noun or a verb.
const OPENINGS: &[&str] = &["It", "Of", "That", "What", "Where", "Which", "Who"];

/// Hosts whose addresses may be in the tree: those of tools, and of documents about them. A
/// registry or a mirror is the machine's choice.
const HOSTS: &[&str] = &[
    "caddyserver.com",
    "docs.docker.com",
    "frankenphp.dev",
    "github.com",
    "hooks.slack.com",
    "keepachangelog.com",
    "localhost",
    "rustup.rs",
    "semver.org",
    "www.w3.org",
];

/// This module names the words.
const SELF: &[&str] = &["xtask/tests/it/text.rs"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the workspace")
}

/// Every text file of the tree by its path from the root, with its text.
fn files() -> Vec<(String, String)> {
    const OUTSIDE: &[&str] = &["target", ".git", ".durango-cache"];
    const FOREIGN: &[&str] = &["Cargo.lock", "go.sum", "LICENSE-APACHE", "LICENSE-MIT"];
    let root = root();
    let is_ours = |name: &str| !OUTSIDE.contains(&name) && !FOREIGN.contains(&name);
    let walk = WalkDir::new(&root).sort_by_file_name().into_iter();
    walk.filter_entry(|entry| entry.file_name().to_str().is_some_and(is_ours))
        .map(|entry| entry.expect("a readable tree"))
        .filter(|entry| entry.file_type().is_file())
        .filter_map(|entry| {
            let path = entry.path().strip_prefix(&root).ok()?.to_str()?.to_owned();
            Some((path, fs::read_to_string(entry.path()).ok()?))
        })
        .collect()
}

/// How a file's comments begin; Markdown is text as a whole.
fn comment(path: &str) -> Option<&'static str> {
    let name = path.rsplit('/').next().unwrap_or(path);
    match name.rsplit_once('.').map(|(_, ext)| ext) {
        Some("md") => Some(""),
        Some("rs" | "go" | "php" | "js") => Some("//"),
        Some("json" | "txt" | "html" | "svg") => None,
        _ => Some("#"),
    }
}

/// Lines that are too long: comments, and Markdown outside of tables.
fn long_lines(path: &str, text: &str) -> Vec<String> {
    let Some(start) = comment(path) else { return Vec::new() };
    let is_text = |line: &str| line.starts_with(start) && !(start.is_empty() && line.starts_with('|'));
    let is_long = |line: &str| line.chars().count() > COLUMNS && is_text(line.trim_start());
    let lines = text.lines().enumerate().filter(|(_, line)| is_long(line));
    lines.map(|(at, line)| format!("{path}:{}: {} columns", at + 1, line.chars().count())).collect()
}

/// Comments of Rust that begin with one of [`OPENINGS`].
fn openings(path: &str, text: &str) -> Vec<String> {
    let comment = |line: &str| {
        let text = line.trim_start().strip_prefix("//")?;
        Some(text.trim_start_matches(['/', '!']).trim().to_owned())
    };
    let (mut found, mut is_first) = (Vec::new(), true);
    for (at, line) in text.lines().enumerate().filter(|_| path.ends_with(".rs")) {
        let text = comment(line);
        let word = text.as_deref().and_then(|text| text.split_whitespace().next()).unwrap_or_default();
        if is_first && OPENINGS.contains(&word) {
            found.push(format!("{path}:{}: `{word}`: begin with a verb or a noun", at + 1));
        }
        is_first = text.is_none_or(|text| text.is_empty());
    }
    found
}

/// The words of a line, those of names too: `told_of` and `isTold` have `told`.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for c in line.chars() {
        let starts = !c.is_alphabetic() || (c.is_uppercase() && was_lower);
        if starts {
            words.push(String::new());
        }
        if let (true, Some(word)) = (c.is_alphabetic(), words.last_mut()) {
            word.extend(c.to_lowercase());
        }
        was_lower = c.is_lowercase();
    }
    words.retain(|word| !word.is_empty());
    words
}

fn retired_words(path: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let words = words(line);
        let joined = words.join(" ");
        let single = RETIRED.iter().filter(|(word, _)| words.iter().any(|found| found == word));
        let phrases =
            PHRASES.iter().filter(|(phrase, _)| format!(" {joined} ").contains(&format!(" {phrase} ")));
        found.extend(
            single.chain(phrases).map(|(word, better)| format!("{path}:{}: `{word}`: say {better}", at + 1)),
        );
    }
    found
}

/// Hosts of addresses that are neither known nor reserved for examples.
fn foreign_hosts(path: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, rest) in text.match_indices("://").map(|(at, found)| (at, &text[at + found.len()..])) {
        if !text[..at].ends_with("http") && !text[..at].ends_with("https") {
            continue;
        }
        let is_end = |c: char| !(c.is_ascii_alphanumeric() || ".-@:*".contains(c));
        let authority = rest.split(is_end).next().unwrap_or_default();
        let host = authority.rsplit('@').next().unwrap_or_default();
        let host = host.split(':').next().unwrap_or_default().trim_end_matches('.');
        let reserved = ["test", "example", "example.com"];
        let is_reserved = reserved.iter().any(|end| host == *end || host.ends_with(&format!(".{end}")));
        let is_name = host.contains('.') && host.contains(|c: char| c.is_ascii_alphabetic());
        if is_name && !is_reserved && !HOSTS.contains(&host) {
            let line = text[..at].matches('\n').count() + 1;
            found.push(format!("{path}:{line}: {host}"));
        }
    }
    found
}

#[test]
fn text_keeps_to_the_style() {
    let files = files();
    let ours = files.iter().filter(|(path, _)| !SELF.contains(&path.as_str()));
    let problems = |(path, text): &(String, String)| {
        [long_lines(path, text), retired_words(path, text), openings(path, text)].concat()
    };
    let found: Vec<String> = ours.flat_map(problems).collect();
    assert!(found.is_empty(), "{} places:\n{}", found.len(), found.join("\n"));
}

#[test]
fn no_host_of_a_registry_or_mirror_is_named() {
    let files = files();
    let ours = files.iter().filter(|(path, _)| !SELF.contains(&path.as_str()));
    let found: Vec<String> = ours.flat_map(|(path, text)| foreign_hosts(path, text)).collect();
    assert!(found.is_empty(), "add a host of a tool or document to HOSTS:\n{}", found.join("\n"));
}

#[test]
fn a_comment_that_begins_without_a_noun_is_found() {
    let count = |path: &str, text: &str| openings(path, text).len();
    for (text, expected) in [
        ("/// What it is.\nfn a() {}", 1),
        ("    // Of these, one.", 1),
        ("//! Names.\n//!\n//! Where they are.", 1),
        ("/// Names files\n/// What follows continues the sentence.", 0),
        ("/// Whatever it is.", 0),
        ("let what = 1; // the rest", 0),
    ] {
        assert_eq!(count("a.rs", text), expected, "{text}");
        assert_eq!(count("a.md", text), 0);
    }
}

#[test]
fn long_comments_are_found_and_long_code_is_not() {
    let long = "x".repeat(COLUMNS);
    let count = |path: &str, line: &str| long_lines(path, line).len();
    for (path, line) in [
        ("a.rs", format!("    /// {long}")),
        ("a.md", format!("{long} ")),
        ("a.yml", format!("  # {long}")),
        ("Dockerfile", format!("#{long}")),
    ] {
        assert_eq!(count(path, &line), 1, "{path}: {line}");
    }
    for (path, line) in
        [("a.rs", format!("let a = \"{long}\";")), ("a.md", format!("| {long} |")), ("a.md", long)]
    {
        assert_eq!(count(path, &line), 0, "{path}: {line}");
    }
    assert_eq!(count("a.md", &"ä".repeat(COLUMNS)), 0, "columns, not bytes");
}

#[test]
fn retired_words_are_found_in_text_and_names() {
    let found = |line: &str| retired_words("a.rs", line).len();
    for line in
        ["It is told here.", "fn is_told()", "struct BuildsUpon;", "Once\tmore", "a Folder", "(beside)"]
    {
        assert_eq!(found(line), 1, "{line}");
    }
    for line in ["retold", "besides", "amend", "silent", "placeholder", "more than once"] {
        assert_eq!(found(line), 0, "{line}");
    }
}

#[test]
fn hosts_are_found_by_their_addresses() {
    let found = |text: &str| foreign_hosts("a.rs", text);
    assert_eq!(found("x\n\"http://mirror.debian.net/debian\""), ["a.rs:2: mirror.debian.net"]);
    assert_eq!(found("https://me:word@proxy.golang.dev,direct"), ["a.rs:1: proxy.golang.dev"]);
    for text in [
        "http://m.test/debian",
        "https://github.com/x",
        "http://localhost:80",
        "http://127.0.0.1:1",
        "https://x",
    ] {
        assert_eq!(found(text), [""; 0], "{text}");
    }
}
