//! From facts to a plan, without an engine.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::build::{Plan, plan};
use super::build_facts::{BuildFacts, Stored};
use super::caches::{Caches, Mode, Registry};
use super::options::BuildOptions;
use super::registry_state::{RegistryState, Tag, Tags};
use crate::base_image::kept::KeptImage;
use crate::base_image::{Base, InEngine};
use crate::engine::Driver;
use crate::engine::fixtures::engine;
use crate::engine::registry::RegistryAnswer;
use crate::project::secrets::Secrets;
use crate::project::{Declaration, Target};
use crate::step::Step;
use crate::store::entry::{Entry, Found, Generation};
use crate::store::fresh::Nonce;
use crate::store::key::{FORMAT, Key};

fn declaration() -> Declaration {
    let arg = |value: &str| Some(value.to_owned());
    let base = Target {
        tags: vec!["own/base:latest".into()],
        args: [("BASE_IMAGE".to_owned(), arg("debian:13-slim")), ("LOCKED".to_owned(), None)].into(),
        ..Target::default()
    };
    let app = Target {
        tags: vec!["own/app".into()],
        contexts: [("base".to_owned(), "docker-image://own/base".to_owned())].into(),
        ..Target::default()
    };
    Declaration {
        project: "p".into(),
        files: vec!["/p/compose.yaml".into()],
        dir: "/p".into(),
        targets: [("app".to_owned(), app), ("base".to_owned(), base)].into(),
        groups: BTreeMap::new(),
        ..Declaration::default()
    }
}

fn generation(key: &Key, second: i64) -> Generation {
    let entry = Entry {
        format: FORMAT,
        image: "own/app".into(),
        platform: "linux/amd64".into(),
        key: key.clone(),
        digest: Some(format!("sha256:{second}")),
        saved: Timestamp::from_second(second).expect("in range"),
        bytes: 1,
        steps: Vec::new(),
        steps_any_mode: Vec::new(),
        id: second.to_string(),
        after: Vec::new(),
    };
    Generation { dir: format!("/store/{second}").into(), entry }
}

fn stored(name: &str, generations: Vec<Generation>) -> Stored {
    let image = format!("own/{name}");
    let key = Key::new(&image, "linux/amd64", b"FROM x");
    let results = format!("/store/{name}").into();
    let found = Found { generations, warnings: Vec::new(), damaged: Vec::new() };
    Stored { image, platform: "linux/amd64".into(), key, results, found }
}

pub(crate) fn facts() -> BuildFacts {
    let stored = [("app", stored("app", vec![])), ("base", stored("base", vec![]))];
    BuildFacts {
        engine: engine(),
        declaration: declaration(),
        names: vec!["app".into(), "base".into()],
        requested: 1,
        in_engine: InEngine::default(),
        base: Some(Base {
            pinned: "debian:13-slim".into(),
            image: "own/debian".into(),
            local: true,
            steps: vec![],
            kept: None,
        }),
        secrets: Secrets { goenv: Some("GOAUTH=word".into()), ..Secrets::default() },
        stored: stored.map(|(name, stored)| (name.to_owned(), stored)).into(),
        damaged: Vec::new(),
        seeds: vec!["/store/seed".into()],
        registries: Vec::new(),
        fresh: BTreeMap::new(),
        packages: BTreeMap::new(),
        nonce: Nonce { value: 7, at: Timestamp::UNIX_EPOCH },
        saved_mounts: (Vec::new(), Vec::new()),
        mounts_dir: "/store/mounts".into(),
        tools: None,
        scratch: "/store/tmp/id".into(),
        granted: None,
    }
}

fn line(plan: &Plan) -> String {
    plan.bake.to_shell()
}

