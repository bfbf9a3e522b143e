//! Pushes that lose layers, to registries that ask for tokens or refuse.

use std::fs;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use super::completed::{project, ran};
use super::{another, list, log_in, warnings};
use crate::common::front::{self, Front, Request, Seen, Verdict};
use crate::common::registry::{Registry, USER};
use crate::common::second_daemon::SecondDaemon;
use crate::common::{Project, Run, base_of, lossy_registry};

/// The answer of a registry that takes no such manifest.
const REFUSAL: &str = r#"{"errors":[{"code":"MANIFEST_INVALID","message":"manifest invalid"}]}"#;

/// A first machine has pushed, and a second one pushes a changed page over a front.
struct Pushes {
    registry: Registry,
    project: Project,
    base: String,
    report: Value,
    run: Run,
    before: Vec<usize>,
    front: Front,
    second: SecondDaemon,
}

impl Pushes {
    fn new(name: &str, start: impl Fn(&Registry) -> Front) -> Self {
        let registry = Registry::start();
        let project = project(name);
        let base = base_of(&project);
        project.build(&["app", "--cache", "none", "--cache", &registry.cache()]).1.succeeds();
        let before = layers(&registry);
        let front = start(&registry);
        let (project, second) = another(project, &base);
        log_in(&project, &front.host(), USER.1);
        project.write("page", "2\n");
        let (report, run) = project.build(&["app", "--cache", "none", "--cache", &front.cache()]);
        run.succeeds();
        assert_eq!((report["result"].as_str(), ran(&report)), (Some("built"), 0), "{}", run.all());
        Self { registry, project, base, report, run, before, front, second }
    }

    /// Returns the log of the second machine's build.
    fn log(&self) -> String {
        let build = self.report["build"].as_str().expect("an id");
        let dir = self.second.path("store").join("builds").join(build);
        fs::read_to_string(dir.join("build.log")).expect("a log")
    }

    /// Builds on a third machine, where `made` changes and needs all of the stages. Returns how
    /// many of them ran.
    fn ran_on_another_machine(self) -> usize {
        let (project, _third) = another(self.project, &self.base);
        let text = fs::read_to_string(project.path("Dockerfile")).expect("a Dockerfile");
        project.write("Dockerfile", &text.replace(">/made\n", ">/made; echo more >>/made\n"));
        let only = ["app", "--cache", "none", "--cache", &self.registry.cache()];
        let (report, run) = project.build(&only);
        run.succeeds();
        assert_eq!(warnings(&report), "");
        ran(&report)
    }
}

/// Returns the number of tags that got layers.
fn added(log: &str) -> usize {
    log.lines().filter(|line| line.starts_with("added ") && line.contains(" to `127.")).count()
}

fn layers(registry: &Registry) -> Vec<usize> {
    registry.tags().iter().map(|tag| registry.layers(tag)).collect()
}

/// Answers a manifest of buildx, which a completion is, in this way.
fn for_completions(request: &Request, verdict: Verdict) -> Verdict {
    if request.puts_manifest() && request.is_of_buildx() { verdict } else { Verdict::Pass }
}

#[test]
#[ignore = "needs an engine"]
fn a_push_to_a_registry_with_tokens_is_completed_and_shows_no_credential() {
    let start = |registry: &Registry| {
        lossy_registry::start(registry, |request| front::with_token(request, "pull,push"))
    };
    let pushes = Pushes::new("tokens", start);
    assert_eq!(warnings(&pushes.report), "");
    assert_eq!(layers(&pushes.registry), pushes.before, "{}", pushes.run.all());
    assert_eq!(added(&pushes.log()), 2, "both tags: {}", pushes.log());
    assert!(pushes.front.seen().iter().any(|seen| seen.line.starts_with("GET /token")));
    // Neither the password nor its form in docker's configuration.
    for file in crate::common::files(&pushes.second.path("store")) {
        let text = String::from_utf8_lossy(&fs::read(&file.0).expect("a file")).into_owned();
        for secret in [USER.1, &log_in_value()] {
            assert!(!text.contains(secret), "`{secret}` is in {}", file.0.display());
        }
    }
    assert!(!pushes.run.all().contains(USER.1));
    assert_eq!(pushes.ran_on_another_machine(), 0);
}

fn log_in_value() -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(format!("{}:{}", USER.0, USER.1))
}

