//! Builds that have nothing to do, and everything that gives them something to do.

mod check;
mod edits;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::{Project, Run, unique};
use xtask::testing::bench::up_to_date::inputs;

/// Notes the calls of bake that are not questions.
const DOCKER: &str = r#"#!/bin/sh
case " $* " in *" bake "*) case " $* " in *" --print "*) ;; *) echo "$*" >>CALLS ;; esac ;; esac
PATH=REST exec docker "$@"
"#;

/// Returns the name of a project's base image. The engine keeps the repositories that an image was
/// ever in as one label of at most 4,096 bytes, and cannot read the image under another one beyond
/// that. So the repository never changes, only the tag.
fn base_name(name: &str) -> String {
    format!("durango-test/idle-base:{name}")
}

/// A project with every kind of input, built once.
struct Idle {
    project: Project,
    name: String,
}

impl Idle {
    fn new(test: &str) -> Self {
        let name = unique(&format!("idle-{test}"));
        let project = Project::new(&[("probe/compose.yaml", crate::common::COMPOSE)]);
        for (file, text) in inputs::files(&format!("durango-test/{name}"), &base_name(&name), &name) {
            project.write(file, &text);
        }
        let path = std::env::var("PATH").expect("a PATH");
        let shim = DOCKER.replace("CALLS", &project.path("calls").display().to_string());
        project.write("bin/docker", &shim.replace("REST", &format!("'{path}'")));
        let bin = project.path("bin");
        fs::set_permissions(bin.join("docker"), fs::Permissions::from_mode(0o755)).expect("set");
        let project = project.env("PATH", &format!("{}:{path}", bin.display()));
        let plan = project.run(&["plan", "default", "--file", "probe/compose.yaml"]);
        plan.succeeds();
        let (_, rest) = plan.stdout.split_once(".args.BASE_IMAGE=").expect("a base image");
        let base = rest.split([' ', '\'']).next().expect("a name");
        let idle = Self { project, name };
        idle.docker(&["tag", base, &idle.base()]);
        idle.project.owns(&idle.base());
        let first = idle.build(&[]);
        assert_eq!((&first["result"], &first["bake_called"]), (&"built".into(), &true.into()), "{first}");
        idle
    }

    fn image(&self, name: &str) -> String {
        format!("durango-test/{}/{name}", self.name)
    }

    fn base(&self) -> String {
        base_name(&self.name)
    }

    #[track_caller]
    fn docker(&self, args: &[&str]) {
        let output = Command::new("docker").args(args).output().expect("docker runs");
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.project.path(name)
    }

    /// Calls of bake so far.
    fn calls(&self) -> usize {
        fs::read_to_string(self.path("calls")).unwrap_or_default().lines().count()
    }

    #[track_caller]
    fn build(&self, args: &[&str]) -> Value {
        let before = self.calls();
        let mut all = vec!["app", "-v"];
        all.extend(args);
        let (report, run) = self.project.build(&all);
        run.succeeds();
        assert_eq!(report["bake_called"], self.calls() > before, "what is said is so: {}", run.all());
        report
    }

    /// After the edit BuildKit is asked once; after that there is nothing to do.
    #[track_caller]
    fn asks_after(&self, what: &str, args: &[&str]) -> Value {
        let report = self.build(args);
        assert_eq!(report["bake_called"], true, "{what}: {report}");
        self.is_idle(what, args);
        report
    }

    #[track_caller]
    fn is_idle(&self, what: &str, args: &[&str]) -> Value {
        let (report, run) = self.project.build(&[&["app", "-v"], args].concat());
        assert_eq!(report["bake_called"], false, "{what}: {}", run.all());
        assert_eq!(report["result"], "cached", "{what}");
        report
    }
}

#[test]
#[ignore = "needs an engine"]
fn a_build_with_nothing_to_do_calls_no_bake_and_says_so() {
    let idle = Idle::new("says");
    let first = idle.project.run(&["report", "--json"]);
    let first: Value = serde_json::from_str(&first.stdout).expect("JSON");
    let report = idle.is_idle("nothing", &[]);
    assert_eq!((&report["same_as"], &report["targets"]), (&first["build"], &first["targets"]));
    let names = |report: &Value| {
        let steps = report["steps"].as_array().expect("steps").iter();
        steps.map(|step| format!("{} {}", step["stage"], step["instruction"])).collect::<Vec<_>>()
    };
    assert!(names(&report).len() > 5 && names(&report) == names(&first), "{report}");
    assert!(report["steps"].as_array().expect("steps").iter().all(|step| step["cached"] == true));

    let history = idle.project.run(&["history", "--json"]);
    let history: Value = serde_json::from_str(&history.stdout).expect("JSON");
    let called: Vec<&Value> =
        history["builds"].as_array().expect("builds").iter().map(|build| &build["bake_called"]).collect();
    assert_eq!(called, [true, false]);
    assert!(idle.project.run(&["history"]).stdout.contains("not called"));
    assert!(idle.project.run(&["report"]).stdout.contains("bake was not called"));
    let recorded: Value =
        serde_json::from_str(&idle.project.run(&["report", "--json"]).stdout).expect("JSON");
    assert_eq!((&recorded["build"], &recorded["bake_called"]), (&report["build"], &false.into()));
    idle.project.run(&["explain"]).succeeds();

    let checked = idle.build(&["--check"]);
    assert_eq!((&checked["result"], &checked["bake_called"]), (&"cached".into(), &true.into()), "{checked}");
    assert_eq!(checked["targets"], report["targets"]);
    let text = idle.project.run(&["build", "app", "--file", "compose.yaml"]);
    text.succeeds();
    let said = format!("nothing has changed since the build {}", checked["build"].as_str().expect("an id"));
    assert!(text.stdout.contains("cached in") && text.stdout.contains(&said), "{}", text.all());
    // The steps of an edit are reported as after any other build.
    idle.project.write("app/src/a.txt", &format!("b {}\n", idle.name));
    let edited = idle.build(&[]);
    let steps = edited["steps"].as_array().expect("steps");
    let copy = steps.iter().rfind(|step| step["instruction"] == "COPY src /src").expect("a step");
    assert_eq!((&copy["cached"], &copy["cause"]["kind"]), (&false.into(), &"file".into()), "{edited}");
}

