//! `docs/reference/json.md` names every field of the documents that `--json` prints.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use super::root;
use crate::common::{Project, unique};

/// The part of the page about this command: its row, or the section with this title.
fn part<'a>(page: &'a str, name: &str) -> &'a str {
    let row = page.lines().find(|line| {
        let names = line.strip_prefix("| ").and_then(|line| line.split_once(" | "));
        names.is_some_and(|(names, _)| names.split(", ").any(|one| one == format!("`{name}`")))
    });
    row.unwrap_or_else(|| {
        let section =
            page.split_once(&format!("## {name}\n")).unwrap_or_else(|| panic!("no part `{name}`")).1;
        section.split("\n## ").next().unwrap_or_default()
    })
}

/// The names of the fields of a document, and of the objects in its lists.
fn fields(value: &Value) -> BTreeSet<&str> {
    match value {
        Value::Object(map) => map
            .iter()
            .flat_map(|(name, value)| {
                // The names of pins are data, and the page describes actions for all commands.
                let is_leaf = name == "pins" || name == "action";
                let inner = if is_leaf { BTreeSet::new() } else { fields(value) };
                inner.into_iter().chain([name.as_str()])
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(fields).collect(),
        _ => BTreeSet::new(),
    }
}

/// Runs each command and compares its document with the part of the page.
fn check(project: &Project, commands: &[(&str, &[&str])]) {
    let page = fs::read_to_string(root().join("docs/reference/json.md")).expect("the page");
    for (name, args) in commands {
        let run = project.run(&[args, &["--json"][..]].concat());
        let document: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{}", run.all()));
        assert_eq!(document["schema"], 1, "{name}");
        let part = part(&page, name);
        let words: BTreeSet<&str> = part.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
        let is_named = |field: &&str| words.contains(field) || *field == "schema";
        let missing: Vec<&str> = fields(&document).into_iter().filter(|field| !is_named(field)).collect();
        assert!(missing.is_empty(), "docs/reference/json.md, `{name}` lacks {missing:?}\n{document}");
    }
}

#[test]
fn the_documents_of_commands_without_an_engine_are_described() {
    let project = Project::new(&[("compose.yaml", "services: {}\n")]);
    check(
        &project,
        &[
            ("history", &["history"]),
            ("history rm", &["history", "rm", "--all", "--dry-run"]),
            ("cache ls", &["cache", "ls"]),
            ("cache du", &["cache", "du"]),
            ("cache verify", &["cache", "verify", "--dry-run"]),
            ("cache gc", &["cache", "gc", "--dry-run"]),
            ("cache clear", &["cache", "clear", "layers", "--dry-run"]),
            ("setup", &["setup", "--dry-run"]),
            ("doctor", &["doctor"]),
            ("pins", &["pins"]),
            ("An error", &["bild"]),
        ],
    );
}

#[test]
#[ignore = "needs an engine"]
fn the_documents_of_builds_are_described() {
    let mount = unique("documents");
    let dockerfile = format!(
        "ARG BASE_IMAGE\nFROM $BASE_IMAGE\nRUN --mount=type=cache,id={mount},target=/c echo {mount} > /c/x\n\
         COPY page /page\nRUN echo {mount}-2\n"
    );
    let image = format!("durango-test/{mount}");
    let compose = format!(
        "name: {mount}\nservices:\n  app:\n    image: {image}\n    build:\n      context: .\n      \
         args:\n        BASE_IMAGE: debian:13-slim\n"
    );
    let project = Project::new(&[("Dockerfile", &dockerfile), ("compose.yaml", &compose), ("page", "1")]);
    let build = ["build", "app", "--file", "compose.yaml"];
    project.owns(&image);
    check(&project, &[("A build", &build)]);
    project.write("page", "2");
    let plan = [&["plan"][..], &build[1..]].concat();
    let planned = project.run(&[&plan[..], &["--json"]].concat());
    let planned: Value =
        serde_json::from_str(&planned.stdout).unwrap_or_else(|_| panic!("{}", planned.all()));
    for field in ["steps", "expected", "forecast", "state", "seconds", "low", "high"] {
        assert!(fields(&planned).contains(field), "{field}: {planned}");
    }
    let bundle = project.path("bundle.tar");
    let bundle = bundle.to_str().expect("a text");
    check(
        &project,
        &[
            ("A build", &build),
            ("explain", &["explain"]),
            ("history", &["history"]),
            ("cache ls", &["cache", "ls"]),
            ("cache du", &["cache", "du"]),
            ("cache key", &["cache", "key", "app", "--file", "compose.yaml"]),
            ("cache export", &["cache", "export", "--to", bundle]),
            ("cache import", &["cache", "import", "--from", bundle, "--dry-run"]),
            ("cache clear", &["cache", "clear", "mounts", "--dry-run"]),
            ("history rm", &["history", "rm", "latest", "--dry-run"]),
            ("outdated", &["outdated", &image]),
            ("builder status", &["builder", "status", "durango-documents-none"]),
            ("doctor", &["doctor"]),
        ],
    );
    // A failed build has a field more.
    project.write("Dockerfile", &dockerfile.replace("RUN echo", "RUN exit 7 #"));
    check(&project, &[("A build", &build)]);
}
