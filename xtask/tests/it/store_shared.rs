//! One store with several builds, branches, projects, and users: what each of them finds and may
//! see.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::second_daemon::SecondDaemon;
use crate::common::{Project, Run, files, unique};

/// Returns a project with two steps. `salt` separates its steps from those of other tests.
fn project(name: &str, image: &str) -> Project {
    let salt = unique(name);
    let dockerfile = format!(
        "ARG BASE_IMAGE=debian:13-slim\nFROM ${{BASE_IMAGE}}\n# {salt}\nCOPY a.txt /a\nRUN cp /a /b; echo {salt}\n"
    );
    let project = Project::new(&[
        (
            "compose.yaml",
            &format!(
                "services:\n  app:\n{image}    build: {{context: ., args: {{BASE_IMAGE: debian:13-slim}}}}\n"
            ),
        ),
        ("Dockerfile", &dockerfile),
        ("a.txt", "main"),
        (".dockerignore", "home\nstore\ncompose.yaml\n"),
    ]);
    project.owns(&format!("durango-test/{name}"));
    project
}

fn image(name: &str) -> String {
    format!("    image: durango-test/{name}:${{TAG:-dev}}\n")
}

/// Returns the directories of results in a store.
fn results(project: &Project) -> Vec<PathBuf> {
    let all = files(&project.store().join("layers")).into_iter();
    all.filter(|(path, _)| path.ends_with("entry.json")).map(|(path, _)| path).collect()
}

/// Returns the files and directories in a store that the group or others may access.
fn exposed(project: &Project) -> Vec<PathBuf> {
    let all = walkdir::WalkDir::new(project.store()).into_iter().map(|entry| entry.expect("readable"));
    let is_exposed = |entry: &walkdir::DirEntry| {
        entry.metadata().expect("there").permissions().mode() & 0o077 != 0 && !entry.path_is_symlink()
    };
    all.filter(is_exposed).map(walkdir::DirEntry::into_path).collect()
}

#[test]
#[ignore = "needs an engine"]
fn branches_with_one_dockerfile_are_both_cached_on_a_fresh_builder() {
    let project = project("branches", &image("branches"));
    project.build(&["app"]).1.succeeds();
    project.write("a.txt", "branch");
    project.build(&["app"]).1.succeeds();
    assert_eq!(results(&project).len(), 2);
    let (_fresh, project) = SecondDaemon::of(project);
    for branch in ["branch", "main", "branch"] {
        project.write("a.txt", branch);
        let (report, run) = project.build(&["app"]);
        run.succeeds();
        assert_eq!(report["result"], "cached", "{branch}: {report}");
    }
    assert_eq!(results(&project).len(), 2, "what is there is not saved again");
}

/// BuildKit reads the content of a layer where a later step copies from it: damage ends that build.
#[test]
#[ignore = "needs an engine"]
fn a_damaged_blob_that_a_step_copies_from_costs_a_warning_and_its_steps() {
    let project = project("blob", &image("blob"));
    let dockerfile = fs::read_to_string(project.path("Dockerfile")).expect("written");
    let dockerfile = dockerfile.replace("}\n", "} AS build\n") + "FROM scratch\nCOPY --from=build /b /b\n";
    project.write("Dockerfile", &dockerfile);
    project.build(&["app"]).1.succeeds();
    let whole = project.path("whole");
    fs::rename(project.store(), &whole).expect("renamed");
    let (fresh, project) = SecondDaemon::of(project);
    let damages: [fn(&Path); 3] = [
        |blob| fs::remove_file(blob).expect("removed"),
        |blob| fs::write(blob, "").expect("written"),
        |blob| {
            let mut bytes = fs::read(blob).expect("read");
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(blob, bytes).expect("written");
        },
    ];
    for damage in damages {
        let _ = fs::remove_dir_all(project.store());
        assert!(
            Command::new("cp").args(["-a"]).args([&whole, &project.store()]).status().expect("cp").success()
        );
        // Every small layer of the stage that is copied from: not the base image's, nor any JSON.
        let blobs = files(&project.store().join("layers")).into_iter().map(|(path, _)| path);
        let blobs: Vec<PathBuf> = blobs
            .filter(|path| path.to_string_lossy().contains("/blobs/"))
            .filter(|path| fs::read(path).is_ok_and(|bytes| bytes.len() < 100_000 && bytes[0] != b'{'))
            .collect();
        assert!(blobs.len() >= 2, "{blobs:?}");
        blobs.iter().for_each(|blob| damage(blob));
        let _ = fresh.docker(&["image", "rm", "--force", "durango-test/blob:dev"]);
        assert!(fresh.docker(&["buildx", "prune", "--all", "--force"]).status.success());
        let (report, run) = project.build(&["app"]);
        run.succeeds();
        let warnings = report["warnings"].to_string();
        assert!(warnings.contains("layers/durango-test_blob"), "the damage is named: {report}");
        assert!(!files(&project.store().join("quarantine")).is_empty(), "{report}");
        let (report, run) = project.build(&["app"]);
        run.succeeds();
        assert_eq!(report["warnings"].as_array().map(Vec::len), Some(0), "it has healed: {report}");
    }
}

