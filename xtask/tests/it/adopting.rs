//! Another workspace that uses `cargo xtask` as `docs/adopting.md` says. It has a Compose file, a
//! Dockerfile, and nothing of FrankenPHP.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::common::{COMPOSE, Project, Run, cached, unique};

const DOCKERFILE: &str = "ARG BASE_IMAGE
FROM ${BASE_IMAGE}
COPY page /page
RUN --mount=type=cache,id=adopted,target=/cache cp /page /cache/ && cat /page >/served
";

/// The workspace without the five lines. It is a root by its lock file alone, as in a checkout.
fn other(name: &str) -> Project {
    let image = format!("durango-test/{name}");
    let compose = COMPOSE.replace("durango-test/app", &image).replace("  app:", "  web:");
    let files = [
        ("compose.yaml", &*compose),
        ("Dockerfile", DOCKERFILE),
        ("page", &format!("{}\n", unique(name))),
        (".dockerignore", "*\n!page\n"),
        ("deep/file", ""),
    ];
    let project = Project::new(&files);
    project.owns(&image);
    project
}

fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the workspace")
}

/// The five lines of the page, by file.
fn lines_of_the_page() -> Vec<(String, String)> {
    let text = fs::read_to_string(checkout().join("docs/adopting.md")).expect("the page");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.strip_suffix("` |"));
    let rows = rows.filter_map(|row| row.split_once("` | `"));
    let is_file = |name: &str| name.ends_with(".toml") || name.ends_with(".rs");
    rows.filter(|(file, _)| is_file(file)).map(|(file, line)| (file.to_owned(), line.to_owned())).collect()
}

/// Adds the five lines, with a path where the page has a repository.
fn adopt(project: &Project) {
    let lines = lines_of_the_page();
    assert_eq!(lines.len(), 5, "{lines:?}");
    for (file, line) in lines {
        let line = match line.split_once(" = { git = ") {
            Some((key, _)) => format!("{key} = {{ path = {:?} }}", checkout().join("xtask")),
            None => line,
        };
        let before = fs::read_to_string(project.path(&file)).unwrap_or_default();
        project.write(&file, &format!("{before}{line}\n"));
    }
}

/// `cargo xtask` in the workspace, without network. What it compiles stays for the next run.
fn cargo_xtask(project: &Project, args: &[&str]) -> Run {
    let binary = project.command(args);
    let mut cargo = Command::new(env!("CARGO"));
    cargo.arg("xtask").args(args).current_dir(project.path("deep")).env_clear();
    cargo.envs(binary.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let home = std::env::home_dir().expect("a home");
    for (name, place) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
        cargo.env(name, std::env::var_os(name).unwrap_or_else(|| home.join(place).into()));
    }
    let toolchain = ["RUSTUP_TOOLCHAIN", "RUSTUP_AUTO_INSTALL", "RUSTUP_DIST_SERVER"];
    cargo.envs(toolchain.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    cargo.env("CARGO_NET_OFFLINE", "true").env("CARGO_TARGET_DIR", checkout().join("target/adopting"));
    Run::from(cargo.output().expect("cargo runs"))
}

fn json(run: &Run) -> Value {
    serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("one document: {}", run.all()))
}

#[test]
#[ignore = "needs an engine"]
fn five_lines_bring_builds_plans_and_doctor_to_another_workspace() {
    let project = other("adopted");
    adopt(&project);
    let built = cargo_xtask(&project, &["build", "web", "--json"]);
    built.succeeds();
    let report = json(&built);
    assert_eq!(report["result"], "built", "{}", built.all());
    assert_eq!(report["targets"][0]["image"], "durango-test/adopted", "{}", built.all());
    assert!(report["cache"]["saved"].is_string(), "the layers are saved: {}", built.all());

    project.write("page", &format!("{}\n", unique("another")));
    let plan = cargo_xtask(&project, &["plan", "web", "--json"]);
    plan.succeeds();
    let steps = json(&plan)["steps"].as_array().expect("steps").clone();
    let copy = steps.iter().find(|step| step["instruction"] == "COPY page /page").expect("the step");
    assert_eq!(copy["forecast"]["state"], "runs", "{copy}");
    assert_eq!(copy["cause"]["detail"], "page: content changed", "{copy}");

    let again = json(&cargo_xtask(&project, &["build", "web", "--json"]));
    assert!(!cached(&again, "COPY page /page"), "{again}");
    assert!(again["steps"].as_array().expect("steps").iter().all(|step| step["target"] == "web"), "{again}");

    let doctor = cargo_xtask(&project, &["doctor", "--json"]);
    let checks = json(&doctor)["checks"].as_array().expect("checks").clone();
    let names: Vec<&str> = checks.iter().filter_map(|check| check["name"].as_str()).collect();
    assert!(names.contains(&"builder") && names.contains(&"image store"), "{names:?}");
    for silent in ["pins", "base image", "Debian mirror", "Go modules"] {
        assert!(!names.contains(&silent), "`{silent}` is of FrankenPHP: {names:?}");
    }
    assert!(!doctor.stdout.contains("PHP"), "{}", doctor.all());

    let smoke = cargo_xtask(&project, &["smoke", "durango-test/adopted"]);
    smoke.fails(2, &["`durango-test/adopted` is not a FrankenPHP image"]);
    assert_eq!(smoke.stdout, "", "no check of PHP is made");
}

#[test]
fn commands_about_frankenphp_say_that_it_is_not_here() {
    let project = other("silent");
    let pins = project.run(&["pins"]);
    pins.succeeds();
    assert!(pins.stdout.is_empty() && pins.stderr.contains("nothing is pinned"), "{}", pins.all());
    let pins = project.run(&["pins", "--json"]);
    assert_eq!(json(&pins), serde_json::json!({"schema": 1, "pins": {}, "held": []}));
    for command in [
        &["pins", "--update"][..],
        &["base-build", "--dry-run"],
        &["frankenphp", "--dry-run"],
        &["bench", "unchanged"],
        &["test", "--quick"],
    ] {
        project.run(command).fails(2, &["failed to find the FrankenPHP images", "cargo xtask build TARGET"]);
    }
    project.run(&["smoke"]).fails(2, &["`smoke` needs an image", "cargo xtask smoke IMAGE"]);
    project.run(&["outdated"]).fails(2, &["`outdated` needs an image"]);
}

#[test]
fn a_workspace_without_a_declaration_gets_a_hint() {
    let project = Project::new(&[("Cargo.lock", ""), ("deploy/web.yaml", "")]);
    let run = project.run(&["build", "web"]);
    run.fails(2, &["failed to find a Compose or bake file in", "name one with --file"]);
    project.run(&["build", "web", "--file", "deploy/none.yaml"]).fails(2, &["none.yaml` not found"]);
}
