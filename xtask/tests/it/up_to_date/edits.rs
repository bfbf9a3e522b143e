//! Edits that give a build something to do, and edits that do not.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use serde_json::Value;

use super::Idle;
use crate::common::{Project, base_of};

#[test]
#[ignore = "needs an engine"]
fn files_of_contexts_give_a_build_something_to_do() {
    let idle = Idle::new("files");
    let mode = |name: &str, mode: u32| {
        fs::set_permissions(idle.path(name), fs::Permissions::from_mode(mode)).expect("set");
    };
    let edits: [(&str, &dyn Fn()); 11] = [
        ("content", &|| idle.project.write("app/src/a.txt", "x\n")),
        ("content of the same size and time", &|| {
            let path = idle.path("app/src/a.txt");
            let time = fs::metadata(&path).and_then(|meta| meta.modified()).expect("a time");
            idle.project.write("app/src/a.txt", "y\n");
            fs::File::options()
                .append(true)
                .open(&path)
                .and_then(|file| file.set_modified(time))
                .expect("set");
        }),
        ("a mode", &|| mode("app/src/a.txt", 0o755)),
        ("a new file", &|| idle.project.write("app/src/new", "")),
        ("a file that is gone", &|| fs::remove_file(idle.path("app/src/new")).expect("removed")),
        ("a link in place of a file", &|| {
            fs::remove_file(idle.path("app/README")).expect("removed");
            symlink("src/a.txt", idle.path("app/README")).expect("linked");
        }),
        ("a name", &|| fs::rename(idle.path("extra/e.txt"), idle.path("extra/f.txt")).expect("renamed")),
        ("a named context", &|| idle.project.write("extra/f.txt", "f\n")),
        ("a target below", &|| idle.project.write("lower/l.txt", &format!("{} again\n", idle.name))),
        ("the ignore file", &|| idle.project.write("app/.dockerignore", "*.log\nREADME\n")),
        ("the Dockerfile's own ignore file", &|| {
            idle.project.write("app/Dockerfile.dockerignore", "*.log\n");
        }),
    ];
    for (what, edit) in edits {
        edit();
        idle.asks_after(what, &[]);
    }
    mode("app/src", 0o700);
    for when in ["at once", "later"] {
        let (report, run) = idle.project.build(&["app"]);
        run.succeeds();
        assert_eq!(report["bake_called"], true, "{when}: BuildKit may notice a directory's mode later");
    }
}

#[test]
#[ignore = "needs an engine"]
fn declarations_arguments_and_secrets_give_a_build_something_to_do() {
    let mut idle = Idle::new("words");
    let add = |name: &str, text: &str| {
        let before = fs::read_to_string(idle.path(name)).expect("a file");
        idle.project.write(name, &format!("{before}{text}"));
    };
    add("app/Dockerfile", "# a comment\n");
    idle.asks_after("a comment in the Dockerfile", &[]);
    add("compose.yaml", "# a comment\n");
    idle.asks_after("a comment in the declaration", &[]);
    idle.project.write(".env", "FROM_FILE=two\n");
    assert_eq!(idle.asks_after(".env", &[])["result"], "built");
    idle.asks_after("an argument", &["--build-arg", "FROM_ENV=typed"]);
    idle.asks_after("no argument again", &[]);
    idle.project.write("override.yaml", "services: {app: {build: {args: {FROM_FILE: three}}}}\n");
    idle.asks_after("a second file", &["--file", "override.yaml"]);
    idle.project.write("override.yaml", "services: {app: {build: {args: {FROM_FILE: four}}}}\n");
    idle.asks_after("its content", &["--file", "override.yaml"]);
    idle.asks_after("a label", &["--set", "app.labels.a=b"]);
    idle.asks_after("another name", &["--tag", &idle.image("app2")]);
    idle.asks_after("the first name", &[]);
    idle.project.write("token", "another\n");
    assert_eq!(idle.asks_after("a secret", &[])["result"], "cached", "BuildKit does not compare secrets");
    idle.project = idle.project.env("FROM_ENV", "set");
    assert_eq!(idle.asks_after("a variable", &[])["result"], "built");
    fs::remove_file(idle.path("token")).expect("removed");
    let (_, run) = idle.project.build(&["app"]);
    assert_ne!(run.code, 0, "bake refuses a build without its secret: {}", run.all());
}

#[test]
#[ignore = "needs an engine"]
fn images_that_are_gone_or_others_give_a_build_something_to_do() {
    let idle = Idle::new("images");
    let id = |name: &str| {
        let output = Command::new("docker")
            .args(["image", "inspect", "--format", "{{.Id}}", &idle.image(name)])
            .output()
            .expect("docker runs");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    let digest =
        |report: &Value, at: usize| report["targets"][at]["digest"].as_str().expect("one").to_owned();
    for name in ["app", "lower"] {
        idle.docker(&["image", "rm", "--force", &idle.image(name)]);
        let report = idle.asks_after(name, &[]);
        assert_eq!(id(name), digest(&report, usize::from(name == "lower")), "it is back");
    }
    idle.docker(&["tag", &idle.image("lower"), &idle.image("app")]);
    let report = idle.asks_after("a name that another image has", &[]);
    assert_eq!(id("app"), digest(&report, 0));
    idle.docker(&["tag", &idle.image("app"), &idle.base()]);
    let (_, run) = idle.project.build(&["app"]);
    run.fails(3, &[]);
    idle.docker(&["image", "rm", &idle.base()]);
    let base = {
        let project = Project::new(&[("compose.yaml", crate::common::COMPOSE)]);
        base_of(&project)
    };
    idle.docker(&["tag", &base, &idle.base()]);
    // A build that failed takes nothing from the one before it.
    idle.is_idle("the base image as it was", &[]);
}

#[test]
#[ignore = "needs an engine"]
fn what_changes_nothing_leaves_a_build_with_nothing_to_do() {
    let idle = Idle::new("nothing");
    let path = idle.path("app/src/a.txt");
    let time = std::time::SystemTime::UNIX_EPOCH;
    let edits: [(&str, &dyn Fn()); 6] = [
        ("a time", &|| {
            fs::File::options()
                .append(true)
                .open(&path)
                .and_then(|file| file.set_modified(time))
                .expect("set");
        }),
        ("the same content", &|| idle.project.write("app/src/a.txt", "a\n")),
        ("a copy in its place", &|| {
            fs::copy(&path, idle.path("copy")).expect("copied");
            fs::rename(idle.path("copy"), &path).expect("renamed");
        }),
        ("an ignored file", &|| idle.project.write("app/x.log", "x\n")),
        ("a file elsewhere", &|| idle.project.write("notes", "x\n")),
        ("a name that nobody reads", &|| idle.docker(&["tag", &idle.image("lower"), &idle.image("kept")])),
    ];
    idle.project.owns(&idle.image("kept"));
    for (what, edit) in edits {
        edit();
        idle.is_idle(what, &[]);
    }
}
