//! Bootstraps a base image on the real engine and mirror, with a name that no build uses.

use std::fs;
use std::process::Command;

use sha2::{Digest, Sha256};
use xtask::testing::args::Parsed;
use xtask::testing::base_image;
use xtask::testing::base_image::{BaseImage, bootstrap};
use xtask::testing::engine::facts;
use xtask::testing::exec::steps;
use xtask::testing::host::Host;
use xtask::testing::layout::Layout;
use xtask::testing::session::Globals;
use xtask::testing::session::Session;
use xtask::testing::step::Action;

fn session(store: &std::path::Path) -> Session {
    let host = Host::read();
    let globals = Globals::from_parsed(&Parsed::default(), None).expect("no options");
    let layout = Layout::find(&host, store.to_str()).expect("a store");
    let (sh, redactor) =
        (xshell::Shell::new().expect("a directory"), xtask::testing::redact::Redactor::default());
    Session { sh, host, layout, globals, redactor }
}

fn docker(args: &[&str]) -> String {
    let output = Command::new("docker").args(args).output().expect("docker runs");
    assert!(output.status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Returns the tar of a bootstrap before it is loaded.
fn tar(facts: &bootstrap::BootstrapFacts) -> String {
    let all = bootstrap::steps(facts, "unused").expect("steps");
    let is_import = |action: &Action| matches!(action, Action::Run(command) if command.argv[0] == "docker");
    let import = all.iter().position(|step| is_import(&step.action)).expect("it is loaded");
    steps::run(&all[..import], false).expect("made");
    let path = facts.dir.join("debian-trixie.tar");
    let digest = format!("{:x}", Sha256::digest(fs::read(&path).expect("a tar")));
    fs::remove_file(path).expect("removed");
    digest
}

#[test]
#[ignore = "needs an engine"]
fn two_bootstraps_are_byte_for_byte_the_same() {
    let store = tempfile::tempdir().expect("a directory");
    let session = session(store.path());
    let engine = facts::ask_engine(&session).expect("an engine");
    let first = bootstrap::BootstrapFacts::read(&session, &engine).expect("a mirror");
    let second = bootstrap::BootstrapFacts { dir: first.dir.with_extension("second"), ..first.clone() };
    assert_eq!(tar(&first), tar(&second));
}

#[test]
#[ignore = "needs an engine"]
fn a_bootstrapped_image_installs_packages_and_holds_nothing_of_the_host() {
    let store = tempfile::tempdir().expect("a directory");
    let session = session(store.path());
    let engine = facts::ask_engine(&session).expect("an engine");
    let tag = format!("durango-test/debian:{}", std::process::id());
    let all = base_image::steps(&session, &engine, &tag).expect("steps");
    steps::run(&all, false).expect("made and loaded");
    assert_eq!(
        fs::read_dir(session.layout.tmp()).expect("scratch space").count(),
        0,
        "nothing is left behind"
    );
    let container = docker(&["create", &tag]);
    let list = Command::new("sh")
        .args(["-c", &format!("docker export {} | tar -t", container.trim())])
        .output()
        .expect("a list");
    docker(&["rm", container.trim()]);
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    assert!(list.contains("etc/ssl/certs/ca-certificates.crt"));
    assert!(!list.contains("apt.conf.d/99mmdebstrap") && !list.contains("usr/share/man/man1/"));
    let sources = docker(&["run", "--rm", "--network", "host", &tag, "cat", "/etc/apt/sources.list"]);
    assert!(sources.contains(" trixie main"), "{sources}");
    docker(&[
        "run",
        "--rm",
        "--network",
        "host",
        &tag,
        "apt-get",
        "-qq",
        "-o",
        "APT::Update::Error-Mode=any",
        "update",
    ]);
    docker(&["rmi", &tag]);
}

#[test]
#[ignore = "needs an engine"]
fn an_image_in_the_engine_is_found_by_its_pinned_name() {
    let store = tempfile::tempdir().expect("a directory");
    let session = session(store.path());
    let engine = facts::ask_engine(&session).expect("an engine");
    let state = base_image::state(&session, &engine, "durango-test/no-such-image:1").expect("an answer");
    assert!(matches!(state, BaseImage::Bootstrapped | BaseImage::Missing), "{state:?}");
}
