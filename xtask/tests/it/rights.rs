//! The permissions of a foreign bake file, and how the user grants more.

use std::fs;

use xtask::testing::engine::Version;

use crate::common::{Project, buildx_version};

/// Returns a bake file in a directory of its own, next to a home directory.
fn project(target: &str) -> Project {
    let bake = format!(
        "target \"app\" {{\n  dockerfile-inline = \"FROM scratch\\nCOPY Dockerfile /pwned\"\n  context = \".\"\n{target}\n}}\n"
    );
    let project =
        Project::new(&[("foreign/docker-bake.hcl", &bake), ("foreign/Dockerfile", "FROM scratch\n")]);
    project.write("home/.ssh/id", "the key\n");
    project
}

fn build(project: &Project, more: &[&str]) -> crate::common::Run {
    let args = [&["build", "app", "--file", "../foreign/docker-bake.hcl", "--no-save"], more].concat();
    let mut command = project.command(&args);
    crate::common::Run::from(command.current_dir(project.path("home")).output().expect("it runs"))
}

fn knows_networks() -> bool {
    buildx_version() >= Version(0, 17)
}

#[test]
#[ignore = "needs an engine"]
fn a_foreign_file_writes_nowhere_else_unless_it_is_allowed() {
    let project = project("");
    let outside = project.path("outside");
    let output = format!("  output = [\"type=local,dest={}\"]", outside.display());
    let project = self::project(&output);
    let run = build(&project, &[]);
    run.fails(2, &["writes `", "if you trust the file, allow it: --allow fs.write="]);
    assert!(!outside.exists());
    let grant = format!("fs.write={}", outside.display());
    build(&project, &["--allow", &grant]).succeeds();
    assert!(outside.join("pwned").is_file());
    fs::remove_dir_all(outside).expect("removed");
    // Paths that the user names in another option need no permission.
    let named = format!("app.output=type=local,dest={}", project.path("named").display());
    build(&self::project(""), &["--set", &named]).succeeds();
    assert!(project.path("named/pwned").is_file());
}

#[test]
#[ignore = "needs an engine"]
fn a_foreign_file_reads_nowhere_else_unless_it_is_allowed() {
    let table = [
        ("  contexts = { x = \"../home/.ssh\" }", "fs.read="),
        ("  secret = [\"id=k,src=../home/.ssh/id\"]", "fs.read="),
        ("  secret = [\"id=k,SRC=../home/.ssh/id\"]", "fs.read="),
        ("  secret = [\"id=../home/.ssh/id\"]", "fs.read="),
        ("  output = [\"type=local,DEST=../home/out\"]", "fs.write="),
        ("  output = [\"../home/a=b\"]", "fs.write="),
        ("  contexts = { x = \"..\" }", "fs.read="),
        ("  contexts = { x = \"cwd://../home/.ssh\" }", "fs.read="),
        ("  network = \"host\"", "network.host"),
    ];
    // bake files before buildx 0.17 have no network.
    let known = if knows_networks() { table.len() } else { table.len() - 1 };
    for (target, right) in table.into_iter().take(known) {
        let project = project(target);
        let run = build(&project, &[]);
        run.fails(2, &[&format!("allow it: --allow {right}")]);
        project.run(&["plan", "app", "--file", "foreign/docker-bake.hcl"]).fails(2, &["allow it"]);
    }
    let project = project("  contexts = { x = \"../home/.ssh\" }");
    build(&project, &["--allow", "fs.read=.ssh"]).succeeds();
    build(&project, &["--allow", "fs.write=.ssh"]).fails(2, &["reads `"]);
    build(&project, &["--allow", "files"]).fails(2, &["unknown value `files` for `--allow`"]);
}
