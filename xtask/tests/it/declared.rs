//! Declarations as Compose and bake understand them: groups, default names, base of relative paths.

use std::fs;
use std::process::{Command, Stdio};

use crate::common::{COMPOSE, Project, base_of, unique};

/// Returns the files of a project with two targets and a group that has the name of one of them.
fn grouped() -> Project {
    let dockerfile = |name: &str| {
        format!(
            "ARG BASE_IMAGE\nFROM ${{BASE_IMAGE}} AS build\nRUN --mount=type=cache,id=declared-{name},target=/c echo {name} >>/c/x\n"
        )
    };
    let bake = r#"
        group "app" { targets = ["app", "worker"] }
        target "base" { args = { BASE_IMAGE = "debian:13-slim" } }
        target "app" {
          inherits = ["base"]
          dockerfile = "app.Dockerfile"
          tags = ["durango-test/declared-app"]
        }
        target "worker" {
          inherits = ["base"]
          dockerfile = "worker.Dockerfile"
          tags = ["durango-test/declared-worker"]
        }
    "#;
    Project::new(&[
        ("docker-bake.hcl", bake),
        ("app.Dockerfile", &dockerfile("app")),
        ("worker.Dockerfile", &dockerfile("worker")),
    ])
}

#[test]
#[ignore = "needs an engine"]
fn a_group_wins_over_the_target_of_its_name() {
    let project = grouped();
    let run = project.run(&["build", "app", "--json", "--file", "docker-bake.hcl"]);
    run.succeeds();
    project.owns("durango-test/declared-app");
    project.owns("durango-test/declared-worker");
    let report: serde_json::Value = serde_json::from_str(&run.stdout).expect("one document");
    let names: Vec<_> = report["targets"]
        .as_array()
        .expect("targets")
        .iter()
        .filter_map(|one| one["name"].as_str())
        .collect();
    assert_eq!(names, ["app", "worker"], "{report}");
    let steps = report["steps"].as_array().expect("steps");
    for name in ["app", "worker"] {
        assert!(steps.iter().any(|step| step["target"] == name && step["stage"] == "build"), "{report}");
    }
    let mounts = report["cache"]["mounts"].as_array().expect("mounts").len();
    assert_eq!(mounts, 2, "the mounts of both are saved: {report}");
}

#[test]
#[ignore = "needs an engine"]
fn a_service_without_an_image_is_named_as_compose_names_it() {
    let project = Project::new(&[
        (
            "compose.yaml",
            "name: durango-declared\nservices:\n  web:\n    build: {context: ., args: {BASE_IMAGE: debian:13-slim}}\n",
        ),
        ("Dockerfile", "ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nCMD [\"echo\", \"served\"]\n"),
    ]);
    let (report, run) = project.build(&["web"]);
    run.succeeds();
    project.owns("durango-declared-web");
    assert_eq!(report["targets"][0]["image"], "durango-declared-web", "{report}");
    let mut compose = Command::new("docker");
    compose.args(["compose", "-f", "compose.yaml", "create", "--no-build", "--pull", "never"]);
    let output = compose.current_dir(project.path("")).output().expect("docker runs");
    let _ = Command::new("docker")
        .args(["compose", "-f", "compose.yaml", "down"])
        .current_dir(project.path(""))
        .output();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (report, run) = project.build(&["web", "--tag", "durango-test/declared-chosen"]);
    run.succeeds();
    assert_eq!(report["targets"][0]["image"], "durango-test/declared-chosen", "a chosen name wins: {report}");
}

