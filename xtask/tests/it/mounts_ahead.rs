//! Cache mounts that are restored before a step begins, however short the step is.

use std::collections::BTreeMap;

use serde_json::Value;
use xtask::testing::engine::disk_usage::{self, Record, Which};

use crate::common::second_daemon::SecondDaemon;
use crate::common::{COMPOSE, Project, unique};

/// Returns a step that adds a line to its mount and prints all lines. It takes some milliseconds.
fn step(number: usize, options: &str) -> String {
    format!(
        "RUN --mount=type=cache,{options},target=/m{number} echo $EDIT >>/m{number}/lines; \
         cat /m{number}/lines >/lines-{number}\n"
    )
}

/// A machine with a project that was built on another machine before.
struct Away {
    daemon: SecondDaemon,
    project: Project,
    name: &'static str,
    /// Part of all mount ids of the project, and of no other ids.
    salt: String,
    base: String,
}

impl Away {
    /// `steps` returns the Dockerfile's steps for a salt, which is part of all ids.
    fn new(name: &'static str, steps: impl Fn(&str) -> String) -> Self {
        Self::on(SecondDaemon::start, name, steps)
    }

    /// The same with engines of one kind.
    fn on(start: fn() -> SecondDaemon, name: &'static str, steps: impl Fn(&str) -> String) -> Self {
        let salt = unique(name);
        let file = format!(
            "ARG BASE_IMAGE\nFROM ${{BASE_IMAGE}} AS seed\nRUN mkdir -m 777 /seed && echo seed >/seed/lines\n\
             FROM ${{BASE_IMAGE}}\nARG EDIT\n{}",
            steps(&salt)
        );
        let compose = COMPOSE.replace("durango-test/app", &format!("durango-test/{name}"));
        let project = Project::new(&[("compose.yaml", &compose), ("Dockerfile", &file)]);
        let (home, project) = start().with(project);
        let base = crate::common::base_of(&project);
        build(&project, "home");
        let (daemon, project) = start().with(project);
        drop(home);
        Self { daemon, project, name, salt, base }
    }

    fn build(&self, edit: &str) -> Value {
        build(&self.project, edit)
    }

    /// Returns the content that a step saw in its mount.
    fn lines(&self, number: usize) -> String {
        let image = format!("durango-test/{}", self.name);
        let file = format!("/lines-{number}");
        let output = self.daemon.docker(&["run", "--rm", "--network=none", &image, "cat", &file]);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).replace('\n', " ").trim().to_owned()
    }

    /// Returns the number of the project's mounts in the builder, by id.
    fn mounts(&self) -> BTreeMap<String, usize> {
        let sh = xshell::Shell::new().expect("a directory");
        sh.set_var("DOCKER_HOST", self.daemon.host());
        let records = disk_usage::read(&sh, "default", Which::Mounts).expect("it says what it holds");
        let mut found = BTreeMap::new();
        for id in records.iter().filter_map(Record::mount_id).filter(|id| id.contains(&self.salt)) {
            *found.entry(id.to_owned()).or_default() += 1;
        }
        found
    }

    /// Makes the builder forget everything.
    fn forget(&self) {
        let begun = std::time::Instant::now();
        loop {
            let pruned = self.daemon.docker(&["buildx", "prune", "--all", "--force"]);
            assert!(pruned.status.success());
            if self.mounts().is_empty() {
                break;
            }
            assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", self.mounts());
        }
        self.daemon.receive(&self.base);
    }
}

fn build(project: &Project, edit: &str) -> Value {
    let (report, run) = project.build(&["app", "--build-arg", &format!("EDIT={edit}")]);
    run.succeeds();
    report
}

#[test]
#[ignore = "needs an engine"]
fn short_steps_begin_with_their_mounts() {
    warm_in_each_round(SecondDaemon::start, "short");
}

#[test]
#[ignore = "needs an engine"]
fn short_steps_without_a_network_begin_with_their_mounts() {
    warm_in_each_round(SecondDaemon::start_offline, "short-offline");
}

/// Builds a project with five mounts in short steps on a machine that forgot everything. The mounts
/// were saved on another machine.
#[expect(clippy::print_stderr, reason = "the measurement")]
fn warm_in_each_round(start: fn() -> SecondDaemon, name: &'static str) {
    let away = Away::on(start, name, |salt| {
        (0..5).map(|number| step(number, &format!("id={salt}-{number}"))).collect()
    });
    // One round proves the behavior; more rounds measure it.
    let rounds: usize =
        std::env::var("DURANGO_TEST_ROUNDS").map_or(2, |text| text.parse().expect("a number"));
    let mut warm = 0;
    for round in 0..rounds {
        if round > 0 {
            away.forget();
        }
        let report = away.build(&format!("away{round}"));
        let is_warm = |number: &usize| away.lines(*number).starts_with("home ");
        warm += (0..5).filter(is_warm).count();
        let restored = report["cache"]["mounts"].as_array().expect("mounts");
        assert!(restored.iter().all(|mount| mount["restored"] == true), "{report}");
        assert_eq!(report["warnings"].to_string().matches("cache mount").count(), 0, "{report}");
        assert_eq!(away.mounts().values().sum::<usize>(), 5, "none is orphaned: {:?}", away.mounts());
    }
    eprintln!("warm mounts: {warm} of {}", 5 * rounds);
    assert_eq!(warm, 5 * rounds);
}

