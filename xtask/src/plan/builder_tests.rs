//! The steps of `builder up` and `builder down` for each state of a builder.

use crate::error::exit_code;
use crate::plan::builder::*;

fn spec() -> BuilderSpec {
    let place = BuilderPlace::Container { image: "moby/buildkit:x".into(), size: 40 };
    BuilderSpec { name: "durango".into(), place, options: BTreeMap::new() }
}

fn remote(endpoint: &str) -> BuilderSpec {
    let options = [("cacert".to_owned(), "/c/ca.pem".to_owned())].into();
    BuilderSpec { name: "team".into(), place: BuilderPlace::Remote { endpoint: endpoint.into() }, options }
}

/// Returns a specification as buildx prints it: the file with other spaces and without comments.
fn instance(spec: &BuilderSpec, is_up: bool) -> Instance {
    let config = spec.config().map(|text| {
        let kept = text.lines().filter(|line| !line.starts_with('#'));
        kept.map(|line| format!("\n  {}\n", line.trim())).collect()
    });
    let endpoint = match &spec.place {
        BuilderPlace::Remote { endpoint } => endpoint.clone(),
        BuilderPlace::Container { .. } => "unix:///var/run/docker.sock".into(),
    };
    let (driver, options) = (spec.place.driver().into(), spec.driver_options());
    Instance { driver, endpoint, options, config, is_up, ..Instance::default() }
}

fn healthy(spec: &BuilderSpec) -> BuilderFacts {
    BuilderFacts {
        instance: Some(instance(spec, true)),
        made: Some(spec.clone()),
        is_chosen: true,
        has_image: true,
        has_config: true,
        has_volume: true,
    }
}

fn layout() -> Layout {
    Layout::new("/w", "/s")
}

fn lines(steps: &[Step]) -> Vec<String> {
    steps.iter().map(|step| step.to_shell().lines().next().unwrap_or_default().to_owned()).collect()
}

fn up_lines(spec: &BuilderSpec, facts: &BuilderFacts) -> Vec<String> {
    lines(&up(spec, facts, &layout()).expect("steps"))
}

const CREATE: &str = "docker buildx create --name durango --driver docker-container --driver-opt 'image=moby/buildkit:x' \
                      --buildkitd-config /s/builders/durango/buildkitd.toml --bootstrap";

#[test]
fn one_that_is_as_it_should_be_needs_nothing() {
    for spec in [spec(), remote("tcp://b.example:1")] {
        assert!(up_lines(&spec, &healthy(&spec)).is_empty(), "{spec:?}");
    }
}

#[test]
fn one_from_nothing_is_fetched_made_and_remembered() {
    let steps = up_lines(&spec(), &BuilderFacts::default());
    assert_eq!(
        steps,
        [
            "write /s/builders/durango/buildkitd.toml:",
            "docker pull --quiet moby/buildkit:x",
            CREATE,
            "write /s/builders/durango/builder.json:",
            "write /s/builders/chosen.txt:",
        ]
    );
    let steps = up_lines(&remote("tcp://b.example:1"), &BuilderFacts::default());
    assert_eq!(
        steps[0],
        "docker buildx create --name team --driver remote --driver-opt 'cacert=/c/ca.pem' --bootstrap tcp://b.example:1"
    );
}

