//! The pipelines in `ci/`, and `ci/onboard.sh`. Their lines are known commands and work in order on
//! the real engine. Their permissions, pins, and caches are safe.

use std::ffi::OsString;
use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::common::{Run, lock};
use serde_json::Value;
use xtask::testing::cli::parse;

/// Prefixes of lines that are not our commands: GitLab's login, GitHub's settings.
const OWN: [&str; 3] = [
    r#"echo "$CI_REGISTRY_PASSWORD" | docker login "#,
    r#"echo "DURANGO_CACHE_DIR=$RUNNER_TEMP/"#,
    r#"echo "IMAGE="#,
];

fn is_own(line: &str) -> bool {
    OWN.iter().any(|start| line.starts_with(start))
}

/// The parts of the store that may leave the machine.
const KEPT: [&str; 4] = ["layers", "mounts", "fresh", "VERSION"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the workspace")
}

fn text(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn yaml(file: &str) -> Value {
    serde_saphyr::from_str(&text(file)).unwrap_or_else(|error| panic!("{file} is not YAML: {error}"))
}

/// A job and its shell lines.
type Job = (String, Vec<String>);

fn github_steps(job: &Value) -> impl Iterator<Item = &Value> {
    job["steps"].as_array().expect("steps").iter()
}

fn github() -> Vec<Job> {
    let pipeline = yaml("ci/github/images.yml");
    let jobs = pipeline["jobs"].as_object().expect("jobs");
    let lines = |job| github_steps(job).filter_map(|step| step["run"].as_str()).flat_map(str::lines);
    jobs.iter().map(|(name, job)| (name.clone(), lines(job).map(str::to_owned).collect())).collect()
}

fn gitlab() -> Vec<Job> {
    let pipeline = yaml("ci/gitlab/.gitlab-ci.yml");
    let jobs = pipeline.as_object().expect("keys").iter();
    jobs.filter(|(_, job)| job["script"].is_array())
        .map(|(name, job)| {
            let parts = ["before_script", "script", "after_script"].into_iter();
            let lines = parts.filter_map(|part| job[part].as_array()).flatten();
            let lines = lines.map(|line| line.as_str().expect("a line").to_owned()).collect();
            (name.clone(), lines)
        })
        .collect()
}

/// Returns the words after `cargo xtask`.
fn words(line: &str) -> Vec<String> {
    let words = shell_words::split(line).unwrap_or_else(|error| panic!("`{line}`: {error}"));
    assert_eq!(words[..2.min(words.len())], ["cargo", "xtask"], "`{line}` is no call of cargo xtask");
    words[2..].to_vec()
}

/// Returns the name of the command, which the table must know with its options.
fn command(line: &str) -> &'static str {
    let args = words(line).into_iter().map(OsString::from).collect();
    parse::command_line(args).unwrap_or_else(|error| panic!("`{line}`: {error:#}")).0.name
}

#[test]
fn every_line_of_every_job_is_a_known_command() {
    for (name, lines) in github().into_iter().chain(gitlab()) {
        let ours: Vec<&String> = lines.iter().filter(|line| !is_own(line)).collect();
        let commands: Vec<&str> = ours.iter().map(|line| command(line)).collect();
        assert_eq!(commands[..4], ["doctor", "base-build", "frankenphp", "smoke"], "{name}");
        let pushes = |line: &&String| words(line).contains(&"--push".to_owned());
        assert_eq!(commands.len() == 5, name.ends_with("push"), "{name}: {commands:?}");
        assert!(commands.len() == 4 || pushes(&ours[4]), "{name}: {lines:?}");
    }
    assert_eq!((github().len(), gitlab().len()), (2, 2));
}

#[test]
fn the_pipelines_run_for_proposals_and_for_the_main_branch() {
    let pipeline = yaml("ci/github/images.yml");
    assert!(pipeline["on"].get("pull_request").is_some(), "{}", pipeline["on"]);
    assert_eq!(pipeline["on"]["push"]["branches"][0], "main");
    let rules = yaml("ci/gitlab/.gitlab-ci.yml")["workflow"]["rules"].to_string();
    assert!(rules.contains("merge_request_event") && rules.contains("CI_DEFAULT_BRANCH"), "{rules}");
}

#[test]
fn actions_are_pinned_by_their_commit_and_images_by_their_major_version() {
    let pipeline = text("ci/github/images.yml");
    let actions: Vec<&str> =
        pipeline.lines().filter_map(|line| line.split_once("uses: ")).map(|(_, it)| it).collect();
    assert!(actions.len() >= 4, "{actions:?}");
    for action in actions {
        // The version is for readers and for update bots.
        let (commit, version) = action.split_once('@').expect("a pin").1.split_once(" # v").expect(action);
        assert!(commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit()), "{action}");
        assert_eq!(version.split('.').filter(|part| part.parse::<u32>().is_ok()).count(), 3, "{action}");
    }
    let job = &yaml("ci/gitlab/.gitlab-ci.yml")[".images"];
    for image in [&job["image"], &job["services"][0]] {
        let tag = image.as_str().and_then(|image| image.split_once(':')).expect("a tag").1;
        let major = tag.split('-').next().unwrap_or_default();
        assert!(major.parse::<u32>().is_ok(), "{image}");
    }
}

