//! `setup` end to end, with temporary homes. A second run changes nothing, and undo is exact.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use crate::common::second_daemon::SecondDaemon;
use crate::common::{Project, Run, run_as_nobody, skip};
use serde_json::Value;

/// Content, mode, and link target of every file in the home and the daemon's directory, except
/// those in which buildx keeps its state.
type Snapshot = BTreeMap<String, (Vec<u8>, u32, String)>;

fn snapshot(project: &Project) -> Snapshot {
    let all = ["home", "etc"].map(|dir| walkdir::WalkDir::new(project.path(dir)).into_iter().flatten());
    let files = all.into_iter().flatten().filter(|entry| !entry.file_type().is_dir());
    let read = |path: &std::path::Path| {
        let link = fs::read_link(path).map_or(String::new(), |to| to.display().to_string());
        (fs::read(path).expect("read"), fs::metadata(path).expect("there").permissions().mode(), link)
    };
    let files = files.filter(|entry| !entry.path().display().to_string().contains("/.docker/buildx/"));
    files.map(|entry| (entry.path().display().to_string(), read(entry.path()))).collect()
}

/// Returns a home with these files. The daemon's configuration is `etc/daemon.json`.
fn home(files: &[(&str, &str)]) -> Project {
    let project = Project::new(files);
    let json = project.path("etc/daemon.json").display().to_string();
    project.env("DURANGO_DAEMON_JSON", &json).env("SHELL", "/bin/zsh")
}

#[track_caller]
fn run(project: &Project, args: &[&str]) -> Run {
    let run = project.run(&[&["setup"], args].concat());
    run.succeeds();
    run
}

fn read(project: &Project, name: &str) -> String {
    fs::read_to_string(project.path(name)).expect("a file")
}

#[test]
fn twice_is_once_and_undo_is_exact() {
    let daemon_files =
        ["", "{}", "{\"mtu\": 1400}", "{\r\n \"features\": {\"buildkit\": false}\r\n}\r\n", "\n"];
    for (text, daemon) in ["", "a\n", "no end", "dos\r\n", "dos\r\nno end"].into_iter().zip(daemon_files) {
        let project = home(&[
            ("home/.bashrc", text),
            ("home/.config/fish/config.fish", text),
            ("etc/daemon.json", daemon),
        ]);
        let mode = fs::Permissions::from_mode(0o600);
        fs::set_permissions(project.path("home/.bashrc"), mode).expect("changed");
        let before = snapshot(&project);
        run(&project, &[]);
        let once = snapshot(&project);
        assert_ne!(once, before);
        assert!(read(&project, "home/.bashrc").contains("\nexport DOCKER_BUILDKIT=1\n"));
        assert!(read(&project, "home/.config/fish/config.fish").contains("\nset -gx DOCKER_BUILDKIT 1\n"));
        let config: Value = serde_json::from_str(&read(&project, "etc/daemon.json")).expect("JSON");
        assert_eq!(config["features"]["buildkit"], true);
        assert_eq!(config["features"]["containerd-snapshotter"], true);
        assert!(run(&project, &[]).stdout.contains("nothing to change"));
        assert_eq!(snapshot(&project), once, "twice is once: {text:?}");
        run(&project, &["--undo"]);
        assert_eq!(snapshot(&project), before, "undone: {text:?} {daemon:?}");
        assert!(run(&project, &["--undo"]).stdout.contains("nothing to change"));
    }
}

#[test]
fn new_files_are_removed_by_undo() {
    let project = home(&[]);
    let before = snapshot(&project);
    let first = run(&project, &[]);
    assert!(first.stdout.contains("restart the daemon"), "{}", first.all());
    assert!(read(&project, "home/.zshrc").contains("DOCKER_BUILDKIT=1"), "the one that $SHELL reads");
    run(&project, &["--undo"]);
    assert_eq!(snapshot(&project), before);
}

