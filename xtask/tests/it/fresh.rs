//! Steps that run again, on a real engine. Each step counts its runs in a cache mount: an increased
//! number shows that the step ran and that its mount was kept.

use crate::common::second_daemon::SecondDaemon;
use crate::common::{COMPOSE, Project, Run, cached, unique};
use serde_json::Value;

/// Returns a text that no other test and no other run has.
fn salt(name: &str) -> String {
    let text = unique(name);
    text.chars().filter(char::is_ascii_alphanumeric).collect()
}

/// Returns a project with an ARG before FROM, an ONBUILD, a RUN, a heredoc, each with a counter,
/// and a context. BuildKit 0.13 supports no cache mount in an ONBUILD of the same file, so that
/// step writes its time.
fn project(name: &str) -> Project {
    let salt = salt(name);
    // A mount's id is not part of a step's key, so the salt is in each command.
    let count = format!("echo {salt} >>/c/n && wc -l </c/n");
    let mount = |id: &str| format!("--mount=type=cache,id={salt}{id},target=/c");
    let dockerfile = format!(
        "ARG BASE_IMAGE=debian:13-slim\nARG START=made\nFROM ${{BASE_IMAGE}} AS parent\nONBUILD RUN date +%s.%N-{salt} >/onbuild\n\
         FROM parent AS made\nRUN {run} \\\n  # a comment\n  {count} >/ran\nRUN {doc},sharing=locked <<-EOF\n\t{count} >/doc\n\tEOF\n\
         FROM ${{START}} AS last\nRUN {last} {count} >/last\n\
         FROM scratch\nCOPY --from=last /onbuild /ran /doc /last /\nCOPY . /context/\n",
        run = mount("run"),
        doc = mount("doc"),
        last = mount("last"),
    );
    let compose = COMPOSE
        .replace("durango-test/app", &format!("durango-test/{name}"))
        .replace("context: .", "context: context\n      dockerfile: ../app.Dockerfile");
    Project::new(&[
        ("compose.yaml", &compose),
        ("app.Dockerfile", &dockerfile),
        ("app.Dockerfile.dockerignore", "skipped\n"),
        ("context/.dockerignore", "kept\n"),
        ("context/kept", ""),
        ("context/skipped", ""),
    ])
}

/// Builds and exports the result to a directory.
fn build(project: &Project, args: &[&str]) -> (Value, Run) {
    let out = format!("type=local,dest={}", project.path("out").display());
    let mut all = vec!["app", "--output", &out];
    all.extend(args);
    let (report, run) = project.build(&all);
    run.succeeds();
    (report, run)
}

/// The number of runs of each step, in the order of the Dockerfile.
#[derive(Default)]
struct Counts {
    times: Vec<String>,
}

impl Counts {
    fn read(&mut self, project: &Project) -> String {
        let read = |name| std::fs::read_to_string(project.path(&format!("out/{name}"))).expect(name);
        let time = read("onbuild");
        if !self.times.contains(&time) {
            self.times.push(time.clone());
        }
        let onbuild = 1 + self.times.iter().position(|known| *known == time).expect("known now");
        let [run, doc, last] = ["ran", "doc", "last"].map(|name| read(name).trim().to_owned());
        format!("{onbuild} {run} {doc} {last}")
    }
}

#[test]
#[ignore = "needs an engine"]
fn no_cache_runs_all_and_keeps_mounts_and_the_next_build_has_the_new_result() {
    let mut counts = Counts::default();
    let project = project("no-cache");
    build(&project, &[]);
    assert_eq!(counts.read(&project), "1 1 1 1");
    let (report, _) = build(&project, &["--no-cache"]);
    assert_eq!(counts.read(&project), "2 2 2 2", "{report}");
    let steps = report["steps"].as_array().expect("steps");
    // Newer versions of BuildKit mark the step of an ONBUILD as such.
    let is_run = |text: &str| text.trim_start_matches("ONBUILD ").starts_with("RUN");
    let runs = |step: &&Value| step["instruction"].as_str().is_some_and(is_run);
    let runs: Vec<_> = steps.iter().filter(runs).collect();
    assert!(runs.len() == 4 && runs.iter().all(|step| step["cached"] == false), "{report}");
    assert_eq!(report["warnings"], serde_json::json!([]));
    let (report, _) = build(&project, &[]);
    assert_eq!(
        (counts.read(&project).as_str(), report["result"].as_str()),
        ("2 2 2 2", Some("cached")),
        "{report}"
    );
    let (report, run) = build(&project, &["--no-cache"]);
    assert_eq!(counts.read(&project), "3 3 3 3", "{report} {}", run.stderr);
}