#[test]
#[ignore = "needs an engine"]
fn another_tag_finds_the_results_of_its_repository() {
    let project = project("tags", &image("tags")).env("TAG", "1");
    let (first, run) = project.build(&["app"]);
    run.succeeds();
    let (_fresh, project) = SecondDaemon::of(project.env("TAG", "2"));
    let (second, run) = project.build(&["app"]);
    run.succeeds();
    assert_eq!(second["result"], "cached", "{second}");
    assert_eq!(first["cache"]["key"], second["cache"]["key"]);
    assert_eq!(second["targets"][0]["image"], "durango-test/tags:2");
    assert!(project.store().join("layers/durango-test_tags").is_dir());
    assert_eq!(results(&project).len(), 1, "no commit is an image of its own");
}

#[test]
#[ignore = "needs an engine"]
fn projects_whose_services_have_one_name_share_nothing() {
    let one = project("unnamed", "");
    let other = project("unnamed", "").env("DURANGO_CACHE_DIR", &one.store().display().to_string());
    for project in [&one, &other] {
        project.build(&["app"]).1.succeeds();
    }
    let images: std::collections::BTreeSet<String> = results(&one)
        .iter()
        .map(|path| {
            let entry: Value = serde_json::from_slice(&fs::read(path).expect("read")).expect("JSON");
            entry["image"].as_str().expect("a name").to_owned()
        })
        .collect();
    assert_eq!(images.len(), 2, "{images:?}");
    assert!(images.iter().all(|image| image.ends_with("-app")), "{images:?}");
}

#[test]
#[ignore = "needs an engine"]
fn a_store_is_private_after_builds_of_every_kind() {
    let project = project("private", &image("private"));
    let umask = |args: &[&str]| {
        let inner = project.command(args);
        let mut command = Command::new("sh");
        command.args(["-c", "umask 022; exec \"$@\"", "sh"]).arg(inner.get_program()).args(inner.get_args());
        inner.get_envs().for_each(|(name, value)| {
            command.env(name, value.unwrap_or_default());
        });
        command.current_dir(project.path(""));
        Run::from(command.output().expect("sh runs"))
    };
    let build = ["build", "--file", "compose.yaml", "app"];
    umask(&build).succeeds();
    project.write(
        "Dockerfile",
        "ARG BASE_IMAGE=debian:13-slim\nFROM ${BASE_IMAGE}\nCOPY a.txt /a\nRUN --mount=type=cache,id=private,target=/c date >/c/x\n",
    );
    umask(&build).succeeds();
    umask(&[&build[..], &["--no-cache"]].concat()).succeeds();
    umask(&[&build[..], &["--fresh", "RUN --mount=type=cache,id=private,target=/c date >/c/x"]].concat())
        .succeeds();
    umask(&["cache", "export", "--to", "bundle.tar", "--file", "compose.yaml"]).succeeds();
    assert_eq!(exposed(&project), Vec::<PathBuf>::new());
    let bundle = fs::metadata(project.path("bundle.tar")).expect("there").permissions().mode();
    assert_eq!(bundle & 0o777, 0o600, "{bundle:o}");
    // The next build closes an older store as well.
    fs::set_permissions(project.store(), fs::Permissions::from_mode(0o755)).expect("set");
    umask(&["cache", "import", "--from", "bundle.tar"]).succeeds();
    umask(&build).succeeds();
    assert_eq!(exposed(&project), Vec::<PathBuf>::new());
}