#[test]
#[ignore = "needs an engine"]
fn each_kind_of_mount_is_restored_before_its_step() {
    let away = Away::new("kinds", |salt| {
        [
            step(0, &format!("id={salt}-shared")),
            step(1, &format!("id={salt}-shared")),
            step(2, &format!("id={salt}-locked,sharing=locked")),
            step(3, &format!("id={salt}-private,sharing=private")),
            step(4, &format!("id={salt}-seeded,from=seed,source=/seed")),
            step(5, &format!("id={salt}-owned,uid=5")),
            step(6, &format!("id={salt}-owned,uid=6")),
            step(7, &format!("id={salt}-owned,mode=0700")),
        ]
        .concat()
    });
    away.build("away");
    let seen: Vec<String> = (0..8).map(|number| away.lines(number)).collect();
    let plain = "home away";
    let expected =
        ["home home away", "home home away away", plain, plain, "seed home away", plain, plain, plain];
    assert_eq!(seen, expected);
    let counts: Vec<usize> = away.mounts().into_values().collect();
    assert_eq!(counts.iter().sum::<usize>(), 7, "none is orphaned: {:?}", away.mounts());
}

#[test]
#[ignore = "needs an engine"]
fn a_mount_is_not_restored_over_newer_content() {
    let away =
        Away::new("newer", |salt| [5, 6].map(|uid| step(uid, &format!("id={salt},uid={uid}"))).concat());
    away.build("away");
    assert_eq!((away.lines(5), away.lines(6)), ("home away".into(), "home away".into()));
    // Only one of the two is gone. The builder's records don't say which one.
    let sh = xshell::Shell::new().expect("a directory");
    sh.set_var("DOCKER_HOST", away.daemon.host());
    let records = disk_usage::read(&sh, "default", Which::Mounts).expect("it says what it holds");
    let mut own = records.iter().filter(|record| record.mount_id().is_some_and(|id| id.contains(&away.salt)));
    let id = format!("id={}", own.next().expect("a mount").id);
    let begun = std::time::Instant::now();
    while away.mounts().values().sum::<usize>() == 2 && begun.elapsed().as_secs() < 20 {
        assert!(away.daemon.docker(&["buildx", "prune", "--force", "--filter", &id]).status.success());
    }
    assert_eq!(away.mounts().values().sum::<usize>(), 1);
    away.build("again");
    let expected = "home away again".to_owned();
    assert_eq!((away.lines(5), away.lines(6)), (expected.clone(), expected));
    assert_eq!(away.mounts().values().sum::<usize>(), 2, "{:?}", away.mounts());
}

#[test]
#[ignore = "needs an engine"]
fn two_builds_at_once_share_what_is_restored() {
    let away = Away::new("at-once", |salt| {
        [
            step(0, &format!("id={salt}-shared")),
            step(1, &format!("id={salt}-locked,sharing=locked")),
            step(2, &format!("id={salt}-other")),
        ]
        .concat()
    });
    let begun = ["one", "two"].map(|edit| {
        let arg = format!("EDIT={edit}");
        let args = ["build", "app", "--file", "compose.yaml", "--build-arg", &arg];
        away.project.command(&args).stderr(std::process::Stdio::piped()).spawn().expect("it runs")
    });
    for build in begun {
        let output = build.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    away.build("last");
    for number in 0..3 {
        let lines = away.lines(number);
        assert!(lines.starts_with("home ") && lines.ends_with(" last"), "{number}: {lines}");
        assert!(lines.contains("one") && lines.contains("two"), "{number}: {lines}");
    }
    assert_eq!(away.mounts().values().sum::<usize>(), 3, "none is orphaned: {:?}", away.mounts());
}

#[test]
#[ignore = "needs an engine"]
fn a_mount_of_several_targets_is_restored_once() {
    let salt = unique("targets");
    let file = format!(
        "ARG BASE_IMAGE\nFROM ${{BASE_IMAGE}}\nARG EDIT\nARG WHO\nRUN echo $WHO >/who\n{}",
        step(0, &format!("id={salt},sharing=locked"))
    );
    let compose = "services:\n  app:\n    image: durango-test/targets-app\n    build:\n      context: .\n      \
        args: {BASE_IMAGE: 'debian:13-slim', WHO: app}\n  web:\n    image: durango-test/targets-web\n    build:\n      \
        context: .\n      args: {BASE_IMAGE: 'debian:13-slim', WHO: web}\n";
    let project = Project::new(&[("compose.yaml", compose), ("Dockerfile", &file)]);
    let (home, project) = SecondDaemon::of(project);
    let both = |project: &Project, edit: &str| {
        let (report, run) = project.build(&["app", "web", "--build-arg", &format!("EDIT={edit}")]);
        run.succeeds();
        report
    };
    both(&project, "home");
    let (daemon, project) = SecondDaemon::of(project);
    drop(home);
    let report = both(&project, "away");
    assert_eq!(report["cache"]["mounts"][0]["restored"], true, "{report}");
    let lines = |name: &str| {
        let image = format!("durango-test/targets-{name}");
        let output = daemon.docker(&["run", "--rm", "--network=none", &image, "cat", "/lines-0"]);
        String::from_utf8_lossy(&output.stdout).replace('\n', " ").trim().to_owned()
    };
    let mut seen = [lines("app"), lines("web")];
    seen.sort();
    assert_eq!(seen, ["home home away", "home home away away"]);
}
