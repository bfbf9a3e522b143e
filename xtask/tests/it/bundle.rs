//! Bundles between machines: one engine exports, another imports and builds without running a step.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;

use crate::common::second_daemon::SecondDaemon;
use crate::common::{COMPOSE, Project, cached, files, unique};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

fn project(name: &str) -> Project {
    let salt = unique("bundle");
    let dockerfile = format!(
        "ARG BASE_IMAGE\nFROM ${{BASE_IMAGE}} AS made\nRUN --mount=type=cache,id=durango-test-{name},target=/c echo '{salt}' | tee /c/kept >/made\n\
         RUN true\nRUN : nothing, too\nFROM ${{BASE_IMAGE}}\nCOPY --from=made /made /\n"
    );
    let compose = COMPOSE.replace("durango-test/app", &format!("durango-test/{name}"));
    Project::new(&[("compose.yaml", &compose), ("Dockerfile", &dockerfile)])
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| panic!("no JSON: {text}"))
}

#[test]
#[ignore = "needs an engine"]
fn a_bundle_makes_another_machine_as_warm_through_a_file_a_directory_and_a_pipe() {
    let project = project("bundle");
    let (report, run) = project.build(&["app"]);
    run.succeeds();
    assert_eq!(report["result"], "built", "{report}");
    let place = |name: &str| project.path(name).display().to_string();
    let export = |to: &str| {
        let run = project.run(&["cache", "export", "--json", "--to", to, "app", "--file", "compose.yaml"]);
        run.succeeds();
        parsed(&run.stdout)
    };
    let (tar, directory) = (place("bundle.tar"), place("bundle"));
    let exported = export(&tar);
    assert_eq!(exported["images"][0]["image"], "durango-test/bundle", "{exported}");
    assert_eq!(exported["mounts"][0]["id"], "durango-test-bundle", "{exported}");
    assert_eq!(exported["base"]["image"], "durango/debian:trixie", "{exported}");
    export(&directory);
    export(&directory);
    let piped = place("piped.tar");
    let mut command = project.command(&["cache", "export", "--to", "-", "app", "--file", "compose.yaml"]);
    let status = command.stdout(File::create(&piped).expect("a file")).status().expect("it runs");
    assert!(status.success());

    let second = SecondDaemon::start();
    let project = project.env("DOCKER_HOST", &second.host());
    for (name, from) in [("store-file", &tar), ("store-directory", &directory), ("store-pipe", &piped)] {
        let store = project.path(name).display().to_string();
        let by_pipe = name == "store-pipe";
        let mut command = project.command(&[
            "cache",
            "import",
            "--json",
            "--cache-dir",
            &store,
            "--from",
            if by_pipe { "-" } else { from },
        ]);
        if by_pipe {
            command.stdin(Stdio::from(File::open(from).expect("a file")));
        }
        let run = crate::common::Run::from(command.output().expect("it runs"));
        run.succeeds();
        let imported = parsed(&run.stdout);
        // The engine keeps the base image after the first import.
        assert_eq!(imported["loaded"], name == "store-file", "{imported}");
        assert_eq!(left_over(Path::new(&store)), 0);
        let prune = second.docker(&["buildx", "prune", "--all", "--force"]);
        assert!(prune.status.success(), "only what is imported can hit");
        let (report, run) = project.build(&["app", "--cache-dir", &store]);
        run.succeeds();
        assert_eq!(report["result"], "cached", "{name}: {}", run.all());
        assert!(cached(&report, "COPY --from=made"));
        // A second import skips existing entries.
        let again = project.run(&["cache", "import", "--json", "--cache-dir", &store, "--from", &tar]);
        again.succeeds();
        assert_eq!(parsed(&again.stdout)["kept"].as_array().map(Vec::len), Some(2), "{}", again.stdout);
    }
}

/// Counts the files in the store's scratch directory, without its own memos.
fn left_over(store: &Path) -> usize {
    files(&store.join("tmp")).iter().filter(|(path, _)| !path.starts_with(store.join("tmp/facts"))).count()
}

#[test]
fn wrong_arguments_fail_before_anything_is_done() {
    let project = Project::new(&[("foreign/file", "x"), ("foreign.tar", "not a tar"), ("empty.tar", "")]);
    let table: &[(&[&str], i32, &str)] = &[
        (&["export"], 2, "needs --to"),
        (&["import"], 2, "needs --from"),
        (&["export", "--to", "-", "--json"], 2, "both write to stdout"),
        (&["export", "--to", "foreign"], 1, "is not a bundle"),
        (&["export", "--to", "foreign.tar"], 1, "is not a bundle"),
        (&["import", "--from", "nowhere"], 2, "nowhere` not found"),
        (&["import", "--from", "foreign"], 1, "`bundle.json` is missing"),
        (&["import", "--from", "foreign.tar"], 1, "not a bundle"),
        (&["import", "--from", "empty.tar"], 1, "it is empty"),
        (&["import", "--from", "empty.tar", "x"], 2, "does not take the argument"),
    ];
    for (words, code, message) in table {
        let all: Vec<&str> = ["cache"].into_iter().chain(words.iter().copied()).collect();
        project.run(&all).fails(*code, &[message]);
    }
    assert_eq!(left_over(&project.store()), 0);
    assert!(!project.store().join("layers").exists() && !project.store().join("mounts").exists());
}

