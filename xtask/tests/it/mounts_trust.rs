//! Cache mounts that must not leave a project, and packs that must not leave their mount.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::common::second_daemon::SecondDaemon;
use crate::common::{COMPOSE, Project, files, forget_digest, unique};

/// Returns the directory of the only mount in a store.
fn saved(project: &Project) -> PathBuf {
    let mounts = fs::read_dir(project.store().join("mounts")).expect("mounts").flatten();
    let dirs: Vec<PathBuf> =
        mounts.map(|dir| dir.path()).filter(|dir| dir.join("entry.json").exists()).collect();
    assert_eq!(dirs.len(), 1, "{dirs:?}");
    dirs.into_iter().next().expect("one")
}

fn zstd(bytes: &[u8], dir: &Path) -> Vec<u8> {
    fs::write(dir.join("raw"), bytes).expect("written");
    let output = Command::new("zstd").arg("-qc").arg(dir.join("raw")).output().expect("zstd runs");
    assert!(output.status.success());
    output.stdout
}

/// Replaces the only mount of a store, as a foreign bundle or registry would.
fn replace(project: &Project, list: &[u8], packs: &[Vec<u8>], (files, bytes): (u64, u64)) {
    let dir = saved(project);
    let blob = |text: &[u8]| {
        let packed = zstd(text, &project.path(""));
        let digest = format!("{:x}", Sha256::digest(&packed));
        fs::write(dir.join("blobs/sha256").join(&digest), &packed).expect("written");
        serde_json::json!({"digest": digest, "size": packed.len()})
    };
    let entry = fs::read(dir.join("entry.json")).expect("read");
    let mut entry: Value = serde_json::from_slice(&entry).expect("JSON");
    forget_digest(&mut entry);
    entry["manifest"] = blob(list);
    entry["packs"] = packs.iter().map(|pack| blob(pack)).collect();
    (entry["files"], entry["bytes"]) = (files.into(), bytes.into());
    fs::write(dir.join("entry.json"), entry.to_string()).expect("written");
}