#[test]
#[ignore = "needs an engine"]
fn typed_paths_start_in_the_current_directory() {
    let project = Project::new(&[
        ("sub/compose.yaml", "services: {app: {build: {context: ., args: {BASE_IMAGE: debian:13-slim}}}}\n"),
        (
            "sub/Dockerfile",
            "ARG BASE_IMAGE\nFROM ${BASE_IMAGE} AS made\nRUN --mount=type=secret,id=s cp /run/secrets/s /made\nFROM scratch\nCOPY --from=made /made /\n",
        ),
        ("s.txt", "from the current directory"),
        ("sub/s.txt", "from the declaration's"),
    ]);
    let file = ["build", "app", "--file", "sub/compose.yaml", "--secret", "id=s,src=s.txt", "--no-save"];
    let with = |output: &'static str| [&file[..], &["--output", output]].concat();
    for output in ["type=local,dest=out", "out2"] {
        project.run(&with(output)).succeeds();
    }
    for dir in ["out", "out2"] {
        let made = fs::read_to_string(project.path(dir).join("made")).expect("written here");
        assert_eq!(made, "from the current directory");
    }
    assert!(!project.path("sub/out").exists() && !project.path("builder").exists());
    let child = project.command(&with("-")).stderr(Stdio::null()).output().expect("it runs");
    let mut archive = tar::Archive::new(child.stdout.as_slice());
    let names: Vec<_> = archive
        .entries()
        .expect("a tar")
        .map(|entry| entry.expect("an entry").path().expect("a path").display().to_string())
        .collect();
    assert_eq!(names, ["made"], "the archive alone is on stdout");
    project
        .run(&[&with("type=tar")[..], &["--json"]].concat())
        .fails(2, &["both write to stdout", "dest=FILE"]);
}

#[test]
#[ignore = "needs an engine"]
fn a_changed_network_of_a_service_runs_its_steps_as_forecast() {
    let declared = |network: &str| {
        format!(
            "name: declared-network\nservices:\n  app:\n    image: durango-test/declared-network\n    \
             build:\n      context: .\n      {network}\n"
        )
    };
    let base = base_of(&Project::new(&[
        ("compose.yaml", COMPOSE),
        ("Dockerfile", "ARG BASE_IMAGE\nFROM $BASE_IMAGE\n"),
    ]));
    let dockerfile = format!("FROM {base}\nRUN echo {} >/x\n", unique("network"));
    let ignore = "*\n";
    let project = Project::new(&[
        ("compose.yaml", &declared("args: {}")),
        ("Dockerfile", &dockerfile),
        (".dockerignore", ignore),
    ]);
    assert_eq!(project.build(&["app"]).0["result"], "built");
    project.write("compose.yaml", &declared("network: none"));
    let plan = project.run(&["plan", "app", "--json", "--file", "compose.yaml"]);
    plan.succeeds();
    let plan: serde_json::Value = serde_json::from_str(&plan.stdout).expect("one document");
    let (report, _) = project.build(&["app"]);
    let step = &report["steps"][0];
    assert_eq!((&report["result"], &step["cached"]), (&"built".into(), &false.into()), "{report}");
    assert_eq!(plan["steps"][0]["forecast"]["state"], "runs", "{plan}");
    for document in [&plan, &report] {
        let detail = document["steps"][0]["cause"]["detail"].as_str().unwrap_or_default();
        assert!(detail.contains("network"), "{document}");
    }
}

/// Returns a target whose context and Dockerfile start in the current directory.
const FROM_HERE: &str = "target \"app\" {\n  context = \"cwd://sub\"\n  dockerfile = \"cwd://D\"\n  \
     tags = [\"durango-test/declared-cwd\"]\n}\n";

#[test]
#[ignore = "needs an engine"]
fn paths_from_the_current_directory_are_forecast() {
    let dockerfile = format!("FROM scratch\nCOPY file /{}\n", unique("cwd"));
    let project = Project::new(&[
        ("docker-bake.hcl", FROM_HERE),
        ("D", &dockerfile),
        ("sub/D", "FROM other\n"),
        ("sub/file", "1"),
    ]);
    let run = |command: &str| {
        let run = project.run(&[command, "app", "--json", "--file", "docker-bake.hcl"]);
        run.succeeds();
        serde_json::from_str::<serde_json::Value>(&run.stdout).expect("one document")
    };
    project.owns("durango-test/declared-cwd");
    run("build");
    assert_eq!(run("plan")["steps"][0]["forecast"]["state"], "cached");
    project.write("sub/file", "2");
    assert_eq!(run("plan")["steps"][0]["forecast"]["state"], "runs");
    assert_eq!(run("build")["steps"][0]["cause"]["detail"], "file: content changed");
}

