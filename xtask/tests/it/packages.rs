//! Security updates: the runtime image's own Dockerfile, on a base image with the test's mirror. A
//! library moves from 1 to 1+deb13u1, a file is missing, the mirror disappears.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::common::mirror::{Mirror, Package};
use crate::common::{COMPOSE, Project, Run, base_of, docker, forget_digest};

const DECLARATION: &str = r"
services:
  app:
    image: NAME:latest
    build:
      context: docker
      dockerfile: frankenphp.Dockerfile
      args:
        BASE_IMAGE: NAME-base
        PACKAGES: ''
      additional_contexts:
        frankenphp-base: ./stub
        app: ./app
";

/// The paths of the mirror's Release files.
const RELEASES: [&str; 2] = ["/stable-security/Release", "/stable/Release"];

struct Site {
    mirror: Mirror,
    project: Project,
    image: String,
}

impl Site {
    /// Creates a base image that knows only this mirror and has libold.
    fn new(name: &str) -> Self {
        let image = format!("durango-test/packages-{name}");
        let mirror = Mirror::start();
        mirror.publish("stable", &[Package("libfoo", "1", true), Package("libold", "1", true)]);
        mirror.publish("stable-security", &[]);
        let project = Project::new(&[
            ("compose.yaml", COMPOSE),
            ("Dockerfile", "ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\n"),
        ]);
        let base = base_of(&project);
        let sources = ["stable", "stable-security"].map(|suite| mirror.source(suite)).join("\\n");
        project.write(
            "base/Dockerfile",
            &format!(
                "FROM {base}\nRUN rm -rf /etc/apt/sources.list.d/* && printf '{sources}\\n' >/etc/apt/sources.list && \
                 apt-get -qq update && apt-get -qq install libold && rm -rf /var/lib/apt/lists/*\n"
            ),
        );
        let dir = project.path("base").display().to_string();
        docker(&["build", "--no-cache", "--quiet", "--tag", &format!("{image}-base"), &dir]);
        project.owns(&format!("{image}-base"));
        let rooms = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docker");
        let copied = Command::new("cp").arg("-a").arg(rooms).arg(project.path("docker")).status();
        assert!(copied.expect("cp runs").success());
        project.write("docker/packages.list", "libfoo\n");
        project.write("stub/usr/local/share/durango/runtime-packages", "libfoo\n");
        project.write("app/index.php", "");
        project.write("compose.yaml", &DECLARATION.replace("NAME", &image));
        Self { mirror, project, image }
    }

    fn build(&self, args: &[&str]) -> (Value, Run) {
        let (json, run) = self.project.build(&[&["app", "--no-save"], args].concat());
        run.succeeds();
        (json, run)
    }

    /// Ends the day, builds, and returns the paths that the mirror was asked for, and the build.
    fn next_day(&self) -> (Vec<String>, Value, Run) {
        self.end_the_day();
        let asked = self.mirror.requests();
        let (json, run) = self.build(&["--verbose"]);
        (self.mirror.paths_since(asked), json, run)
    }

    fn version(&self, package: &str) -> String {
        docker(&["run", "--rm", "--entrypoint", "cat", &self.image, &format!("/usr/share/{package}/version")])
    }

    fn remembered(&self) -> PathBuf {
        let name = self.image.replace('/', "_");
        self.project.store().join(format!("fresh/{name}.json"))
    }

    fn end_the_day(&self) {
        end_the_day(&self.remembered());
    }

    /// Returns the image's upgradable packages according to apt.
    fn upgradable(&self) -> Vec<String> {
        let list = docker(&[
            "run",
            "--rm",
            "--user",
            "0",
            "--entrypoint",
            "sh",
            &self.image,
            "-c",
            "apt-get -qq update && apt list --upgradable 2>/dev/null",
        ]);
        list.lines().filter_map(|line| Some(line.split_once('/')?.0.to_owned())).collect()
    }
}

/// Makes the last answer for an image older than a day.
pub(crate) fn end_the_day(path: &Path) {
    let mut file: Value = serde_json::from_slice(&fs::read(path).expect("remembered")).expect("JSON");
    forget_digest(&mut file);
    for platform in file["platforms"].as_object_mut().expect("platforms").values_mut() {
        platform["packages"]["next"] = "2026-01-01T00:00:00Z".into();
    }
    fs::write(path, file.to_string()).expect("written");
}

