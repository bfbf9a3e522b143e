use jiff::Timestamp;

use crate::doctor::habits::*;
use crate::project::context::Input;

fn step(text: &str, files: &[&str], parents: &[usize]) -> GraphStep {
    let input = |path: &&str| Input { path: (*path).to_owned(), state: "644:1".into() };
    GraphStep {
        target: "app".into(),
        stage: "s".into(),
        text: text.into(),
        files: files.iter().map(input).collect(),
        parents: parents.to_vec(),
        ..GraphStep::default()
    }
}

/// Returns a build in which steps ran for this many seconds.
fn build(graph: &[GraphStep], ran: &[i64]) -> BuildSteps {
    let at = |second: i64| Timestamp::from_second(second).expect("in range");
    let steps = graph.iter().zip(ran).map(|(step, took)| StepOutcome {
        target: step.target.clone(),
        stage: step.stage.clone(),
        text: step.text.clone(),
        is_done: true,
        ran: (*took > 0).then(|| (at(0), at(*took))),
        ..StepOutcome::default()
    });
    BuildSteps { steps: steps.collect(), ..BuildSteps::default() }
}

fn findings(habits: &Habits) -> Vec<String> {
    checks(habits).into_iter().map(|check| format!("{}: {}", check.name, check.detail)).collect()
}

#[test]
fn an_early_copy_of_everything_is_reported_with_its_cost() {
    let graph = vec![step("COPY . .", &["a", "go.mod"], &[]), step("RUN go build", &[], &[0])];
    let habits = |builds: &[&[i64]]| Habits {
        builds: builds.iter().map(|ran| build(&graph, ran)).collect(),
        graphs: vec![graph.clone()],
        ..Habits::default()
    };
    assert_eq!(
        findings(&habits(&[&[1, 40], &[0, 0], &[1, 60]])),
        ["early COPY: `COPY . .` of s (app) ran in 2 of 3 builds, and with it up to 60 s of steps after it"]
    );
    assert!(findings(&habits(&[&[1, 40], &[0, 0]])).is_empty(), "once is no habit");
    assert!(findings(&habits(&[&[1, 4], &[1, 4]])).is_empty(), "cheap");
}

#[test]
fn unneeded_files_are_reported() {
    let heavy = GraphStep {
        bytes: 412_000_000,
        largest: Some(("node_modules".into(), 390_000_000)),
        ..step("COPY . /app", &[".git/HEAD"], &[])
    };
    let habits = Habits { graphs: vec![vec![heavy]], ..Habits::default() };
    assert_eq!(
        findings(&habits),
        [
            "context: `COPY . /app` of s (app) takes 412 MB, 390 MB of it node_modules",
            ".dockerignore: `COPY . /app` of s (app) copies .git: each commit and fetch makes it run again",
        ]
    );
}

#[test]
fn empty_and_changing_mounts_are_reported() {
    let mut run = step("RUN make", &[], &[]);
    run.parts.insert("command".into(), "make".into());
    run.parts.insert("mount cache /c".into(), "cache".into());
    let record = |id: &str, bytes: u64| Record {
        id: id.into(),
        created: None,
        kind: "exec.cachemount".into(),
        bytes,
        mutable: true,
        reclaimable: true,
        has_parent: false,
        description: format!("cached mount /c from exec /bin/sh -c make with id \"/{id}\""),
    };
    let graph = vec![run];
    let habits = |records: Vec<Record>, runs: usize| Habits {
        builds: (0..runs).map(|_| build(&graph, &[1])).collect(),
        graphs: vec![graph.clone()],
        records,
        ..Habits::default()
    };
    assert_eq!(
        findings(&habits(vec![record("a", 4096)], 3)),
        [
            "cache mounts: /c in `RUN make` of s (app) is empty after 3 runs: its tool writes to another directory"
        ]
    );
    let each = vec![record("a", 1 << 20), record("b", 1 << 20), record("c", 1 << 20)];
    assert_eq!(
        findings(&habits(each, 3)),
        [
            "cache mounts: /c in `RUN make` of s (app) changed in each of 3 runs: its id, uid, gid or mode differs"
        ]
    );
    assert!(findings(&habits(vec![record("a", 1 << 20)], 3)).is_empty());
    assert!(findings(&habits(vec![record("a", 4096)], 1)).is_empty(), "too early to tell");
}