#[test]
fn a_shell_that_reads_the_block_has_buildkit_on() {
    let project = home(&[("home/.profile", "X=1")]);
    run(&project, &[]);
    let line = format!(". {}; echo $X$DOCKER_BUILDKIT", project.path("home/.profile").display());
    let output = std::process::Command::new("sh").args(["-c", &line]).output().expect("sh runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "11\n");
}

#[test]
fn a_link_stays_a_link() {
    let project = home(&[("home/dotfiles/bash", "alias a=b")]);
    symlink("dotfiles/bash", project.path("home/.bashrc")).expect("linked");
    let before = snapshot(&project);
    run(&project, &[]);
    assert!(read(&project, "home/dotfiles/bash").contains("DOCKER_BUILDKIT"));
    assert!(project.path("home/.bashrc").is_symlink());
    run(&project, &["--undo"]);
    assert_eq!(snapshot(&project), before);
}

#[test]
fn later_changes_of_the_user_stay() {
    let project = home(&[("home/.bashrc", "a"), ("etc/daemon.json", "{\"mtu\": 1400}\n")]);
    run(&project, &[]);
    project.write("home/.bashrc", &format!("first\n{}last\n", read(&project, "home/.bashrc")));
    let config = read(&project, "etc/daemon.json").replace("1400", "1300");
    project.write("etc/daemon.json", &config);
    run(&project, &["--undo"]);
    assert_eq!(read(&project, "home/.bashrc"), "first\na\nlast\n");
    assert_eq!(read(&project, "etc/daemon.json"), "{\"mtu\": 1300}\n");
    assert_eq!(fs::read_dir(project.path("etc")).expect("a directory").count(), 1, "no other file is left");
}

#[test]
fn a_dry_run_shows_and_changes_nothing() {
    let project = home(&[("home/.bashrc", "export TOKEN=hidden\n")]);
    let before = snapshot(&project);
    let shown = run(&project, &["--dry-run"]);
    assert!(
        shown.stdout.contains("export DOCKER_BUILDKIT=1") && shown.stdout.contains("containerd-snapshotter")
    );
    assert_eq!(snapshot(&project), before);
    run(&project, &[]);
    let once = snapshot(&project);
    let shown = run(&project, &["--undo", "--dry-run"]);
    assert!(shown.stdout.contains(".bashrc") && !shown.stdout.contains("hidden"), "{}", shown.all());
    assert_eq!(snapshot(&project), once);
}

#[test]
fn an_unreadable_or_unwritable_file_stops_it_before_anything_is_changed() {
    let locked = home(&[("home/.bashrc", "a"), ("home/.zshrc", "b")]);
    fs::set_permissions(locked.path("home/.zshrc"), fs::Permissions::from_mode(0o444)).expect("changed");
    let broken = home(&[("home/.bashrc", "a"), ("etc/daemon.json", "{\"mtu\": }")]);
    let latin = home(&[("home/.bashrc", "a")]);
    fs::write(latin.path("home/.zshrc"), b"# caf\xe9\n").expect("written");
    let dangling = home(&[("home/.bashrc", "a")]);
    symlink("nowhere", dangling.path("home/.zshrc")).expect("linked");
    let cases = [
        (&locked, ".zshrc`: it is read-only"),
        (&broken, "daemon.json`: it is not JSON"),
        (&latin, "not UTF-8"),
    ];
    for (project, words) in cases {
        let before = snapshot(project);
        project.run(&["setup"]).fails(1, &[words, "error: failed to"]);
        assert_eq!(snapshot(project), before);
    }
    dangling.run(&["setup"]).fails(1, &["it is a dangling link"]);
    assert_eq!(read(&dangling, "home/.bashrc"), "a");
}

#[test]
fn the_document_names_what_was_changed() {
    let project = home(&[("home/.bashrc", "a")]);
    let document: Value = serde_json::from_str(&run(&project, &["--json"]).stdout).expect("JSON");
    assert_eq!(document["schema"], 1);
    let changed = document["changed"].as_array().expect("a list");
    assert!(changed.iter().any(|path| path.as_str().is_some_and(|path| path.ends_with("home/.bashrc"))));
    project.run(&["setup", "now"]).fails(2, &["does not take the argument `now`"]);
}

#[test]
fn a_daemon_that_needs_root_is_skipped_and_the_command_is_printed() {
    let project = home(&[("home/.bashrc", "a"), ("etc/daemon.json", "{}")]);
    fs::set_permissions(project.path("home/.bashrc"), fs::Permissions::from_mode(0o666)).expect("opened");
    let Some(run) = run_as_nobody(&project, &["setup"]) else { return skip("needs root") };
    run.succeeds();
    assert_eq!(read(&project, "etc/daemon.json"), "{}");
    let line = run.stdout.lines().find(|line| line.contains("; run: sudo env ")).expect("a command");
    assert!(line.contains("DURANGO_DAEMON_JSON=") && line.ends_with(" setup"), "{line}");
    assert!(read(&project, "home/.bashrc").contains("DOCKER_BUILDKIT=1"));
}

/// A daemon that keeps less build cache than the images need gets a larger limit, unless the user
/// has set one.
#[test]
#[ignore = "needs an engine"]
fn a_limit_that_is_too_small_is_raised_once_and_undone_exactly() {
    let small = r#"{"features": {"containerd-snapshotter": true}, "builder": {"gc": {"enabled": true, "defaultKeepStorage": "2GB"}}}"#;
    let daemon = SecondDaemon::start_with(small);
    for text in [
        "",
        "{\"mtu\": 1400}\n",
        "{\n  \"features\": {\"buildkit\": true, \"containerd-snapshotter\": true}\n}\n",
    ] {
        let project = home(&[("etc/daemon.json", text)]).env("DOCKER_HOST", &daemon.host());
        let before = snapshot(&project);
        let shown = run(&project, &["--dry-run"]);
        assert!(shown.stdout.contains("raising the limit of the build cache in "), "{}", shown.all());
        run(&project, &[]);
        let config: Value = serde_json::from_str(&read(&project, "etc/daemon.json")).expect("JSON");
        assert_eq!(
            config["builder"]["gc"]["policy"][0]["filter"][0], "type=regular",
            "layers go first: {config}"
        );
        assert!(run(&project, &[]).stdout.contains("nothing to change"));
        run(&project, &["--undo"]);
        assert_eq!(snapshot(&project), before, "{text:?}");
    }
    let project = home(&[("etc/daemon.json", small)]).env("DOCKER_HOST", &daemon.host());
    run(&project, &[]);
    let config: Value = serde_json::from_str(&read(&project, "etc/daemon.json")).expect("JSON");
    assert_eq!(config["builder"], serde_json::json!({"gc": {"enabled": true, "defaultKeepStorage": "2GB"}}));
    run(&project, &["--undo"]);
    assert_eq!(read(&project, "etc/daemon.json"), small);
}

/// The daemon accepts the written limit, and the doctor finds it large enough.
#[test]
#[ignore = "needs an engine"]
fn the_daemon_takes_the_limit() {
    let text = xtask::testing::engine::daemon_json::with(
        "",
        xtask::testing::engine::daemon_json::Settings { features: &[], limit: true },
    );
    let daemon = SecondDaemon::start_with(&text.expect("valid").expect("changed"));
    let project = home(&[]).env("DOCKER_HOST", &daemon.host());
    let document: Value = serde_json::from_str(&project.run(&["doctor", "--json"]).stdout).expect("JSON");
    let checks = document["checks"].as_array().expect("checks");
    let check = checks.iter().find(|check| check["name"] == "build cache").expect("a check");
    assert_eq!((&check["state"], &check["detail"]), (&"ok".into(), &"limit 42.9 GB".into()));
}