/// Returns the steps that ran, with their stages and causes.
pub(crate) fn ran(json: &Value) -> Vec<(String, String, String)> {
    let steps = json["steps"].as_array().expect("steps").iter().filter(|step| step["cached"] == false);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    steps
        .map(|step| (text(&step["stage"]), text(&step["cause"]["kind"]), text(&step["cause"]["detail"])))
        .collect()
}

fn names(document: &Value) -> Vec<String> {
    let updates = document["updates"].as_array().expect("updates").iter();
    updates.map(|update| update["package"].as_str().expect("a name").to_owned()).collect()
}

#[test]
#[ignore = "needs an engine"]
fn an_update_runs_the_steps_that_install_and_nothing_else_runs_any() {
    let site = Site::new("update");
    let (first, _) = site.build(&[]);
    assert_eq!(first["result"], "built");
    assert_eq!((site.version("libfoo"), site.version("libold")), ("1".into(), "1".into()));

    // The mirror has an update, and within a day nothing asks it.
    let asked = site.mirror.requests();
    let new = [Package("libfoo", "1+deb13u1", true), Package("libold", "1+deb13u2", true)];
    site.mirror.publish("stable-security", &new);
    let (second, _) = site.build(&[]);
    assert_eq!((&second["result"], site.mirror.requests()), (&"cached".into(), asked));

    // `outdated` sees the same as apt, and lets the next build ask.
    let run = site.project.run(&["outdated", &site.image, "--json"]);
    assert_eq!(run.code, 1, "{}", run.all());
    let document: Value = serde_json::from_str(&run.stdout).expect("one document");
    assert_eq!((names(&document), &document["security"]), (site.upgradable(), &2.into()));
    assert_eq!(names(&document), ["libfoo", "libold"]);
    let remembered = fs::metadata(site.remembered()).expect("written").permissions().mode();
    assert_eq!(remembered & 0o077, 0, "the store is private");

    let plan = site.project.run(&["plan", "app", "--file", "compose.yaml"]);
    let reason = "package: libfoo 1 -> 1+deb13u1, libold 1 -> 1+deb13u2";
    assert!(plan.stdout.contains(reason), "{}", plan.all());
    let (third, _) = site.build(&[]);
    let ran_steps = ran(&third);
    assert!((3..=8).contains(&ran_steps.len()), "{ran_steps:?}");
    let (stage, kind, detail) = &ran_steps[0];
    assert_eq!(
        (stage.as_str(), kind.as_str(), detail.as_str()),
        ("resolve", "package", &reason["package: ".len()..])
    );
    assert!(ran_steps[1..].iter().all(|(_, kind, _)| kind == "parent"), "{ran_steps:?}");
    let explained = site.project.run(&["explain"]);
    assert!(explained.stdout.contains(reason), "{}", explained.all());
    assert_eq!((site.version("libfoo"), site.version("libold")), ("1+deb13u1".into(), "1+deb13u2".into()));
    let run = site.project.run(&["outdated", &site.image]);
    assert_eq!((run.code, site.upgradable()), (0, vec![]), "{}", run.all());

    // A day later the mirror is unchanged.
    let (paths, same, _) = site.next_day();
    assert_eq!(paths, RELEASES);
    assert_eq!((&same["result"], ran(&same)), (&"cached".into(), vec![]));
}