#[test]
fn each_damage_is_repaired_and_the_cache_stays() {
    let stopped = BuilderFacts { instance: Some(instance(&spec(), false)), ..healthy(&spec()) };
    assert_eq!(up_lines(&spec(), &stopped), ["docker buildx inspect --bootstrap durango"]);
    let gone = BuilderFacts { instance: None, ..healthy(&spec()) };
    assert_eq!(up_lines(&spec(), &gone), [CREATE]);
    let mut changed = instance(&spec(), true);
    changed.config = Some(config(7));
    let changed = BuilderFacts { instance: Some(changed), ..healthy(&spec()) };
    assert_eq!(up_lines(&spec(), &changed), ["docker buildx rm --keep-state durango", CREATE]);
    let mut other = instance(&spec(), true);
    other.options.insert("image".into(), "old".into());
    let other = BuilderFacts { instance: Some(other), has_image: false, ..healthy(&spec()) };
    let steps = up_lines(&spec(), &other);
    assert!(steps[0].starts_with("docker pull"), "a missing image is reported first: {steps:?}");
    assert_eq!(steps[1..], ["docker buildx rm --keep-state durango", CREATE]);
    let moved = BuilderFacts {
        instance: Some(instance(&remote("tcp://old:1"), true)),
        ..healthy(&remote("tcp://new:1"))
    };
    let steps = up_lines(&remote("tcp://new:1"), &moved);
    assert_eq!(steps[0], "docker buildx rm team");
}

#[test]
fn a_configuration_is_compared_by_its_settings_not_by_its_lines() {
    let matches = |config: &str| {
        let there = Instance { config: Some(config.to_owned()), ..instance(&spec(), true) };
        spec().matches(&there)
    };
    let ours = config(40);
    assert!(matches(&ours) && matches(&ours.replace('"', "'").replace(" = ", "=")));
    // The same lines in other tables: here cache mounts would be removed first.
    let (all, filters) = ("all = false", "      filters = [\"type!=exec.cachemount\"]\n");
    let swapped = ours.replace(filters, "").replace("all = true\n", &format!("all = true\n{filters}"));
    let swapped_all =
        ours.replace(all, "all = x").replace("all = true", all).replace("all = x", "all = true");
    for other in [swapped, swapped_all, ours.replace("[worker.oci]", "[worker.containerd]"), "gc = ".into()] {
        assert!(!matches(&other), "{other}");
    }
}

#[test]
fn somebody_elses_builder_is_left_alone() {
    let other =
        BuilderFacts { made: None, instance: Some(instance(&remote("tcp://a:1"), true)), ..healthy(&spec()) };
    let error = up(&spec(), &other, &layout()).expect_err("another driver");
    assert!(
        error.to_string().contains("with the driver remote exists, and docker-container is requested"),
        "{error}"
    );
    assert_eq!(exit_code(&error), 2);
    // An existing builder is not changed to another driver, because its cache would be lost.
    let ours = healthy(&BuilderSpec { name: "team".into(), ..spec() });
    up(&remote("tcp://a:1"), &ours, &layout()).expect_err("another driver");
    let error = down("durango", &other, &layout(), true).expect_err("not ours");
    assert!(error.to_string().contains("xtask did not create"), "{error}");
}

#[test]
fn down_keeps_the_cache_unless_it_is_to_go() {
    let steps =
        |facts: &BuilderFacts, purge| lines(&down("durango", facts, &layout(), purge).expect("steps"));
    let facts = healthy(&spec());
    let kept = steps(&facts, false);
    assert_eq!(
        kept,
        [
            "docker buildx rm --keep-state durango",
            "rm -rf /s/builders/chosen.txt",
            "rm -rf /s/builders/durango"
        ]
    );
    let purged = steps(&facts, true);
    assert_eq!(purged[1], "docker volume rm buildx_buildkit_durango0_state");
    let left = BuilderFacts { has_volume: true, ..BuilderFacts::default() };
    assert_eq!(steps(&left, true), ["docker volume rm buildx_buildkit_durango0_state"]);
    assert!(steps(&left, false).is_empty() && steps(&BuilderFacts::default(), true).is_empty());
}

#[test]
fn layers_go_before_cache_mounts() {
    let text = config(40);
    let rules: Vec<&str> = text.split("[[worker.oci.gcpolicy]]").skip(1).collect();
    assert_eq!(rules.len(), 2);
    assert!(rules[0].contains("type!=exec.cachemount") && rules[0].contains("all = false"));
    assert!(rules[1].contains("all = true") && !rules[1].contains("filters"));
    assert!(
        rules.iter().all(|rule| rule.contains("keepBytes = 40000000000") && !rule.contains("keepDuration"))
    );
}