#[test]
#[ignore = "needs an engine"]
fn what_is_still_to_be_kept_is_kept() {
    let idle = Idle::new("keeps");
    idle.project.run(&["cache", "clear", "layers", "--yes"]).succeeds();
    let report = idle.asks_after("a store without layers", &[]);
    assert_ne!(report["cache"]["saved"], Value::Null, "{report}");
    // A save that has no room fails with a warning.
    let without_room = Idle::new("room");
    let project = without_room.project.env("DURANGO_CACHE_BUDGET", "1k");
    let without_room = Idle { project, ..without_room };
    for _ in 0..2 {
        without_room.project.run(&["cache", "clear", "layers", "--yes"]).succeeds();
        let report = without_room.build(&[]);
        let warnings = report["warnings"].to_string();
        assert!(report["bake_called"] == true && warnings.contains("failed to save"), "{report}");
    }
}

#[test]
#[ignore = "needs an engine"]
fn a_declaration_that_wants_buildkit_has_it() {
    let idle = Idle::new("wants");
    let compose = fs::read_to_string(idle.path("compose.yaml")).expect("a file");
    // Not every bake reads Compose's own `no_cache`.
    let no_cache = "    build:\n      context: ./lower\n      x-bake: {no-cache: true}\n";
    let own = compose.replace("    build: ./lower\n", no_cache);
    idle.project.write("compose.yaml", &own);
    for _ in 0..2 {
        assert_eq!(idle.build(&[])["bake_called"], true);
    }
    idle.project.write("compose.yaml", &compose);
    idle.build(&[]);
    for args in
        [&["--no-cache"][..], &["--fresh", "build"], &["--set", "app.pull=true"], &["--cache", "none"]]
    {
        let (report, run) = idle.project.build(&[&["app", "-v"], args].concat());
        // An image that only the engine has cannot be pulled.
        let asked = run.stderr.contains("BuildKit is asked");
        assert!(report["bake_called"] == true && asked, "{args:?}: {}", run.all());
    }
}

#[test]
#[ignore = "needs an engine"]
fn a_file_that_was_written_while_a_build_ran_is_in_doubt() {
    let idle = Idle::new("while");
    let dockerfile = fs::read_to_string(idle.path("app/Dockerfile")).expect("a file");
    idle.project.write(
        "app/Dockerfile",
        &dockerfile.replace("echo $FROM_ENV", "echo waits; sleep 4; echo $FROM_ENV"),
    );
    let mut build = idle.project.command(&["build", "app", "--json", "--file", "compose.yaml"]);
    let child = build.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let logs = || walkdir::WalkDir::new(idle.project.store().join("builds")).into_iter().flatten();
    let is_running = || {
        let mut logs = logs().filter(|entry| entry.file_name() == "build.log");
        logs.any(|log| fs::read_to_string(log.path()).unwrap_or_default().contains("echo waits"))
    };
    let begun = Instant::now();
    while !is_running() {
        assert!(begun.elapsed() < Duration::from_secs(120), "the step does not begin");
        std::thread::sleep(Duration::from_millis(10));
    }
    // BuildKit may have received either content.
    idle.project.write("app/src/a.txt", "other\n");
    idle.project.write("app/src/a.txt", "a\n");
    Run::from(child.wait_with_output().expect("it ends")).succeeds();
    idle.asks_after("a file that was written meanwhile", &[]);
}

#[test]
#[ignore = "needs an engine"]
fn no_build_is_called_up_to_date_that_buildkit_would_make_otherwise() {
    let given = |name: &str, otherwise: String| std::env::var(name).unwrap_or(otherwise);
    let edits = given("DURANGO_TEST_EDITS", "40".into());
    let seed = given("DURANGO_TEST_SEED", std::process::id().to_string());
    println!("DURANGO_TEST_EDITS={edits} DURANGO_TEST_SEED={seed}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(["bench", "up-to-date", "--json", "--edits", &edits, "--seed", &seed]);
    let output = command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR"))).output().expect("it runs");
    let run = Run::from(output);
    let report: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("JSON: {}", run.all()));
    println!("{}", run.stderr);
    let figure = |name: &str| {
        let rows = report["rows"].as_array().expect("rows");
        let row = rows.iter().find(|row| row["name"] == format!("up-to-date: {name}")).expect("a row");
        row["seconds"].as_f64().expect("a figure")
    };
    assert!(figure("wrong") == 0.0 && figure("called up to date") > 0.0, "{}", run.all());
}