#[test]
fn only_the_job_that_pushes_may_write_packages() {
    let pipeline = yaml("ci/github/images.yml");
    assert_eq!(pipeline["permissions"], serde_json::json!({"contents": "read"}));
    for (name, job) in pipeline["jobs"].as_object().expect("jobs") {
        let pushes = job["if"] == "github.event_name == 'push'";
        let writes = serde_json::json!({"contents": "read", "packages": "write"});
        assert_eq!(job.get("permissions"), pushes.then_some(&writes), "{name}");
        let uses = |action: &str| {
            let start = format!("{action}@");
            github_steps(job).find(move |step| step["uses"].as_str().is_some_and(|it| it.starts_with(&start)))
        };
        assert_eq!(uses("docker/login-action").is_some(), pushes, "{name}");
        let checkout = uses("actions/checkout").expect("a checkout");
        assert_eq!(checkout["with"]["persist-credentials"], false, "{name}");
        // Secrets and contexts reach a shell only through its environment.
        let runs = github_steps(job).filter_map(|step| step["run"].as_str());
        runs.for_each(|line| assert!(!line.contains("${{"), "{name}: `{line}`"));
    }
}

#[test]
fn an_image_is_named_in_lower_case() {
    let lines: Vec<String> = github().into_iter().flat_map(|(_, lines)| lines).collect();
    let line = lines.iter().find(|line| line.starts_with("echo \"IMAGE=")).expect("the image's name");
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("env");
    let env = [("GITHUB_REPOSITORY", "MyOrg/Some.Repo_2"), ("GITHUB_ENV", file.to_str().expect("a path"))];
    let run = shell(line, &dir, &env);
    assert_eq!(run.code, 0, "{}", run.all());
    assert_eq!(fs::read_to_string(file).expect("written"), "IMAGE=ghcr.io/myorg/some.repo_2\n");
}

/// Returns the paths that a GitHub step caches.
fn github_paths(step: &Value) -> Vec<String> {
    step["with"]["path"].as_str().expect("paths").lines().map(str::to_owned).collect()
}

#[test]
fn the_caches_hold_results_alone_and_nothing_to_execute() {
    let github = yaml("ci/github/images.yml");
    for (name, job) in github["jobs"].as_object().expect("jobs") {
        let is_cache =
            |step: &&Value| step["uses"].as_str().is_some_and(|it| it.starts_with("actions/cache"));
        let cache = github_steps(job).find(is_cache).expect("the cache action");
        assert_eq!(github_paths(cache), KEPT.map(|part| format!("${{{{ runner.temp }}}}/durango/{part}")));
        assert!(cache["with"]["key"].as_str().is_some_and(|key| key.ends_with("') }}")), "ends in a digest");
        let only_restores = cache["uses"].as_str().is_some_and(|it| it.contains("/restore@"));
        assert_eq!(only_restores, name == "push", "{name}");
        let store = "echo \"DURANGO_CACHE_DIR=$RUNNER_TEMP/durango\" >>\"$GITHUB_ENV\"";
        assert!(github_steps(job).any(|step| step["run"] == store), "{name}: outside of the checkout");
    }
    let job = &yaml("ci/gitlab/.gitlab-ci.yml")[".images"];
    let store = job["variables"]["DURANGO_CACHE_DIR"].as_str().expect("a directory");
    let name = store.strip_prefix("$CI_PROJECT_DIR/").expect("GitLab keeps nothing else");
    let kept: Vec<&str> =
        job["cache"]["paths"].as_array().expect("paths").iter().flat_map(Value::as_str).collect();
    let kept: Vec<&str> = kept.iter().map(|path| path.trim_end_matches('/')).collect();
    assert_eq!(kept, KEPT.map(|part| format!("{name}/{part}")));
    assert!(text(".gitignore").lines().any(|line| line == name), "{name} is no part of the repository");
}

#[test]
fn the_first_day_uses_known_commands() {
    let script = text("ci/onboard.sh");
    let lines = script.lines().filter(|line| line.starts_with("cargo "));
    let lines: Vec<&str> = lines.filter_map(|line| line.split(" || ").next()).collect();
    let commands: Vec<&str> = lines.iter().map(|line| command(line)).collect();
    assert_eq!(commands, ["base-build", "frankenphp", "doctor"]);
}