/// The engine fails all but one of the builds that give a new image its name at the same time. They
/// do if they wait for the same step.
#[test]
#[ignore = "needs an engine"]
fn builds_at_once_give_one_image_its_name() {
    let project = project("name", &image("name"));
    let dockerfile = fs::read_to_string(project.path("Dockerfile")).expect("written");
    project.write("Dockerfile", &dockerfile.replace("RUN cp", "RUN sleep 3; cp"));
    for round in 0..3 {
        project.write("a.txt", &format!("{round}"));
        let build = |_| {
            let mut command = project.command(&["build", "--file", "compose.yaml", "app"]);
            command.env("TAG", format!("round-{round}"));
            command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary runs")
        };
        let builds: Vec<Child> = (0..4).map(build).collect();
        for build in builds {
            let output = build.wait_with_output().expect("it ends");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

#[test]
#[ignore = "needs an engine"]
fn a_long_build_makes_no_other_build_fail() {
    let long = project("long", &image("long"));
    long.write(
        "Dockerfile",
        "ARG BASE_IMAGE=debian:13-slim\nFROM ${BASE_IMAGE}\nCOPY a.txt /a\nRUN sleep 600\n",
    );
    let mut child = long
        .command(&["build", "--file", "compose.yaml", "app"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary runs");
    let begun = Instant::now();
    let runs = || {
        let all = files(&long.store().join("builds")).into_iter();
        let mut logs = all.filter(|(path, _)| path.ends_with("build.log"));
        logs.any(|(path, _)| fs::read_to_string(path).is_ok_and(|text| text.contains("RUN sleep 600")))
    };
    while !runs() {
        assert!(begun.elapsed() < Duration::from_secs(120), "the step does not begin");
        std::thread::sleep(Duration::from_millis(50));
    }
    let other =
        project("other", &image("other")).env("DURANGO_CACHE_DIR", &long.store().display().to_string());
    let (report, run) = other.build(&["app"]);
    run.succeeds();
    assert_eq!(report["cache"]["saved"], report["cache"]["key"], "{report}");
    assert_eq!(report["warnings"].as_array().map(Vec::len), Some(0), "{report}");
    for args in [
        &["cache", "export", "--to", "b.tar", "--file", "compose.yaml"][..],
        &["cache", "import", "--from", "b.tar"],
        &["cache", "gc"],
        &["history", "rm", "latest", "--yes"],
        &["cache", "verify"],
        &["cache", "clear", "layers", "mounts", "builds", "quarantine", "--yes"],
    ] {
        other.run(args).succeeds();
    }
    assert!(child.try_wait().expect("asked").is_none(), "the long build runs on");
    let builds = fs::read_dir(long.store().join("builds")).expect("read").count();
    assert_eq!(builds, 1, "the record of the long build stays");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("sent");
    child.wait().expect("it ends");
}

#[test]
#[ignore = "needs an engine"]
fn a_file_system_without_locks_costs_one_warning() {
    let project = project("nolocks", &image("nolocks"));
    project.build(&["app"]).1.succeeds();
    let before = files(&project.store().join("layers"));
    for error in ["ENOLCK", "EOPNOTSUPP", "ENOSYS", "EBADF"] {
        let inner = project.command(&["build", "--json", "--file", "compose.yaml", "app"]);
        let mut command = Command::new("strace");
        command.args(["-qq", "-o", "/dev/null", "-e", "trace=flock", "-e"]);
        command.arg(format!("inject=flock:error={error}")).arg(inner.get_program()).args(inner.get_args());
        inner.get_envs().for_each(|(name, value)| {
            command.env(name, value.unwrap_or_default());
        });
        let run = Run::from(command.current_dir(project.path("")).output().expect("strace is installed"));
        run.succeeds();
        let report: Value = serde_json::from_str(&run.stdout).expect("one document");
        let warnings = report["warnings"].as_array().expect("a list");
        assert_eq!(warnings.len(), 1, "{error}: {report}");
        assert!(
            warnings[0].as_str().is_some_and(|text| text.contains("does not support file locks")),
            "{report}"
        );
        assert_eq!(report["result"], "cached", "{error}: what is there is read: {report}");
        assert_eq!(report["cache"]["read"].as_array().map(Vec::len), Some(1), "{report}");
    }
    assert_eq!(files(&project.store().join("layers")), before);
}
