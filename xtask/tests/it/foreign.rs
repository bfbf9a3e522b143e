//! A foreign Compose project with every kind of cache mount is built, saved, moved to another
//! machine and rebuilt there.

use crate::common::second_daemon::SecondDaemon;
use crate::common::{Project, cached, unique};

const COMPOSE: &str = "
name: foreign
services:
  web:
    image: durango-test/foreign-web
    build: {context: web, dockerfile: docker/Dockerfile, args: {BASE_IMAGE: 'debian:13-slim', EDIT: '${EDIT:-1}', TOOL: pip}}
  worker:
    image: durango-test/foreign-worker
    build: {context: ., dockerfile: worker.Dockerfile, args: {BASE_IMAGE: 'debian:13-slim', EDIT: '${EDIT:-1}'}}
  seeded:
    image: durango-test/foreign-seeded
    build: {context: ., dockerfile: seeded.Dockerfile, args: {BASE_IMAGE: 'debian:13-slim', EDIT: '${EDIT:-1}'}}
";

/// A target in a subdirectory; a mount id that contains an argument.
const WEB: &str = "ARG BASE_IMAGE=debian:13-slim
FROM ${BASE_IMAGE}
ARG TOOL EDIT
COPY page /page
RUN --mount=type=cache,id=@ID@-${TOOL},target=/cache/pip,sharing=locked : @ID@; sleep 2 && echo $EDIT >>/cache/pip/web && cp /cache/pip/web /web
";

/// Owner and mode of the mount, a heredoc, no id.
const WORKER: &str = "ARG BASE_IMAGE=debian:13-slim
FROM ${BASE_IMAGE}
ARG EDIT
RUN --mount=type=cache,target=/var/@ID@,uid=1000,gid=1000,mode=0750 <<'SCRIPT'
set -e; : @ID@; sleep 2
echo $EDIT >>/var/@ID@/worker
stat -c '%u %g %a' /var/@ID@ >>/var/@ID@/owner
cp /var/@ID@/worker /worker
cp /var/@ID@/owner /owner
SCRIPT
";

/// A mount that starts with a directory of another stage.
const SEEDED: &str = "ARG BASE_IMAGE=debian:13-slim
FROM ${BASE_IMAGE} AS seed
RUN mkdir /seed && echo seeded >/seed/seeded
FROM ${BASE_IMAGE}
ARG EDIT
RUN --mount=type=cache,id=@ID@-seeded,target=/cache,from=seed,source=/seed : @ID@; sleep 2 && echo $EDIT >>/cache/seeded && cp /cache/seeded /seeded
";

/// Returns the content of a file in an image of the second machine.
fn read(machine: &SecondDaemon, image: &str, file: &str) -> String {
    let output = machine.docker(&["run", "--rm", &format!("durango-test/foreign-{image}"), "cat", file]);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
#[ignore = "needs an engine"]
fn a_foreign_project_continues_on_another_machine() {
    let id = unique("foreign");
    let own = |text: &str| text.replace("@ID@", &id);
    let files = [
        ("compose.yaml", COMPOSE.to_owned()),
        ("web/docker/Dockerfile", own(WEB)),
        ("web/page", "page".to_owned()),
        ("worker.Dockerfile", own(WORKER)),
        ("seeded.Dockerfile", own(SEEDED)),
    ];
    let project = Project::new(&files.each_ref().map(|(name, text)| (*name, text.as_str())));
    let all = ["web", "worker", "seeded"];
    let (report, run) = project.build(&all);
    run.succeeds();
    let mounts = report["cache"]["mounts"].as_array().expect("mounts");
    assert_eq!(mounts.len(), 3, "{}", run.all());
    let bundle = project.path("bundle.tar").display().to_string();
    project.run(&["cache", "export", "--to", &bundle, "--file", "compose.yaml"]).succeeds();

    let (second, project) = SecondDaemon::of(project);
    let store = project.path("other-store").display().to_string();
    let project = project.env("DURANGO_CACHE_DIR", &store);
    project.run(&["cache", "import", "--from", &bundle]).succeeds();
    let (report, run) = project.build(&all);
    run.succeeds();
    assert_eq!(report["result"], "cached", "{}", run.all());
    assert!(
        report["cache"]["mounts"]
            .as_array()
            .is_some_and(|mounts| mounts.iter().all(|mount| mount["restored"] == false))
    );

    let project = project.env("EDIT", "2");
    let (report, run) = project.build(&all);
    run.succeeds();
    assert!(cached(&report, "COPY page") && !cached(&report, "cp /cache/pip/web"), "{report}");
    assert_eq!(read(&second, "web", "/web"), "1\n2\n", "{}", run.all());
    // A mount without an explicit id stays on its machine.
    assert_eq!(read(&second, "worker", "/worker"), "2\n", "{}", run.all());
    assert_eq!(read(&second, "worker", "/owner"), "1000 1000 750\n");
    assert_eq!(read(&second, "seeded", "/seeded"), "seeded\n1\n2\n", "{}", run.all());
}

/// bake supports `service:` since buildx 0.24. Older versions take it for a directory, so xtask
/// passes `target:` to them.
#[test]
#[ignore = "needs an engine"]
fn a_service_context_is_the_result_of_that_service() {
    let compose = "
services:
  my.base:
    image: durango-test/service-base
    build: {context: base, args: {BASE_IMAGE: 'debian:13-slim'}}
  web:
    image: durango-test/service-web
    build: {context: web, additional_contexts: {base: 'service:my.base'}}
";
    let salt = unique("foreign");
    let base = format!("ARG BASE_IMAGE=debian:13-slim\nFROM ${{BASE_IMAGE}}\nRUN echo '{salt}' >/salt\n");
    let project = Project::new(&[
        ("compose.yaml", compose),
        ("base/Dockerfile", &base),
        ("web/Dockerfile", "FROM base\nRUN cat /salt >/web\n"),
    ]);
    let (report, run) = project.build(&["web"]);
    run.succeeds();
    let names: Vec<_> =
        report["targets"].as_array().expect("targets").iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["web", "my_base"], "{}", run.all());
    let output = std::process::Command::new("docker")
        .args(["run", "--rm", "durango-test/service-web", "cat", "/web"])
        .output()
        .expect("docker runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), salt);
    let (report, run) = project.build(&["web"]);
    assert_eq!(report["result"], "cached", "{}", run.all());
}
