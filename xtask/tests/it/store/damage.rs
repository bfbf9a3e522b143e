//! Stores that are damaged, unreadable, read-only or have foreign files.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use super::{built, by_hand, json};
use crate::common::{Run, files, run_as_nobody, skip};

#[test]
fn a_damaged_entry_is_quarantined_with_its_reason() {
    let (project, dir) = by_hand();
    let sound = project.run(&["cache", "verify", "--json"]);
    assert_eq!((sound.code, json(&sound)["checked"].as_u64()), (0, Some(1)), "{}", sound.all());
    let blob =
        files(&dir.join("blobs")).into_iter().find(|(_, size)| *size == 2).expect("the configuration").0;
    fs::write(&blob, "[]").expect("same size, other bytes");
    let looked = project.run(&["cache", "verify", "--dry-run"]);
    assert!(looked.code == 1 && looked.stdout.contains("has the digest"), "{}", looked.all());
    assert!(dir.exists(), "a dry run moves nothing");
    let run = project.run(&["cache", "verify", "--json"]);
    assert_eq!(run.code, 1, "{}", run.all());
    let aside = PathBuf::from(json(&run)["quarantine"][0].as_str().expect("a directory"));
    let reason = fs::read_to_string(aside.join("reason")).expect("a reason");
    assert!(reason.contains("has the digest") && aside.join("content/index.json").exists(), "{reason}");
    assert!(!dir.exists());
    project.run(&["cache", "verify"]).succeeds();
}

#[test]
#[ignore = "needs an engine"]
fn damage_that_a_build_finds_is_quarantined() {
    let project = built("aside");
    project.build(&["app"]).1.succeeds();
    let layers = files(&project.store().join("layers"));
    let (index, _) = layers.iter().find(|(path, _)| path.ends_with("index.json")).expect("an index");
    fs::write(index, "{").expect("torn");
    let (report, run) = project.build(&["app"]);
    run.succeeds();
    assert!(report["warnings"].to_string().contains("moved to the quarantine"), "{report}");
    assert_eq!(report["cache"]["saved"], report["cache"]["key"], "{report}");
    let aside = files(&project.store().join("quarantine"));
    assert!(aside.iter().any(|(path, _)| path.ends_with("reason")), "{aside:?}");
    project.run(&["cache", "verify"]).succeeds();
}

#[test]
#[ignore = "needs an engine"]
fn a_build_succeeds_if_its_store_is_not_writable() {
    let project = built("readonly");
    fs::write(project.path("store"), "a file").expect("written");
    let (report, run) = project.build(&["app"]);
    run.succeeds();
    assert_eq!(report["result"], "built");
    assert!(report["warnings"].to_string().contains("is not writable"), "{report}");
    assert_eq!(fs::read_to_string(project.path("store")).expect("there"), "a file");
    // A read-only file system, if the machine lets a test mount one. The generation in it is read.
    fs::remove_file(project.path("store")).expect("removed");
    project.build(&["app"]).1.succeeds();
    let before = files(&project.store());
    let mount = "mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\" && shift && exec \"$@\"";
    let inner = project.command(&["build", "--json", "--file", "compose.yaml", "app"]);
    let mut command = std::process::Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", mount, "sh"])
        .arg(project.store())
        .arg(inner.get_program())
        .args(inner.get_args());
    inner.get_envs().for_each(|(name, value)| {
        command.env(name, value.unwrap_or_default());
    });
    command.current_dir(project.path(""));
    drop(inner);
    let run = Run::from(command.output().expect("unshare runs"));
    if run.stderr.contains("unshare failed") || run.stderr.contains("permission denied") {
        return skip("may not mount");
    }
    run.succeeds();
    let report = json(&run);
    assert_eq!(
        (report["result"].as_str(), report["cache"]["read"].as_array().map(Vec::len)),
        (Some("cached"), Some(1))
    );
    assert!(report["warnings"].to_string().contains("is not writable"), "{report}");
    assert_eq!(files(&project.store()), before);
}

#[test]
fn an_inaccessible_store_is_not_damaged() {
    let (project, dir) = by_hand();
    fs::set_permissions(project.store(), fs::Permissions::from_mode(0o755)).expect("set");
    let project =
        project.env("DURANGO_CACHE_DIR", &dir.ancestors().nth(4).expect("the store").display().to_string());
    let args = ["cache", "gc", "--budget", "1"];
    let Some(run) = run_as_nobody(&project, &args) else { return skip("needs root") };
    run.fails(1, &["failed to open"]);
    assert!(dir.exists());
}

#[test]
fn a_file_that_may_not_be_read_is_reported_as_not_checked() {
    let (project, dir) = by_hand();
    let store = dir.ancestors().nth(4).expect("the store").to_path_buf();
    for entry in walkdir::WalkDir::new(&store).into_iter().map(|entry| entry.expect("listed")) {
        let mode = if entry.file_name() == "entry.json" { 0 } else { 0o755 };
        fs::set_permissions(entry.path(), fs::Permissions::from_mode(mode)).expect("set");
    }
    let project = project.env("DURANGO_CACHE_DIR", &store.display().to_string());
    let Some(run) = run_as_nobody(&project, &["cache", "verify"]) else { return skip("needs root") };
    assert_eq!(run.code, 1, "{}", run.all());
    assert!(run.stdout.contains(&format!("not checked: `{}`", dir.display())), "{}", run.all());
    assert!(run.stdout.contains("1 verified, 0 B sound: 1 not checked"), "{}", run.all());
}

#[test]
fn a_named_pipe_in_place_of_a_file_of_the_store_hangs_no_command() {
    let names = {
        let (project, _) = by_hand();
        let store = project.store();
        let names =
            files(&store).into_iter().map(|(path, _)| path.strip_prefix(&store).expect("below").into());
        names.collect::<Vec<PathBuf>>()
    };
    assert!(names.len() > 6, "{names:?}");
    for name in names {
        let (project, _) = by_hand();
        let path = project.store().join(&name);
        fs::remove_file(&path).expect("removed");
        assert!(Command::new("mkfifo").arg(&path).status().expect("mkfifo runs").success());
        for args in [&["history"][..], &["cache", "ls"], &["cache", "verify"], &["cache", "gc"]] {
            let mut command = Command::new("timeout");
            let program = project.command(args);
            command.arg("100").arg(program.get_program()).args(program.get_args()).env_clear();
            let envs = program.get_envs().filter_map(|(name, value)| Some((name, value?)));
            command.envs(envs).current_dir(project.path(""));
            let code = command.output().expect("it runs").status.code();
            assert!(matches!(code, Some(0 | 1)), "{args:?} with `{}`: {code:?}", name.display());
        }
    }
}