#[test]
fn linked_targets_are_built_in_one_call_on_the_chosen_base() {
    let plan = plan(&facts(), &BuildOptions::default(), "id");
    let line = line(&plan);
    assert!(line.contains("'app.contexts.base=target:base'"), "{line}");
    assert!(line.contains("'base.args.BASE_IMAGE=own/debian'"), "{line}");
    assert!(line.ends_with(" app base)") && line.starts_with("(cd /p && "), "{line}");
    assert_eq!(plan.targets.iter().map(|target| target.requested).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn a_secret_is_in_no_line_and_in_no_record() {
    let plan = plan(&facts(), &BuildOptions::default(), "id");
    assert!(line(&plan).contains("DURANGO_GOENV=..."));
    let kept = serde_json::to_string(&plan).expect("it is data") + &plan.to_shell().join("\n");
    assert!(!kept.contains("word"), "{kept}");
}

#[test]
fn saves_follow_each_other_so_that_the_later_shares_with_the_earlier() {
    let options = BuildOptions { sets: vec!["app.cache-to=type=inline".into()], ..BuildOptions::default() };
    let plan = plan(&facts(), &options, "id");
    let order: Vec<&str> = plan.saves.iter().map(|save| save.target.as_str()).collect();
    assert_eq!(order, ["base", "app"]);
    assert_eq!(plan.saves[1].seeds, ["/store/seed", "/store/base"].map(std::path::PathBuf::from));
    let save = plan.saves[1].command.to_shell();
    assert!(
        save.contains("'app.cache-to=type=local,dest=/store/tmp/id/layers/app,mode=max,compression=zstd'")
    );
    assert!(save.contains("'*.output=type=cacheonly'") && !save.contains("type=inline"), "{save}");
    assert!(line(&plan).contains("type=inline"), "the user's own export is the build's");
}

#[test]
fn the_exact_key_is_read_first_and_old_generations_go() {
    let mut facts = facts();
    let other = |n: u8| Key::new("own/app", "linux/amd64", &[n]);
    let exact = facts.stored["app"].key.clone();
    let generations = vec![
        generation(&other(4), 40),
        generation(&other(3), 30),
        generation(&exact, 20),
        generation(&other(1), 10),
    ];
    facts.stored.insert("app".into(), stored("app", generations));
    let plan = plan(&facts, &BuildOptions::default(), "id");
    assert_eq!(plan.targets[0].read, ["/store/20", "/store/40", "/store/30"].map(std::path::PathBuf::from));
    let save = plan.saves.iter().find(|save| save.target == "app").expect("a save");
    assert_eq!(save.held, ["sha256:20"]);
    assert_eq!(save.expected, Some(1));
}

#[test]
fn an_engine_that_cannot_export_saves_nothing_and_the_build_warns() {
    let mut facts = facts();
    facts.engine.containerd_store = false;
    let plan = plan(&facts, &BuildOptions::default(), "id");
    assert!(plan.saves.is_empty());
    assert!(plan.warnings.iter().any(|warning| warning.contains("nothing is saved")));
}

#[test]
fn options_are_for_what_was_asked_for() {
    let options =
        BuildOptions { push: true, locked: true, tags: vec!["reg/app:1".into()], ..BuildOptions::default() };
    let plan = plan(&facts(), &options, "id");
    let line = line(&plan);
    assert!(line.contains("'app.output=type=image,push=true,oci-mediatypes=true'"), "{line}");
    assert!(line.contains("'base.output=type=image,oci-mediatypes=true'"), "its base stays here: {line}");
    assert!(line.contains("'app.tags=reg/app:1'") && !line.contains("base.tags"), "{line}");
    assert!(line.contains("'base.args.LOCKED=1'") && !line.contains("app.args.LOCKED"), "{line}");
    assert_eq!(plan.targets[0].image.as_deref(), Some("reg/app:1"));
}

#[test]
fn a_builder_that_does_not_see_local_images_is_handed_the_base() {
    let mut facts = facts();
    facts.engine.driver = Driver::Remote;
    let plan = plan(&facts, &BuildOptions::default(), "id");
    assert!(plan.prepare.iter().any(|step| step.to_shell().starts_with("docker save ")));
    let line = line(&plan);
    assert!(line.contains("'base.contexts.own/debian=oci-layout:///store/tmp/id/base:latest'"), "{line}");
    assert!(
        ["app", "base"].iter().all(|name| line.contains(&format!("{name}.output=type=docker"))),
        "{line}"
    );
}

#[test]
fn a_base_that_is_laid_out_in_the_store_is_not_laid_out_again() {
    let mut facts = facts();
    facts.engine.driver = Driver::DockerContainer;
    let kept = |is_there, superseded| KeptImage { dir: "/store/bases/1".into(), is_there, superseded };
    let planned = |facts: &BuildFacts| {
        let plan = plan(facts, &BuildOptions::default(), "id");
        let steps: Vec<String> = plan.prepare.iter().map(Step::to_shell).collect();
        assert!(line(&plan).contains("=oci-layout:///store/bases/1:latest'"), "{}", line(&plan));
        steps
    };
    facts.base.as_mut().expect("a base").kept = Some(kept(true, vec![]));
    assert!(planned(&facts).is_empty());
    facts.base.as_mut().expect("a base").kept = Some(kept(false, vec!["/store/bases/0".into()]));
    let steps = planned(&facts);
    assert!(steps[1].starts_with("docker save "), "{steps:?}");
    assert_eq!(steps[3..], ["rm -rf /store/bases/0", "mv -T /store/tmp/id/base /store/bases/1"]);
}

/// Returns a registry that answered, with the digests of the exact and the newest tag for `app`.
pub(super) fn registry(
    name: &str,
    read_only: bool,
    exact: Option<&str>,
    newest: Option<&str>,
) -> RegistryState {
    let tag = |kind: &str, digest: Option<&str>| {
        Some(Tag { reference: format!("{name}/c:{kind}"), digest: digest?.into() })
    };
    let tags = Tags { exact: tag("exact", exact), newest: tag("newest", newest) };
    let registry = Registry { reference: format!("{name}/c"), read_only, mode: Mode::Max, has_mounts: true };
    RegistryState { registry, said: Ok([("app".to_owned(), tags)].into()) }
}

fn silent(name: &str, said: RegistryAnswer) -> RegistryState {
    RegistryState { said: Err(said), ..registry(name, false, None, None) }
}

#[test]
fn registries_are_read_after_the_store_in_their_order_and_nothing_is_read_twice() {
    let mut facts = facts();
    let exact = facts.stored["app"].key.clone();
    facts.stored.insert("app".into(), stored("app", vec![generation(&exact, 20)]));
    facts.registries = vec![
        registry("a", true, Some("1"), Some("1")),
        silent("gone", RegistryAnswer::Unreachable("it is down".into())),
        registry("b", true, None, Some("2")),
        registry("c", true, Some("3"), Some("4")),
    ];
    let plan = plan(&facts, &BuildOptions::default(), "id");
    let read = ["a/c:exact", "b/c:newest", "c/c:exact", "c/c:newest"];
    assert_eq!(plan.targets[0].remote.iter().map(|read| read.reference.as_str()).collect::<Vec<_>>(), read);
    let line = line(&plan);
    let places: Vec<_> = ["src=/store/20'", "a/c:exact'", "b/c:newest'", "c/c:exact'", "c/c:newest'"]
        .map(|text| line.find(text).unwrap_or_else(|| panic!("{text}: {line}")))
        .into();
    assert!(places.is_sorted(), "{line}");
    // The fallback of a build if one of them fails to deliver.
    let again = plan.without_registries.as_ref().expect("another call").to_shell();
    assert!(again.contains("src=/store/20") && !again.contains("type=registry"), "{again}");
    assert!(plan.warnings.iter().any(|warning| warning.contains("gone/c") && warning.contains("it is down")));
    assert!(plan.pushes.is_empty(), "none of them may be written");
    // The save repeats the caches, and is unnecessary if a registry had everything.
    let save = plan.saves.iter().find(|save| save.target == "app").expect("a save");
    assert!(save.elsewhere && save.command.to_shell().contains("a/c:exact"));
}

#[test]
fn pushes_go_to_what_may_be_written_once_for_each_tag() {
    let mut facts = facts();
    facts.registries = vec![
        registry("own", false, Some("1"), Some("1")),
        registry("theirs", true, None, None),
        registry("empty", false, None, None),
        silent("refuses", RegistryAnswer::Denied("no".into())),
        silent("gone", RegistryAnswer::Unreachable("down".into())),
    ];
    let planned = plan(&facts, &BuildOptions::default(), "id");
    let to: Vec<(&str, &str, bool)> = planned
        .pushes
        .iter()
        .map(|push| (push.target.as_str(), push.registry.reference.as_str(), push.lacking))
        .collect();
    // The base target, about which the first registry was not asked, comes first. A registry that
    // refuses is tried only if a step ran.
    let of_base = [("base", "own/c", true), ("base", "empty/c", true), ("base", "refuses/c", false)];
    let of_app = [("app", "own/c", false), ("app", "empty/c", true), ("app", "refuses/c", false)];
    assert_eq!(to, [of_base, of_app].concat());
    let push = &planned.pushes[3];
    let (exact, newest) = (push.exact.to_shell(), push.newest.to_shell());
    assert!(exact.contains(&format!("ref=own/c:own_app-{},mode=max,compression=zstd", push.key)), "{exact}");
    assert!(newest.contains("ref=own/c:own_app-linux_amd64,mode=max"), "{newest}");
    for line in [exact, newest] {
        assert!(
            line.matches("cache-to=").count() == 1 && line.contains("'*.output=type=cacheonly' app"),
            "{line}"
        );
    }
    let options = BuildOptions { no_save: true, ..BuildOptions::default() };
    assert!(plan(&facts, &options, "id").pushes.is_empty());
    let caches = Caches { local: false, ..Caches::default() };
    let planned = plan(&facts, &BuildOptions { caches, ..BuildOptions::default() }, "id");
    assert!(
        planned.saves.is_empty() && planned.pushes.len() == 6,
        "without the store registries are still written"
    );
}
