//! Variables of docker, buildx and Compose that users have set.

use super::common::second_daemon::SecondDaemon;
use super::common::{COMPOSE, Project, base_of, unique};

fn project() -> Project {
    let dockerfile = format!("ARG BASE_IMAGE\nFROM ${{BASE_IMAGE}}\nRUN echo {}\n", unique("environment"));
    Project::new(&[("sub/compose.yaml", COMPOSE), ("sub/Dockerfile", &dockerfile)])
}

#[test]
#[ignore = "needs an engine"]
fn a_display_that_docker_is_asked_for_breaks_no_question() {
    let project =
        Project::new(&[("compose.yaml", COMPOSE), ("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n")]);
    project.owns("durango-test/app");
    for mode in ["tty", "plain", "quiet", "rawjson", "a word of tomorrow"] {
        let mut command = project.command(&["build", "app", "--file", "compose.yaml", "--no-save"]);
        let output = command.env("BUILDKIT_PROGRESS", mode).output().expect("it runs");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{mode}: {stderr}");
        assert_eq!(stderr.contains("\"vertexes\""), mode == "rawjson", "{mode}: {stderr}");
        let mut command =
            project.command(&["build", "app", "--file", "compose.yaml", "--no-save", "--progress", "plain"]);
        let output = command.env("BUILDKIT_PROGRESS", mode).output().expect("it runs");
        assert!(!String::from_utf8_lossy(&output.stderr).contains("\"vertexes\""), "an option wins");
    }
}

#[test]
#[ignore = "needs an engine"]
fn relative_paths_of_the_client_start_in_the_current_directory() {
    let project = project();
    let base = base_of_sub(&project);
    let second = SecondDaemon::start();
    second.receive(&base);
    let docker = |args: &[&str]| {
        let mut command = std::process::Command::new("docker");
        command.args(args).current_dir(project.path("")).env("DOCKER_CONFIG", "config");
        assert!(
            command.env_remove("DOCKER_HOST").output().expect("docker runs").status.success(),
            "{args:?}"
        );
    };
    std::fs::create_dir(project.path("config")).expect("made");
    let plugins = project.path("home/.docker/cli-plugins");
    if plugins.exists() {
        std::os::unix::fs::symlink(plugins, project.path("config/cli-plugins")).expect("a link");
    }
    docker(&["context", "create", "far", "--docker", &format!("host={}", second.host())]);
    let mut command = project.command(&["build", "app", "--file", "sub/compose.yaml", "--no-save", "--json"]);
    command.env_remove("DOCKER_HOST").env("DOCKER_CONFIG", "config").env("DOCKER_CONTEXT", "far");
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let images = second.docker(&["image", "ls", "--quiet", "durango-test/app"]);
    assert!(!images.stdout.is_empty(), "it was built there");
}

fn base_of_sub(project: &Project) -> String {
    project.write("compose.yaml", COMPOSE);
    base_of(project)
}