#[test]
#[ignore = "needs an engine"]
fn an_unchanged_mirror_is_asked_for_its_release_files_and_the_builder_for_nothing() {
    let site = Site::new("same");
    site.build(&[]);
    let is_by_builder = |run: &Run| run.stderr.contains("app.target=packages");
    let (paths, same, run) = site.next_day();
    assert_eq!((paths, &same["result"]), (RELEASES.map(String::from).into(), &"cached".into()));
    assert!(!is_by_builder(&run), "{}", run.all());
    let (asked, (same, _)) = (site.mirror.requests(), site.build(&[]));
    assert_eq!((&same["result"], site.mirror.requests()), (&"cached".into(), asked), "for another day");

    // A suite that was empty has a package.
    site.mirror.publish("stable-security", &[Package("libold", "1+deb13u1", true)]);
    let (paths, updated, run) = site.next_day();
    assert!(is_by_builder(&run) && paths.contains(&"/stable-security/Packages".into()), "{}", run.all());
    assert_eq!(ran(&updated)[0].2, "libold 1 -> 1+deb13u1");
    assert_eq!(site.version("libold"), "1+deb13u1");
    assert_eq!(site.next_day().0, RELEASES);

    // The builder is asked after a change of anything else, and renews the answer the day after.
    let dir = site.project.path("base").display().to_string();
    let file = fs::read_to_string(site.project.path("base/Dockerfile")).expect("read");
    let dockerfile = "docker/frankenphp.Dockerfile";
    let recipe = fs::read_to_string(site.project.path(dockerfile)).expect("read");
    let changes: [(&str, &dyn Fn()); 3] = [
        ("a file", &|| site.project.write("docker/packages.list", "libfoo\nlibold\n")),
        ("the stage", &|| {
            site.project.write(dockerfile, &recipe.replace("ARG PACKAGES=\n", "ARG PACKAGES=\nENV A=b\n"));
        }),
        ("the base image", &|| {
            site.project.write("base/Dockerfile", &format!("{file}RUN touch /new\n"));
            docker(&["build", "--quiet", "--tag", &format!("{}-base", site.image), &dir]);
        }),
    ];
    for (what, change) in changes {
        change();
        let (_, _, run) = site.next_day();
        assert!(is_by_builder(&run), "{what}: {}", run.all());
        let (paths, _, run) = site.next_day();
        assert!(!is_by_builder(&run) && paths == RELEASES, "{what}: {paths:?} {}", run.all());
    }

    // Without the list of its sources, an answer is never renewed.
    let before = recipe.replace(" /release-files", "");
    assert_ne!(before, recipe);
    site.project.write(dockerfile, &before);
    for _ in 0..2 {
        let (paths, _, run) = site.next_day();
        assert!(is_by_builder(&run) && paths.contains(&"/stable/InRelease".into()), "{}", run.all());
    }
}

#[test]
#[ignore = "needs an engine"]
fn targets_with_one_mirror_ask_it_once() {
    let site = Site::new("twins");
    let second = DECLARATION.replace("services:\n", "").replace("  app:\n", "  two:\n");
    let both =
        DECLARATION.to_owned() + second.trim_start_matches('\n').replace("NAME:", "NAME-two:").as_str();
    site.project.write("compose.yaml", &both.replace("NAME", &site.image));
    site.build(&["two"]);
    site.end_the_day();
    end_the_day(&site.project.store().join("fresh/durango-test_packages-twins-two.json"));
    let asked = site.mirror.requests();
    let (_, run) = site.build(&["two", "--verbose"]);
    assert_eq!(site.mirror.paths_since(asked), RELEASES);
    assert!(!run.stderr.contains("target=packages"), "{}", run.all());
}

#[test]
#[ignore = "needs an engine"]
fn without_an_answer_nothing_changes_and_the_build_says_so() {
    let site = Site::new("none");
    site.build(&[]);
    // A list with a package whose file the mirror doesn't have. The builder has none of an earlier
    // run of this test.
    let version = format!("2+{}", jiff::Timestamp::now().as_second());
    site.mirror.publish("stable-security", &[Package("libfoo", &version, false)]);
    site.end_the_day();
    let (partial, run) = site.build(&[]);
    assert_eq!((partial["result"].as_str(), site.version("libfoo")), (Some("cached"), "1".into()));
    assert!(
        run.stderr.contains(&format!("libfoo {version} is listed, but the mirror does not have its file")),
        "{}",
        run.all()
    );

    // `--locked` makes no request.
    site.mirror.publish("stable-security", &[Package("libfoo", &version, true)]);
    site.end_the_day();
    let asked = site.mirror.requests();
    let (locked, _) = site.build(&["--locked"]);
    assert_eq!((&locked["result"], site.mirror.requests()), (&"cached".into(), asked));
    assert!(locked["warnings"].to_string().contains("`--locked` keeps them"), "{locked}");

    // The file is there now. No Release file changed, but the answer depended on more.
    let (_, found, _) = site.next_day();
    assert_eq!((&found["result"], site.version("libfoo")), (&"built".into(), version));

    // The mirror is gone.
    site.end_the_day();
    let Site { mirror, project, image } = site;
    drop(mirror);
    let (json, run) = project.build(&["app", "--no-save"]);
    run.succeeds();
    assert_eq!(json["result"], "cached");
    assert!(json["warnings"].to_string().contains("the mirror did not answer"), "{json}");
    let (again, _) = project.build(&["app", "--no-save"]);
    assert!(!again["warnings"].to_string().contains("mirror"), "asked again within the hour: {again}");
    let run = project.run(&["outdated", &image]);
    run.fails(3, &["failed to query the package mirror"]);
}