fn tar(files: &[(&str, tar::EntryType, &str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, kind, link, contents) in files {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(*kind);
        header.set_mode(0o4755);
        header.set_mtime(5);
        header.set_size(contents.len() as u64);
        header.set_path(path).expect("short");
        if !link.is_empty() {
            header.set_link_name(link).expect("short");
        }
        header.set_cksum();
        builder.append(&header, *contents).expect("appended");
    }
    builder.into_inner().expect("written")
}

/// Returns a project with a step that prints the content of its mount.
fn project(name: &str) -> Project {
    let salt = unique(name);
    let dockerfile = format!(
        "ARG BASE_IMAGE\nFROM ${{BASE_IMAGE}}\nARG EDIT\n\
         RUN --mount=type=cache,id={salt},target=/m sleep 2; find /m -printf '%y %m %s %p\\n' | sort >/list; \
         ls -l /usr/bin/perl >>/list; [ -e /m/own ] || echo own >/m/own\n"
    );
    let compose = COMPOSE.replace("durango-test/app", &format!("durango-test/{name}"));
    Project::new(&[("compose.yaml", &compose), ("Dockerfile", &dockerfile)])
}

fn build(project: &Project, edit: &str) -> Value {
    let (report, run) = project.build(&["app", "--build-arg", &format!("EDIT={edit}")]);
    run.succeeds();
    report
}

/// Builds on a machine that saves a mount, applies `change` to the store, then builds on another
/// machine.
fn restored(name: &str, change: impl Fn(&Project)) -> (Value, String) {
    let (home, project) = SecondDaemon::of(project(name));
    build(&project, "1");
    change(&project);
    let (away, project) = SecondDaemon::of(project);
    drop(home);
    let report = build(&project, "2");
    let image = format!("durango-test/{name}");
    let list = away.docker(&["run", "--rm", "--network=none", &image, "cat", "/list"]);
    (report, String::from_utf8_lossy(&list.stdout).into_owned())
}

#[test]
#[ignore = "needs an engine"]
fn a_pack_that_writes_through_its_own_link_is_refused() {
    let list = b"d 755 0 0 0 0 5 .\0l 777 0 0 8 0 5 ./s\0f 755 0 0 4 1 5 ./s/perl\0";
    let link = tar(&[("./s", tar::EntryType::Symlink, "/usr/bin", b"")]);
    let perl = tar(&[("./s/perl", tar::EntryType::Regular, "", b"evil")]);
    let (report, found) = restored("hostile-link", |project| {
        replace(project, list, &[link.clone(), perl.clone()], (3, 12));
    });
    assert_eq!(report["cache"]["mounts"][0]["restored"], false, "{report}");
    assert!(report["warnings"].to_string().contains("not restored"), "{report}");
    assert!(!found.contains("/m/s") && !found.contains(" 4 "), "{found}");
}

#[test]
#[ignore = "needs an engine"]
fn devices_and_setuid_programs_are_not_restored() {
    let list = b"d 755 0 0 0 0 5 .\0f 4755 0 0 4 1 5 ./program\0f 666 0 0 0 1 5 ./device\0";
    let pack = tar(&[
        ("./program", tar::EntryType::Regular, "", b"evil"),
        ("./device", tar::EntryType::Char, "", b""),
        ("./not-listed", tar::EntryType::Regular, "", b"evil"),
    ]);
    let (report, found) =
        restored("hostile-files", |project| replace(project, list, std::slice::from_ref(&pack), (3, 4)));
    assert_eq!(report["cache"]["mounts"][0]["restored"], true, "{report}");
    assert!(found.contains("f 755 4 /m/program\n"), "{found}");
    assert!(!found.contains("device") && !found.contains("not-listed"), "{found}");
}

#[test]
#[ignore = "needs an engine"]
fn a_bomb_is_refused_by_its_records_and_by_the_builders_room() {
    let zeros = |size: usize| tar(&[("./zeros", tar::EntryType::Regular, "", &vec![0; size])]);
    let list = |size: u64| format!("d 755 0 0 0 0 5 .\0f 755 0 0 {size} 1 5 ./zeros\0").into_bytes();
    let (report, _) = restored("bomb", |project| {
        replace(project, &list(1 << 20), &[zeros(1 << 20)], (2, 0));
    });
    assert_eq!(report["cache"]["mounts"][0]["restored"], false, "other sizes than recorded: {report}");
    let huge = 1 << 42;
    let (report, _) = restored("huge-bomb", |project| {
        replace(project, &list(huge), &[zeros(1 << 20)], (2, huge));
    });
    assert_eq!(report["cache"]["mounts"][0]["restored"], false, "{report}");
    assert!(report["warnings"].to_string().contains("the builder has"), "{report}");
}

/// Two projects with the same mount line on one builder: BuildKit gives both the same mount.
#[test]
#[ignore = "needs an engine"]
fn one_projects_mounts_are_in_no_bundle_of_another() {
    let target = unique("/shared");
    let project = |name: &str| {
        let dockerfile = format!(
            "ARG BASE_IMAGE\nFROM ${{BASE_IMAGE}}\n\
             RUN --mount=type=cache,target={target} sleep 2; echo secret-of-{name} >{target}/{name}; ls {target}\n"
        );
        let compose = COMPOSE.replace("durango-test/app", &format!("durango-test/leak-{name}"));
        Project::new(&[("compose.yaml", &compose), ("Dockerfile", &dockerfile)])
    };
    let (one, other) = (project("one"), project("other"));
    let (report, run) = one.build(&["app"]);
    run.succeeds();
    assert_eq!(report["cache"]["mounts"][0]["saved_bytes"].as_u64().map(|bytes| bytes > 0), Some(true));
    let (_, run) = other.build(&["app"]);
    run.succeeds();
    let holds = |dir: &Path| {
        files(dir).iter().any(|(path, _)| {
            let text = Command::new("zstd").arg("-dcqf").arg(path).output().expect("zstd runs").stdout;
            text.windows(13).any(|part| part == b"secret-of-one")
        })
    };
    assert!(holds(&other.store()), "the builder gives both the same mount");
    let export = |more: &[&str]| {
        let args = ["cache", "export", "--file", "compose.yaml", "--to", "bundle"];
        other.run(&[&args[..], more].concat()).succeeds();
        let found = holds(&other.path("bundle"));
        fs::remove_dir_all(other.path("bundle")).expect("it is a directory");
        found
    };
    fs::create_dir(other.path("bundle")).expect("made");
    assert!(!export(&["app"]), "a mount without an id stays");
    fs::create_dir(other.path("bundle")).expect("made");
    assert!(!export(&[]), "whatever is exported");
}
