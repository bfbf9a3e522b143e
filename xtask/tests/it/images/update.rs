//! A security update of the real runtime image. Its base image also knows the test's mirror.

use serde_json::Value;

use super::{base, docker, report};
use crate::common::Project;
use crate::common::mirror::{Mirror, Package};
use crate::packages::{end_the_day, ran};

const IMAGE: &str = "durango-test/update";
const BASE: &str = "durango-test/update-base";

#[test]
#[ignore = "needs an engine"]
fn an_update_of_a_library_runs_the_last_steps_of_the_runtime_image() {
    let (mirror, project) = (Mirror::start(), Project::new(&[]));
    mirror.publish("stable", &[Package("libfoo", "1", true)]);
    mirror.publish("stable-security", &[]);
    let sources = ["stable", "stable-security"].map(|suite| mirror.source(suite)).join("\\n");
    let from = base(&project);
    let dockerfile = format!(
        "FROM {from}\nRUN printf '{sources}\\n' >/etc/apt/sources.list.d/test.list && apt-get -qq update && apt-get -qq \
         install libfoo && rm -rf /var/lib/apt/lists/*\n"
    );
    project.write("base/Dockerfile", &dockerfile);
    let dir = project.path("base").display().to_string();
    docker(&["build", "--no-cache", "--quiet", "--tag", BASE, &dir]);
    let (set_base, set_tags) =
        (format!("frankenphp.args.BASE_IMAGE={BASE}"), format!("frankenphp.tags={IMAGE}"));
    let options = ["--set", &set_base, "--set", &set_tags];
    let build = || {
        let built = report(&project.run(&[&["frankenphp", "--json", "--no-save"], &options[..]].concat()));
        eprintln!("{}: {} s", built["result"], built["seconds"]);
        built
    };
    let version = || docker(&["run", "--rm", "--entrypoint", "cat", IMAGE, "/usr/share/libfoo/version"]);
    build();
    [IMAGE, BASE].iter().for_each(|image| project.owns(image));
    assert_eq!(version(), "1");

    mirror.publish("stable-security", &[Package("libfoo", "1+deb13u1", true)]);
    // By the declared name.
    let remembered = project.store().join("fresh/durango_frankenphp.json");
    end_the_day(&remembered);
    let reason = "package: libfoo 1 -> 1+deb13u1";
    let plan = project.run(&[&["plan", "frankenphp"], &options[..]].concat());
    assert!(plan.stdout.contains(reason), "{}", plan.all());
    let updated = build();
    let steps = updated["steps"].as_array().expect("steps").len();
    let ran_steps = ran(&updated);
    assert!(steps > 30 && (3..=8).contains(&ran_steps.len()), "of {steps} steps: {ran_steps:?}");
    let (stage, kind, detail) = &ran_steps[0];
    assert_eq!([stage, kind, &format!("{kind}: {detail}")], ["resolve", "package", reason]);
    assert!(ran_steps[1..].iter().all(|(_, kind, _)| kind == "parent"), "{ran_steps:?}");
    assert_eq!(version(), "1+deb13u1");
    let explained = project.run(&["explain"]);
    assert!(explained.stdout.contains(reason), "{}", explained.all());

    // A day later the mirror is unchanged.
    end_the_day(&remembered);
    let asked = mirror.requests();
    let same = build();
    // Only its Release files, and Debian's.
    assert_eq!(mirror.paths_since(asked), ["/stable-security/Release", "/stable/Release"]);
    assert_eq!((&same["result"], ran(&same)), (&Value::from("cached"), vec![]));
}