#[test]
#[ignore = "needs an engine"]
fn fresh_runs_a_stage_or_a_step_and_the_next_build_has_the_new_result() {
    let mut counts = Counts::default();
    let project = project("fresh");
    let dockerfile = || std::fs::read_to_string(project.path("app.Dockerfile")).expect("it is there");
    let before = dockerfile();
    build(&project, &[]);
    assert_eq!(counts.read(&project), "1 1 1 1");
    for (word, expected) in
        [("made", "2 2 2 2"), ("RUN <<-EOF", "2 2 3 3"), ("last", "2 2 3 4"), ("made/RUN echo ", "2 3 4 5")]
    {
        build(&project, &["--fresh", word]);
        assert_eq!(counts.read(&project), expected, "{word}");
        // `<Dockerfile>.dockerignore` applies, and the context's own `.dockerignore` does not.
        assert!(project.path("out/context/kept").exists() && !project.path("out/context/skipped").exists());
        let (report, _) = build(&project, &[]);
        assert_eq!(
            (counts.read(&project).as_str(), report["result"].as_str()),
            (expected, Some("cached")),
            "{word}"
        );
    }
    assert_eq!(dockerfile(), before);
    let left: Vec<_> = crate::common::files(&project.store().join("tmp"));
    assert!(left.iter().all(|(path, _)| !path.ends_with("app.Dockerfile")), "{left:?}");
    // --no-cache runs all steps again, with the file unchanged.
    build(&project, &["--no-cache"]);
    assert_eq!(counts.read(&project), "3 4 5 6");
    let plan = project.run(&["plan", "app", "--file", "compose.yaml"]);
    assert!(
        plan.stdout.contains("app.shm-size=") && !plan.stdout.contains("app.dockerfile="),
        "{}",
        plan.all()
    );
}

#[test]
#[ignore = "needs an engine"]
fn another_machine_with_the_store_has_the_new_result() {
    let mut counts = Counts::default();
    let project = project("travels");
    build(&project, &[]);
    let second = SecondDaemon::start();
    second.receive(&crate::common::base_of(&project));
    let there = |project: Project| project.env("DOCKER_HOST", &second.host());
    let here = std::env::var("DOCKER_HOST").unwrap_or("unix:///var/run/docker.sock".into());
    let back = |project: Project| project.env("DOCKER_HOST", &here);
    let project = there(project);
    build(&project, &[]);
    assert_eq!(counts.read(&project), "1 1 1 1", "the second machine holds the first result, too");
    let project = back(project);
    build(&project, &["--no-cache"]);
    build(&project, &["--fresh", "last"]);
    assert_eq!(counts.read(&project), "2 2 2 3");
    let project = there(project);
    let (report, _) = build(&project, &[]);
    assert_eq!(
        (counts.read(&project).as_str(), report["result"].as_str()),
        ("2 2 2 3", Some("cached")),
        "{report}"
    );
}

#[test]
#[ignore = "needs an engine"]
fn a_dockerfile_inside_the_declaration_is_run_again_as_well() {
    let inline = "      dockerfile_inline: |\n        ARG BASE_IMAGE=debian:13-slim\n        FROM $${BASE_IMAGE} AS made\n        \
        RUN date +%N >/made && echo $${HOME} '%{x}' $$HOME >/homes\n        FROM scratch\n        COPY --from=made /made /homes /\n";
    let compose = COMPOSE.replace("durango-test/app", "durango-test/fresh-inline") + inline;
    let project = Project::new(&[("compose.yaml", &compose)]);
    let read = |name: &str| std::fs::read_to_string(project.path(&format!("out/{name}"))).expect("built");
    build(&project, &[]);
    let (first, home) = (read("made"), read("homes"));
    let (report, _) = build(&project, &["--fresh", "made"]);
    assert!(!cached(&report, "RUN date"), "{report}");
    let second = read("made");
    assert_ne!(first, second);
    assert_eq!(read("homes"), home);
    let (report, _) = build(&project, &[]);
    assert_eq!((read("made"), report["result"].as_str()), (second, Some("cached")));
}

