//! Cache mounts that only a registry has, restored before a step begins, however short the step is.

use crate::common::registry::Registry;
use crate::common::second_daemon::SecondDaemon;
use crate::common::{COMPOSE, Project, base_of, unique};

/// Returns a step that adds the content of `a.txt` to its mount. It takes some milliseconds.
fn step(salt: &str, number: usize) -> String {
    format!(
        "RUN --mount=type=cache,id={salt}-{number},target=/m cat /a.txt >>/m/lines; cp /m/lines /lines-{number}\n"
    )
}

#[test]
#[ignore = "needs an engine"]
fn short_steps_begin_with_the_mounts_of_a_registry() {
    let salt = unique("registry-ahead");
    let stays = format!("RUN --mount=type=cache,id={salt}-stays,target=/m echo stays >>/m/lines\n");
    let steps: String = (0..3).map(|number| step(&salt, number)).collect();
    let file =
        format!("ARG BASE_IMAGE\nFROM ${{BASE_IMAGE}}\nRUN echo {salt} >/salt\n{stays}COPY a.txt /\n{steps}");
    let compose = COMPOSE.replace("durango-test/app", "durango-test/registry-ahead");
    let project = Project::new(&[("compose.yaml", &compose), ("Dockerfile", &file), ("a.txt", "home\n")]);
    let base = base_of(&project);
    let registry = Registry::start();
    project.build(&["app", "--cache", "none", "--cache", &registry.cache()]).1.succeeds();

    let away = SecondDaemon::start();
    away.receive(&base);
    let store = away.path("store");
    let project = project.env("DOCKER_HOST", &away.host());
    let project = project.env("DURANGO_CACHE_DIR", &store.display().to_string());
    let build = || {
        let (report, run) =
            project.build(&["app", "--no-save", "--cache", &format!("{},ro", registry.cache())]);
        run.succeeds();
        (report, run.all())
    };
    let fetched = || {
        let mounts = std::fs::read_dir(store.join("mounts")).into_iter().flatten().flatten();
        mounts.filter(|mount| mount.path().join("entry.json").exists()).count()
    };
    let (report, output) = build();
    assert_eq!(report["result"], "cached", "{output}");
    assert_eq!(fetched(), 0, "a step in the registry's layers needs no mount: {output}");

    project.write("a.txt", "away\n");
    let (report, output) = build();
    assert_eq!(report["result"], "built", "{output}");
    for number in 0..3 {
        let lines = format!("/lines-{number}");
        let shown = away.docker(&["run", "--rm", "durango-test/registry-ahead", "cat", &lines]);
        assert_eq!(String::from_utf8_lossy(&shown.stdout), "home\naway\n", "{number}: {output}");
    }
    assert_eq!(fetched(), 3, "a step that stays cached needs no mount: {output}");
}
