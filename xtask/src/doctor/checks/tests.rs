//! Each finding, from recorded facts.

use serde_json::json;

use crate::doctor::checks::*;
use crate::doctor::{CheckState, text, worst};
use crate::engine::fixtures::engine;
use crate::engine::{Driver, Engine, Version};
use crate::project::secrets::Secrets;

fn info(server: &str, errors: &[&str], plugins: &[(&str, &str)]) -> Info {
    let plugins: Vec<_> =
        plugins.iter().map(|(name, version)| json!({"Name": name, "Version": version})).collect();
    let document = json!({
        "ServerVersion": server, "ServerErrors": errors, "ClientInfo": {"Version": "26.1.5", "Plugins": plugins},
    });
    serde_json::from_value(document).expect("as docker prints it")
}

/// Returns a healthy machine.
fn well() -> DoctorFacts {
    DoctorFacts {
        has_images: true,
        client: Some("/usr/bin/docker".into()),
        info: Some(info("26.1.5", &[], &[("buildx", "0.13.1"), ("compose", "2.26.1")])),
        engine: Ok(engine()),
        limits: Some(GcLimits { all: Some(40 * GIB), idle_mounts: None, scarce: None }),
        has_limit: false,
        place: None,
        disks: vec![("store", "/s".into(), 50 * GIB)],
        memory: Some(8 * GIB),
        secrets: Secrets::default(),
        lost_bundle: None,
        pins: Ok("debian:13-slim".into()),
        base: Some(BaseImage::Registry),
        cannot_bootstrap: None,
        mirror: Some(("http://m.test".into(), true)),
        buildkit: None,
        is_set_up: false,
        habits: crate::doctor::habits::Habits::default(),
    }
}

/// Returns the names of the checks that are not ok, failures in capitals.
fn bad(facts: &DoctorFacts) -> Vec<String> {
    let bad = all(facts).into_iter().filter(|check| check.state != CheckState::Ok);
    bad.map(
        |check| if check.state == CheckState::Fail { check.name.to_uppercase() } else { check.name.into() },
    )
    .collect()
}

fn engine_of(facts: DoctorFacts, change: impl Fn(&mut Engine)) -> DoctorFacts {
    let mut engine = facts.engine.clone().expect("an engine");
    change(&mut engine);
    DoctorFacts { engine: Ok(engine), ..facts }
}

#[test]
fn a_healthy_machine_has_nothing_to_fix() {
    assert!(bad(&well()).is_empty());
    assert_eq!(worst(&all(&well())), CheckState::Ok);
}

#[test]
fn one_reason_is_reported_once() {
    let down = info("", &["Cannot connect"], &[("buildx", "0.13.1"), ("compose", "2")]);
    let forbidden = info("", &["permission denied"], &[("buildx", "0.13.1"), ("compose", "2")]);
    let cases = [
        (
            DoctorFacts { client: None, info: None, engine: Err(Problem::NoDocker), ..well() },
            vec!["DOCKER CLIENT"],
        ),
        (
            DoctorFacts { info: Some(info("26", &[], &[])), engine: Err(Problem::NoBuildx), ..well() },
            vec!["BUILDX", "compose"],
        ),
        (DoctorFacts { engine: Err(Problem::OldBuildx(Version(0, 9))), ..well() }, vec!["BUILDX"]),
        (
            DoctorFacts { info: Some(down), engine: Err(Problem::DaemonDown("x".into())), ..well() },
            vec!["DAEMON"],
        ),
        (
            DoctorFacts { info: Some(forbidden), engine: Err(Problem::NoPermission("x".into())), ..well() },
            vec!["PERMISSION"],
        ),
        (DoctorFacts { engine: Err(Problem::UnknownBuilder("x".into())), ..well() }, vec!["BUILDER"]),
    ];
    for (facts, names) in cases {
        assert_eq!(bad(&facts), names);
    }
}

#[test]
fn the_image_store_matters_to_the_docker_driver_alone() {
    let classic = engine_of(well(), |engine| engine.containerd_store = false);
    assert_eq!(bad(&classic), ["image store"]);
    assert!(bad(&engine_of(classic, |engine| engine.driver = Driver::DockerContainer)).is_empty());
}