/// Runs a line as the CI's shell does, with a store for the test.
fn shell(line: &str, store: &tempfile::TempDir, env: &[(&str, &str)]) -> Run {
    let mut bash = Command::new("bash");
    bash.args(["-euo", "pipefail", "-c", line]).current_dir(root()).stdin(Stdio::null());
    bash.env("DURANGO_CACHE_DIR", store.path()).env("CI", "true").envs(env.iter().copied());
    Run::from(bash.output().expect("bash runs"))
}

#[test]
#[ignore = "needs an engine"]
fn the_pipelines_lines_run_in_order() {
    let store = tempfile::tempdir().expect("a directory");
    // Lines that push are only planned, and no line logs in.
    let env = ["IMAGE", "CI_REGISTRY_IMAGE"].map(|name| (name, "durango-test/pushed"));
    let env = [env.as_slice(), &[("GITHUB_SHA", "0123abc"), ("CI_COMMIT_SHA", "0123abc")]].concat();
    let mut done: Vec<String> = Vec::new();
    for (name, lines) in github().into_iter().chain(gitlab()) {
        for line in lines.into_iter().filter(|line| !is_own(line)) {
            if done.contains(&line) {
                continue;
            }
            let pushes = words(&line).contains(&"--push".to_owned());
            let run = shell(&if pushes { format!("{line} --dry-run") } else { line.clone() }, &store, &env);
            assert_eq!(run.code, 0, "{name}: `{line}`\n{}", run.all());
            if pushes {
                let tags = ["durango-test/pushed:latest", "durango-test/pushed:0123abc"];
                assert!(tags.iter().all(|tag| run.stdout.contains(tag)), "{}", run.all());
            }
            done.push(line);
        }
    }
    let again = shell("cargo xtask frankenphp --json", &store, &env);
    let report: Value = serde_json::from_str(&again.stdout).expect("one document");
    assert_eq!(report["result"], "cached", "{}", again.all());
}

#[test]
fn the_first_day_names_each_program_that_is_missing_with_its_remedy() {
    let store = tempfile::tempdir().expect("a directory");
    let bin = tempfile::tempdir().expect("a directory");
    let add = |name: &str| {
        let program = xtask::testing::host::Host::read().which(name).unwrap_or_else(|| panic!("no {name}"));
        std::os::unix::fs::symlink(program, bin.path().join(name)).expect("linked");
    };
    ["bash", "dirname", "env"].iter().for_each(|name| add(name));
    let path = bin.path().to_string_lossy().into_owned();
    for (missing, remedy) in [("cargo", "rustup.rs"), ("cc", "install gcc"), ("curl", "install curl")] {
        let script = format!("{}/bash ci/onboard.sh", bin.path().display());
        let run = shell(&format!("PATH={path} exec {script}"), &store, &[]);
        run.fails(1, &[&format!("no `{missing}` on the PATH"), remedy]);
        let stub = bin.path().join(missing);
        fs::write(&stub, "").expect("written");
        fs::set_permissions(&stub, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("set");
    }
}

/// The containers of the first day, with names for this test. They are removed on drop.
struct Day {
    store: tempfile::TempDir,
    project: String,
}

impl Day {
    fn run(&self, line: &str, env: &[(&str, &str)]) -> Run {
        let own = [("COMPOSE_PROJECT_NAME", self.project.as_str())];
        shell(line, &self.store, &[own.as_slice(), env].concat())
    }
}

impl Drop for Day {
    fn drop(&mut self) {
        self.run("docker compose --file builder/compose.yaml down --volumes --timeout 5", &[]);
    }
}

#[test]
#[ignore = "needs an engine"]
fn the_first_day_ends_with_a_page() {
    let store = tempfile::tempdir().expect("a directory");
    let _image = lock::runtime_image_changes();
    let day = Day { store, project: format!("durango-test-{}", std::process::id()) };
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let run = day.run("ci/onboard.sh", &[("DURANGO_HTTP_PORT", &port)]);
    run.fails(1, &["is in use by another program", "DURANGO_HTTP_PORT"]);
    assert_eq!(run.stderr.matches("error: ").count(), 1, "{}", run.all());
    // The script uses a free port, prints it, and keeps it.
    let run = day.run("ci/onboard.sh", &[]);
    assert_eq!(run.code, 0, "{}", run.all());
    let works = run.stdout.lines().find(|line| line.starts_with("It works: http://localhost:"));
    let works = works.unwrap_or_else(|| panic!("{}", run.all())).to_owned();
    assert!(!works.contains(&format!(":{port}/")), "{works}");
    let again = day.run("ci/onboard.sh", &[]);
    assert!(again.code == 0 && again.stdout.contains(&works), "the port stays: {}", again.all());
}
