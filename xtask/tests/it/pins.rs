//! `pins` end to end: shown, and updated in a copy of the images by a real builder.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::common::Project;
use serde_json::Value;
use xtask::testing::project::pins;

#[test]
fn the_pins_are_shown() {
    let project = Project::new(&[]);
    let run = project.run(&["pins"]);
    run.succeeds();
    assert!(run.stdout.lines().any(|line| line.starts_with("PHP_VERSION ")), "{}", run.all());
    let json: Value = serde_json::from_str(&project.run(&["pins", "--json"]).stdout).expect("a document");
    assert_eq!(json["schema"], 1);
    assert!(json["pins"]["GO_VERSION"].is_string(), "{json}");
    project.run(&["pins", "--dry-run"]).fails(2, &["`--dry-run` is for `pins --update`"]);
}

/// Copies the images to a project's directory, so that xtask uses it as the workspace.
fn copy(project: &Project) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for room in ["builder", "docker"] {
        let status = Command::new("cp").arg("-a").arg(root.join(room)).arg(project.path("")).status();
        assert!(status.expect("cp runs").success());
    }
}

/// Returns the lines that are not pins.
fn comments(text: &str) -> Vec<&str> {
    text.lines().filter(|line| line.starts_with('#') || line.is_empty()).collect()
}

#[test]
#[ignore = "needs an engine"]
fn an_update_takes_the_newest_and_keeps_what_is_held() {
    let project = Project::new(&[]);
    copy(&project);
    let file = project.path("builder/pins.env");
    let pinned = pins::read(&file).expect("pins");
    let text = fs::read_to_string(&file).expect("pins");
    let old = text
        .replace(&format!("={}", pinned["PHP_IGBINARY_VERSION"]), "=0.1-1")
        .replace("PHP_APCU_VERSION=", "# hold: for the test\nPHP_APCU_VERSION=0-");
    fs::write(&file, &old).expect("written");

    let run = project.run(&["pins", "--update", "--dry-run", "--json"]);
    run.succeeds();
    let update: Value = serde_json::from_str(&run.stdout).expect("a document");
    let change = |name: &str| {
        update["changes"].as_array().expect("changes").iter().find(|change| change["name"] == name).cloned()
    };
    assert_eq!(change("PHP_IGBINARY_VERSION").expect("it moves")["from"], "0.1-1");
    assert_eq!(change("PHP_APCU_VERSION"), None, "it is held: {update}");
    assert_eq!(update["held"][0]["reason"], "for the test");
    assert_eq!(fs::read_to_string(&file).expect("pins"), old, "a dry run writes nothing");

    let run = project.run(&["pins", "--update"]);
    run.succeeds();
    assert!(run.stdout.contains("stays, held: for the test"), "{}", run.all());
    let new = fs::read_to_string(&file).expect("pins");
    assert_eq!(comments(&new), comments(&old));
    let after = pins::parse(&new).expect("pins");
    assert_ne!(after["PHP_IGBINARY_VERSION"], "0.1-1");
    let module = fs::read_to_string(project.path("builder/frankenphp/go.mod")).expect("a module");
    for (path, name) in [
        ("github.com/caddyserver/caddy/v2", "CADDY_VERSION"),
        ("github.com/dunglas/frankenphp/caddy", "FRANKENPHP_VERSION"),
    ] {
        assert!(module.contains(&format!("{path} {}\n", after[name])), "{path}: {module}");
    }
    assert!(!project.store().join("builds").exists(), "it is no build of an image");
}