/// Writes a bundle whose description is `bundle`: compact JSON with its fields in order.
pub(crate) fn write_bundle(path: &Path, bundle: &str, blobs: &[&[u8]]) {
    let mut archive = tar::Builder::new(File::create(path).expect("a file"));
    let mut append = |name: &str, data: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_size(data.len() as u64);
        archive.append_data(&mut header, name, data).expect("appended");
    };
    let head = format!(r#"{{"format":1,"sha256":"{}","bundle":{bundle}}}"#, digest(bundle.as_bytes()));
    append("bundle.json", head.as_bytes());
    blobs.iter().for_each(|blob| append(&format!("blobs/sha256/{}", digest(blob)), blob));
}

pub(crate) fn digest(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

/// Returns a `docker save` archive whose files are inside a directory entry with a size. A reader
/// that skips the size sees none of them; Docker sees an image named `victim`.
fn hidden_image(victim: &str) -> Vec<u8> {
    let (config, layer) = (r#"{"rootfs": {"type": "layers", "diff_ids": []}}"#, "");
    let manifest =
        |name: &str| json!([{"Config": "config.json", "RepoTags": [name], "Layers": []}]).to_string();
    let mut hidden = tar::Builder::new(Vec::new());
    for (name, text) in [("config.json", config), ("layer.tar", layer), ("manifest.json", &manifest(victim))]
    {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_size(text.len() as u64);
        hidden.append_data(&mut header, name, text.as_bytes()).expect("appended");
    }
    let hidden = hidden.into_inner().expect("written");
    let mut outer = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Directory);
    header.set_size(hidden.len() as u64);
    outer.append_data(&mut header, "blobs/", hidden.as_slice()).expect("appended");
    let decoy = manifest("durango/debian:trixie");
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_size(decoy.len() as u64);
    outer.append_data(&mut header, "manifest.json", decoy.as_bytes()).expect("appended");
    outer.into_inner().expect("written")
}

#[test]
#[ignore = "needs an engine"]
fn a_bundle_cannot_replace_an_image_of_the_engine() {
    let second = SecondDaemon::start();
    let project = Project::new(&[]).env("DOCKER_HOST", &second.host());
    let platform =
        String::from_utf8(second.docker(&["version", "--format", "{{.Server.Os}}/{{.Server.Arch}}"]).stdout);
    let platform = platform.expect("text").trim().to_owned();
    let archive = hidden_image("victim/base:1");
    let blob = format!(r#"{{"digest":"{}","size":{}}}"#, digest(&archive), archive.len());
    let id = "0".repeat(64);
    let base = format!(r#"{{"image":"durango/debian:trixie","id":"sha256:{id}","blob":{blob}}}"#);
    let bundle = format!(
        r#"{{"platform":"{platform}","created":"2026-01-01T00:00:00Z","images":[],"mounts":[],"base":{base},"fresh":[],"files":[{blob}]}}"#
    );
    let path = project.path("hostile.tar");
    write_bundle(&path, &bundle, &[&archive]);
    let run = project.run(&["cache", "import", "--from", &path.display().to_string()]);
    run.fails(1, &["the entry `blobs/`, which `docker save` does not write"]);
    let images = second.docker(&["images", "--quiet"]);
    assert!(images.stdout.is_empty(), "{}", String::from_utf8_lossy(&images.stdout));
    assert!(files(&project.store().join("layers")).is_empty());
}

#[test]
#[ignore = "needs an engine"]
fn a_bundle_shows_nothing_that_a_terminal_acts_on() {
    let project = Project::new(&[]);
    let blob = |text: &str| format!(r#"{{"digest":"{}","size":{}}}"#, digest(text.as_bytes()), text.len());
    let (manifest, pack) = (blob("list"), blob("pack"));
    let mount = format!(
        r#"{{"format":1,"identity":{{"project":"","namespace":"","id":"x\u001b[2J\u001b]0;owned\u0007","from":null,"source":null,"uid":null,"gid":null,"mode":null}},"sharing":"shared","target":"/x","platform":"linux/amd64","saved":"2026-01-01T00:00:00Z","files":1,"bytes":1,"is_shared":false,"manifest":{manifest},"packs":[{pack}]}}"#
    );
    let bundle = format!(
        r#"{{"platform":"linux/amd64","created":"2026-01-01T00:00:00Z","images":[],"mounts":[{mount}],"base":null,"fresh":[],"files":[{manifest},{pack}]}}"#
    );
    let path = project.path("hostile.tar");
    write_bundle(&path, &bundle, &[b"list", b"pack"]);
    for more in [&["--dry-run"][..], &[]] {
        let mut args = vec!["cache", "import", "--from", path.to_str().expect("UTF-8")];
        args.extend(more);
        let run = project.run(&args);
        run.fails(1, &["a mount's id with control characters"]);
        assert!(!run.stdout.contains('\u{1b}') && !run.stderr.contains('\u{1b}'), "{}", run.all());
    }
}