#[test]
fn a_low_gc_limit_is_reported_with_its_fix() {
    let small = || DoctorFacts {
        limits: Some(GcLimits { all: Some(2_100_000_000), idle_mounts: None, scarce: None }),
        ..well()
    };
    let warning = |facts: &DoctorFacts| {
        assert_eq!(bad(facts), ["build cache"]);
        let check = all(facts).into_iter().find(|check| check.name == "build cache").expect("a check");
        check.detail + " -> " + &check.remedy.expect("a remedy")
    };
    assert_eq!(
        warning(&small()),
        "the builder's limit is 2.1 GB of it, and the images need about 10.0 GB -> cargo xtask setup, then restart the daemon"
    );
    assert!(
        warning(&DoctorFacts { has_limit: true, ..small() })
            .contains("raise `builder.gc` in /etc/docker/daemon.json")
    );
    assert!(warning(&DoctorFacts { place: Some("x".into()), ..small() }).contains("of that daemon"));
    let container = engine_of(small(), |engine| engine.driver = Driver::DockerContainer);
    assert!(warning(&container).contains("builder up"));
    assert!(
        bad(&DoctorFacts { limits: Some(GcLimits::default()), ..well() }).is_empty(),
        "without rules all is kept"
    );
}

#[test]
fn room_is_judged_by_what_a_cold_build_needs() {
    let with = |free| DoctorFacts { disks: vec![("store", "/s".into(), free)], ..well() };
    assert_eq!(bad(&with(5 * GIB)), ["store"]);
    assert_eq!(bad(&with(GIB)), ["STORE"]);
    assert_eq!(bad(&DoctorFacts { memory: Some(GIB), ..well() }), ["memory"]);
}

#[test]
fn what_the_host_lends_is_named_and_never_shown() {
    let secrets = Secrets {
        goenv: Some("GOPROXY=https://me:secret@p\n".into()),
        netrc: Some("/n".into()),
        ..Secrets::default()
    };
    let text = text(&all(&DoctorFacts { secrets, ..well() }));
    assert!(text.contains("GOPROXY, .netrc\n") && !text.contains("secret"), "{text}");
    assert_eq!(bad(&DoctorFacts { lost_bundle: Some("/x".into()), ..well() }), ["CA bundle"]);
}

#[test]
fn a_base_image_must_come_from_somewhere() {
    let missing = DoctorFacts { base: Some(BaseImage::Missing), ..well() };
    assert!(bad(&missing).is_empty());
    assert_eq!(bad(&DoctorFacts { cannot_bootstrap: Some("no\nrun x".into()), ..missing }), ["BASE IMAGE"]);
    assert_eq!(bad(&DoctorFacts { pins: Err("gone".into()), base: None, ..well() }), ["PINS"]);
    assert_eq!(bad(&DoctorFacts { mirror: Some(("http://m".into(), false)), ..well() }), ["Debian mirror"]);
    assert_eq!(bad(&DoctorFacts { buildkit: Some("0".into()), ..well() }), ["BuildKit"]);
}

#[test]
fn nothing_of_frankenphp_is_checked_in_another_workspace() {
    let other = DoctorFacts {
        has_images: false,
        pins: Err("there is no file".into()),
        base: None,
        mirror: None,
        disks: vec![("store", "/s".into(), 5 * GIB)],
        ..well()
    };
    assert!(bad(&other).is_empty(), "{:?}", bad(&other));
    let names: Vec<&str> = all(&other).iter().map(|check| check.name).collect();
    let left_out = ["Go modules", "pins", "base image", "Debian mirror"];
    assert!(left_out.iter().all(|name| !names.contains(name)), "{names:?}");
    assert!(names.contains(&"builder") && names.contains(&"CA bundle"), "{names:?}");
}

#[test]
fn a_remedy_stands_below_its_finding() {
    let text = text(&all(&DoctorFacts { buildkit: Some("0".into()), ..well() }));
    assert!(text.ends_with("warn  BuildKit          DOCKER_BUILDKIT=0 turns it off for plain docker\n      -> unset DOCKER_BUILDKIT\n"));
}