#[test]
#[ignore = "needs an engine"]
fn an_unknown_step_is_refused_and_a_plan_shows_what_it_would_do() {
    let project = project("words");
    project.run(&["build", "app", "--file", "compose.yaml", "--fresh", "mode"]).fails(
        2,
        &["no stage or RUN of the targets is `mode`; did you mean `made`?", "available: parent; made; last;"],
    );
    project
        .run(&["build", "app", "--file", "compose.yaml", "--fresh", "COPY . /context/"])
        .fails(2, &["runs no command"]);
    let plan = project.run(&["plan", "app", "--file", "compose.yaml", "--fresh", "made", "--json"]);
    plan.succeeds();
    let plan: Value = serde_json::from_str(&plan.stdout).expect("JSON");
    assert_eq!(plan["fresh"][0]["spots"][0]["stage"], "made", "{plan}");
    assert!(!project.store().join("fresh").exists(), "a plan remembers nothing");
}

#[test]
#[ignore = "needs an engine"]
fn a_mount_from_a_stage_that_was_run_again_is_saved() {
    let salt = salt("from");
    let compose = COMPOSE.replace("durango-test/app", "durango-test/fresh-from");
    let dockerfile = format!(
        "ARG BASE_IMAGE=debian:13-slim\nFROM ${{BASE_IMAGE}} AS seed\nRUN mkdir /s && echo {salt} >/s/seed\n\
         FROM ${{BASE_IMAGE}} AS last\n\
         RUN --mount=type=cache,id={salt},from=seed,source=/s,target=/c sleep 2; echo {salt} >>/c/n && wc -l </c/n >/last\n\
         FROM scratch\nCOPY --from=last /last /\n"
    );
    let project = Project::new(&[("compose.yaml", &compose), ("Dockerfile", &dockerfile)]);
    let last = |project: &Project| std::fs::read_to_string(project.path("out/last")).expect("built");
    build(&project, &["--fresh", "seed"]);
    build(&project, &["--fresh", "last"]);
    assert_eq!(last(&project).trim(), "2");
    let second = SecondDaemon::start();
    second.receive(&crate::common::base_of(&project));
    let project = project.env("DOCKER_HOST", &second.host());
    build(&project, &["--fresh", "last"]);
    assert_eq!(last(&project).trim(), "3");
}

#[test]
#[ignore = "needs an engine"]
fn a_change_that_buildkit_notices_later_stays_open() {
    let dockerfile =
        format!("ARG BASE_IMAGE\nFROM ${{BASE_IMAGE}}\nRUN : {}\nCOPY src /src\nRUN ls /src\n", salt("late"));
    let files =
        [("compose.yaml", COMPOSE), ("Dockerfile", &dockerfile), ("src/a", "one\n"), ("src/b", "one\n")];
    let project = Project::new(&files);
    let forecast = || {
        let run = project.run(&["plan", "app", "--json", "--file", "compose.yaml"]);
        run.succeeds();
        let plan: Value = serde_json::from_str(&run.stdout).expect("one JSON document");
        let states = plan["steps"].as_array().expect("steps").iter().map(|step| &step["forecast"]["state"]);
        states.map(|state| state.as_str().expect("a state").to_owned()).collect::<Vec<_>>()
    };
    // Returns whether the next build has to ask BuildKit, and the steps that were cached.
    let build = || {
        let (report, run) = project.build(&["-v", "app"]);
        run.succeeds();
        let is_open = run.stderr.contains("BuildKit may notice a change of a file later");
        (is_open, ["COPY src", "RUN ls"].map(|step| cached(&report, step)))
    };
    assert_eq!(build(), (false, [false, false]));
    let path = project.path("src/a");
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(&path, "user.late", b"1", flags).expect("extended attributes");
    let open = ["cached", "if-changed", "if-changed"];
    let is_still_open = |when: &str| {
        assert_eq!(forecast(), open, "{when}");
        assert_eq!(build(), (true, [true, true]), "{when}: BuildKit notices no attribute alone");
    };
    is_still_open("at once");
    is_still_open("again");
    project.write("src/b", "two\n");
    assert_eq!(forecast(), ["cached", "runs", "runs"]);
    assert_eq!(build(), (true, [false, false]), "BuildKit copied only the other file");
    is_still_open("after another file");
    let file = std::fs::File::options().append(true).open(&path).expect("opened");
    file.set_modified(std::time::SystemTime::now()).expect("a new time");
    assert_eq!(forecast(), open, "the content of the file is what it was");
    assert_eq!(build(), (false, [false, false]), "BuildKit copied the file with its attribute");
    assert_eq!(forecast(), ["cached"; 3]);
    assert_eq!(build(), (false, [true, true]));
}
