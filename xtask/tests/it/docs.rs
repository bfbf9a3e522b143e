//! README and docs: their links lead somewhere, and the table knows every `cargo xtask` line.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use xtask::cli::parse;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every page with its text.
fn pages() -> Vec<(PathBuf, String)> {
    let docs = walkdir::WalkDir::new(root().join("docs")).into_iter();
    let docs = docs.map(|entry| entry.expect("a readable page").into_path());
    let pages = docs.filter(|path| path.extension().is_some_and(|ext| ext == "md"));
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("a page");
        (path, text)
    };
    pages.chain([root().join("README.md")]).map(read).collect()
}

/// The heading's name in a link, as GitHub and GitLab make it.
fn anchor(heading: &str) -> String {
    let kept =
        heading.trim_start_matches('#').trim().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

#[test]
fn links_lead_somewhere() {
    for (page, text) in pages() {
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (file, part) = link.split_once('#').unwrap_or((link, ""));
            if file.contains("://") {
                continue;
            }
            let target =
                if file.is_empty() { page.clone() } else { page.parent().expect("a directory").join(file) };
            assert!(target.exists(), "{}: {link}", page.display());
            let has_part = || fs::read_to_string(&target).unwrap_or_default();
            let found = part.is_empty()
                || has_part().lines().any(|line| line.starts_with('#') && anchor(line) == part);
            assert!(found, "{}: no heading for {link}", page.display());
        }
    }
}

#[test]
fn every_example_is_a_known_command() {
    let mut seen = 0;
    for (page, text) in pages() {
        for block in text.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next()) {
            for line in block.replace("\\\n", " ").lines() {
                let words = shell_words::split(line)
                    .unwrap_or_else(|error| panic!("{}: {line}: {error}", page.display()));
                let Some(start) = words.windows(2).position(|pair| pair == ["cargo", "xtask"]) else {
                    continue;
                };
                let args = words[start + 2..].iter().map(OsString::from).collect();
                parse::command_line(args)
                    .unwrap_or_else(|error| panic!("{}: `{line}`: {error:#}", page.display()));
                seen += 1;
            }
        }
    }
    assert!(seen > 20, "only {seen} examples were found");
}