#[test]
#[ignore = "needs an engine"]
fn a_file_whose_name_is_not_utf8_is_explained() {
    use std::os::unix::ffi::OsStrExt;
    let compose = "services:\n  app:\n    image: durango-test/declared-names\n    build: .\n";
    let dockerfile = format!("FROM scratch\nCOPY . /{}\n", unique("names"));
    let project = Project::new(&[("compose.yaml", compose), ("Dockerfile", &dockerfile)]);
    project.write(".dockerignore", "home\nstore\n");
    fs::write(project.path("").join(std::ffi::OsStr::from_bytes(b"caf\xe9")), "1").expect("written");
    let run = project.run(&["build", "app", "--no-save", "--file", "compose.yaml"]);
    // Docker 26 takes any name.
    if run.code != 0 {
        run.fails(3, &["the name of a file in a context is not UTF-8", "`find . | grep -axv '.*'`"]);
    }
    project.write(".dockerignore", "home\nstore\ncaf?\n");
    project.build(&["app", "--no-save"]).1.succeeds();
}

#[test]
#[ignore = "needs an engine"]
fn a_target_that_only_calls_its_frontend_is_refused() {
    let bake = "target \"app\" { tags = [\"durango-test/declared-call\"] }\n";
    let project = Project::new(&[("docker-bake.hcl", bake), ("Dockerfile", "FROM scratch\n")]);
    for command in ["build", "plan"] {
        let call = [command, "app", "--file", "docker-bake.hcl", "--set", "app.call=check"];
        // bake itself refuses it before buildx 0.16.
        project.run(&call).fails(2, &["call"]);
    }
    project.run(&["plan", "app", "--file", "-"]).fails(2, &["`--file -` is not supported"]);
}

#[test]
#[ignore = "needs an engine"]
fn options_of_mounts_count_as_forecast() {
    let base = base_of(&Project::new(&[
        ("compose.yaml", COMPOSE),
        ("Dockerfile", "ARG BASE_IMAGE\nFROM $BASE_IMAGE\n"),
    ]));
    let name = unique("mounts");
    let dockerfile = |mount: &str| format!("FROM {base}\nRUN --mount=type={mount} echo {name}\n");
    let compose = "services:\n  app:\n    image: durango-test/declared-mounts\n    build: .\n";
    let project = Project::new(&[("compose.yaml", compose), (".dockerignore", "*\n")]);
    for (mount, runs) in [
        ("cache,target=/c", true),
        ("cache,target=/c,id=one", true),
        ("cache,target=/c,id=two,sharing=locked", false),
        ("cache,target=/c,id=two,uid=0", true),
        ("cache,target=/c,id=two,mode=0755", false),
        ("ssh", true),
        ("ssh,id=default", true),
        ("ssh,id=default,required=false,mode=0600", false),
        ("tmpfs,target=/t,size=1m", true),
        ("tmpfs,target=/t,size=1048576", false),
        ("tmpfs,target=/t,size=1m,ro", true),
    ] {
        project.write("Dockerfile", &dockerfile(mount));
        let plan = project.run(&["plan", "app", "--json", "--file", "compose.yaml"]);
        plan.succeeds();
        let plan: serde_json::Value = serde_json::from_str(&plan.stdout).expect("one document");
        let (report, _) = project.build(&["app"]);
        assert_eq!(report["steps"][0]["cached"], !runs, "{mount}: {report}");
        let state = if runs { "runs" } else { "cached" };
        assert_eq!(plan["steps"][0]["forecast"]["state"], state, "{mount}: {plan}");
    }
}