#[test]
#[ignore = "needs an engine"]
fn a_registry_that_refuses_the_added_layers_costs_a_warning_and_keeps_the_push() {
    let start = |registry: &Registry| {
        let refuse = || Verdict::Answer("400 Bad Request", String::new(), REFUSAL.into());
        lossy_registry::start(registry, move |request| for_completions(request, refuse()))
    };
    let pushes = Pushes::new("refused", start);
    let said = warnings(&pushes.report);
    assert!(said.contains("failed to add ") && said.contains(" of earlier caches to `127."), "{said}");
    assert!(said.contains("400 Bad Request") && said.contains("\n"), "{said}");
    assert_eq!(list(&pushes.report, "pushed").len(), 1, "{}", pushes.run.all());
    assert_ne!(layers(&pushes.registry), pushes.before, "the front loses layers");
    // The cache is valid: the other steps come from it.
    assert!(pushes.ran_on_another_machine() > 0);
}

#[test]
#[ignore = "needs an engine"]
fn a_tag_that_another_machine_pushed_meanwhile_is_left_and_the_other_one_is_completed() {
    let start = |registry: &Registry| {
        let (exact, digest) = (registry.tags()[0].clone(), registry.digest(&registry.tags()[0]));
        let link = registry.link(&exact);
        let is_done = AtomicBool::new(false);
        lossy_registry::start(registry, move |request| {
            // A completion reads configurations after both tags.
            let reads = request.is_of_buildx() && request.path.contains("/blobs/");
            if reads && !is_done.swap(true, Ordering::SeqCst) {
                fs::write(&link, &digest).expect("another push");
            }
            Verdict::Pass
        })
    };
    let pushes = Pushes::new("raced", start);
    assert_eq!(warnings(&pushes.report), "");
    assert_eq!(layers(&pushes.registry), pushes.before, "{}", pushes.run.all());
    let log = pushes.log();
    assert!(log.contains("another machine has pushed it"), "{log}");
    assert_eq!(added(&log), 1, "{log}");
}

/// Prints the cost of a completion, for decision 062.
#[test]
#[ignore = "needs an engine"]
fn a_completion_uploads_two_documents_for_each_tag() {
    let start = |registry: &Registry| lossy_registry::start(registry, |_| Verdict::Pass);
    let pushes = Pushes::new("cost", start);
    assert_eq!(layers(&pushes.registry), pushes.before, "{}", pushes.run.all());
    let seen = pushes.front.seen();
    let exported = seen.iter().rposition(|seen| !seen.is_of_buildx).expect("an export");
    let read = seen.iter().position(|seen| !seen.is_of_buildx).expect("an export");
    let (export, completion) = (&seen[read..=exported], &seen[exported + 1..]);
    let uploads = |seen: &[Seen]| seen.iter().filter(|seen| seen.line.starts_with("PUT ")).count();
    // Both tags may have the same configuration.
    let uploaded = uploads(completion);
    assert!((3..=4).contains(&uploaded), "a configuration and a manifest for each tag: {uploaded}");
    let seconds = |seen: &[Seen]| (seen[seen.len() - 1].at - seen[0].at).as_secs_f64();
    let show = |name: &str, part: &[Seen], seconds: f64| {
        let (requests, uploads) = (part.len(), uploads(part));
        let _ = writeln!(std::io::stderr(), "{name}: {requests} requests, {uploads} uploads, {seconds:.1} s");
    };
    show("export", export, seconds(export));
    show("completion", completion, seconds(&seen[exported..]));
}

#[test]
#[ignore = "needs an engine"]
fn two_machines_that_push_at_once_leave_whole_caches() {
    let registry = Registry::start();
    let first = project("at-once");
    let base = base_of(&first);
    first.build(&["app", "--cache", "none", "--cache", &registry.cache()]).1.succeeds();
    let before = layers(&registry);
    let front = lossy_registry::start(&registry, |_| Verdict::Pass);
    let machine = |page: &str| {
        let project = project("at-once");
        for name in ["Dockerfile", "compose.yaml"] {
            project.write(name, &fs::read_to_string(first.path(name)).expect("a file"));
        }
        project.write("page", page);
        another(project, &base)
    };
    let mut machines = [machine("2\n"), machine("3\n")];
    std::thread::scope(|scope| {
        for (project, _) in &mut machines {
            let cache = front.cache();
            scope.spawn(move || {
                let (report, run) = project.build(&["app", "--cache", "none", "--cache", &cache]);
                run.succeeds();
                assert_eq!((warnings(&report).as_str(), ran(&report)), ("", 0), "{}", run.all());
            });
        }
    });
    assert_eq!(layers(&registry), before);
}
