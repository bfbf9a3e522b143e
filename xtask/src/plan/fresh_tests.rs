use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;

use crate::plan::build::plan as whole;
use crate::plan::build_facts::FreshFacts;
use crate::plan::fresh::*;
use crate::plan::tests::facts;
use crate::project::dockerfile::Inputs;
use crate::project::dockerfile::source::DockerfileSource;
use crate::step::Action;

const FILE: &str = "FROM debian AS tools\nRUN make tools\nFROM tools\nRUN make app\nCOPY a b\n";

fn nonce(value: u32) -> Nonce {
    Nonce { value, at: Timestamp::UNIX_EPOCH }
}

fn source(path: Option<&str>, text: &str) -> Arc<DockerfileSource> {
    Arc::new(DockerfileSource::new(path.map(PathBuf::from), text.into(), Some("x\n".into())))
}

fn target(image: &str, path: Option<&str>) -> FreshFacts {
    FreshFacts {
        platform: "linux/amd64".into(),
        path: Some(format!("/store/fresh/{image}.json").into()),
        file: FreshFile::new(image),
        warning: None,
        source: Some(source(path, FILE)),
        inputs: Inputs::default(),
        chosen: Vec::new(),
    }
}

pub(crate) fn with_fresh() -> BuildFacts {
    let both = [("app", target("own_app", Some("/p/app.Dockerfile"))), ("base", target("own_base", None))];
    BuildFacts { fresh: both.map(|(name, facts)| (name.to_owned(), facts)).into(), ..facts() }
}

/// Returns the files that the steps write, by path.
fn written(steps: &[Step]) -> BTreeMap<String, String> {
    let write = |step: &Step| match &step.action {
        Action::Write { path, content, .. } => Some((path.display().to_string(), content.clone())),
        _ => None,
    };
    steps.iter().filter_map(write).collect()
}

#[test]
fn no_cache_makes_shm_some_bytes_larger_and_is_remembered_for_every_target() {
    let mut facts = with_fresh();
    facts.declaration.targets.get_mut("base").expect("declared").shm_size = Some("1GiB".into());
    let plan = whole(&facts, &BuildOptions { no_cache: true, ..BuildOptions::default() }, "id");
    let line = plan.bake.to_shell();
    assert!(line.contains("app.shm-size=67108871") && line.contains("base.shm-size=1073741831"), "{line}");
    assert!(!line.contains("--no-cache") && plan.saves[0].command.to_shell().contains("shm-size"), "{line}");
    assert_eq!(plan.warnings, facts.secrets.warnings);
    let remembered = written(&plan.remember);
    assert_eq!(remembered.len(), 2);
    let file: FreshFile =
        serde_json::from_str(&remembered["/store/fresh/own_app.json"]).expect("what it reads");
    assert_eq!(
        file.platforms["linux/amd64"],
        Remembered { all: Some(nonce(7)), spots: vec![], packages: None }
    );
}

#[test]
fn an_ignored_store_records_nothing_and_the_build_warns() {
    let mut facts = with_fresh();
    facts.fresh.values_mut().for_each(|known| known.path = None);
    let plan = whole(&facts, &BuildOptions { no_cache: true, ..BuildOptions::default() }, "id");
    assert!(plan.remember.is_empty() && plan.bake.to_shell().contains("app.shm-size="));
    assert_eq!(plan.warnings.iter().filter(|warning| warning.contains("not recorded")).count(), 1);
}

#[test]
fn what_is_remembered_is_repeated_and_not_written_again() {
    let mut facts = with_fresh();
    let known = facts.fresh.get_mut("app").expect("there");
    let spot = |stage: &str, value| Spot { stage: stage.into(), instruction: None, nonce: nonce(value) };
    let remembered =
        Remembered { all: Some(nonce(1)), spots: vec![spot("tools", 2), spot("gone", 3)], packages: None };
    known.file.platforms.insert("linux/amd64".into(), remembered);
    known
        .file
        .platforms
        .insert("linux/arm64".into(), Remembered { all: Some(nonce(9)), spots: vec![], packages: None });
    let plan = whole(&facts, &BuildOptions::default(), "id");
    let line = plan.bake.to_shell();
    assert!(line.contains("app.shm-size=67108865") && !line.contains("base.shm-size"), "{line}");
    assert!(line.contains("app.dockerfile=/store/tmp/id/fresh/app/app.Dockerfile"), "{line}");
    assert!(plan.remember.is_empty());
    let copies = written(&plan.prepare);
    assert_eq!(copies["/store/tmp/id/fresh/app/app.Dockerfile.dockerignore"], "x\n");
    let copy = FILE.replacen("RUN make tools", "ARG DURANGO_FRESH=2\nRUN make tools", 1);
    assert_eq!(copies["/store/tmp/id/fresh/app/app.Dockerfile"], copy);
    assert_eq!(plan.fresh.len(), 1);
}

#[test]
fn who_moves_a_mount_from_a_stage_has_that_stage_as_the_build_has_it() {
    let mut facts = with_fresh();
    facts.fresh.get_mut("app").expect("there").source = Some(source(
        Some("/p/app.Dockerfile"),
        "FROM debian AS seed\nRUN seed\nFROM debian\nRUN --mount=type=cache,target=/c,from=seed x\n",
    ));
    facts.tools = facts.base.clone();
    choose(&["seed".into()], &mut facts.fresh).expect("it is there");
    let owner = |options: &BuildOptions| {
        whole(&facts, options, "id").mounts.template.expect("tools are there").owners["app"].clone()
    };
    assert!(owner(&BuildOptions::default()).dockerfile.contains("ARG DURANGO_FRESH=7\nRUN seed"));
    let all = owner(&BuildOptions { no_cache: true, ..BuildOptions::default() });
    assert!(all.sets.contains(&("shm-size".into(), "67108871".into())), "{:?}", all.sets);
}

#[test]
fn words_are_chosen_where_they_are_and_what_is_gone_is_forgotten() {
    let mut facts = with_fresh();
    facts.fresh.remove("base");
    choose(&["make app".into()], &mut facts.fresh).expect("it is there");
    let known = facts.fresh.get_mut("app").expect("there");
    let gone = Spot { stage: "gone".into(), instruction: None, nonce: nonce(3) };
    known
        .file
        .platforms
        .insert("linux/amd64".into(), Remembered { all: None, spots: vec![gone], packages: None });
    let plan = whole(&facts, &BuildOptions::default(), "id");
    let copies = written(&plan.prepare);
    let copy = FILE.replacen("RUN make app", "ARG DURANGO_FRESH=7\nRUN make app", 1);
    assert_eq!(copies["/store/tmp/id/fresh/app/app.Dockerfile"], copy);
    let file: FreshFile =
        serde_json::from_str(&written(&plan.remember)["/store/fresh/own_app.json"]).expect("what it reads");
    let spots: Vec<_> = file.platforms["linux/amd64"].spots.iter().map(|spot| &*spot.stage).collect();
    assert_eq!(spots, ["stage-1"]);
}

#[test]
fn a_dockerfile_inside_the_declaration_is_replaced_by_a_file_of_bakes() {
    let mut facts = with_fresh();
    facts.fresh.remove("app");
    facts.fresh.get_mut("base").expect("there").source =
        Some(source(None, "FROM a AS s\nRUN echo ${X} %{y} $Z\n"));
    choose(&["s".into()], &mut facts.fresh).expect("it is there");
    let plan = whole(&facts, &BuildOptions::default(), "id");
    assert!(plan.bake.to_shell().contains("-f /store/tmp/id/fresh/inline.json"), "{}", plan.bake.to_shell());
    let json: serde_json::Value =
        serde_json::from_str(&written(&plan.prepare)["/store/tmp/id/fresh/inline.json"]).expect("JSON");
    assert_eq!(
        json["target"]["base"]["dockerfile-inline"],
        "FROM a AS s\nARG DURANGO_FRESH=7\nRUN echo $${X} %%{y} $Z\n"
    );
}

#[test]
fn words_that_fit_nothing_name_the_near() {
    let refused =
        |word: &str| choose(&[word.to_owned()], &mut with_fresh().fresh).expect_err(word).to_string();
    let near = refused("tool");
    assert!(near.contains("did you mean `tools`?") && near.contains("RUN make app"), "{near}");
    assert!(refused("RUN make").contains("tools/RUN make tools; stage-1/RUN make app"));
    assert!(refused("COPY a b").contains("runs no command"));
    let mut remote = with_fresh().fresh;
    remote.values_mut().for_each(|known| known.source = None);
    assert!(choose(&["x".into()], &mut remote).expect_err("none").to_string().contains("needs a Dockerfile"));
}

#[test]
fn sizes_as_docker_writes_them() {
    for (text, expected) in [
        ("67108864", Some(64 << 20)),
        ("64m", Some(64 << 20)),
        ("64MB", Some(64 << 20)),
        ("1.5GiB", Some(3 << 29)),
        ("2 kb", Some(2048)),
        ("0", None),
        ("x", None),
    ] {
        assert_eq!(size::parse_memory(text), expected, "{text}");
    }
}

#[test]
fn a_declared_no_cache_runs_again_and_spares_mounts_and_saves() {
    let mut facts = with_fresh();
    facts.declaration.targets.get_mut("app").expect("declared").no_cache = Some(true);
    let filter = vec!["Tools".to_owned(), "gone".to_owned()];
    facts.declaration.targets.get_mut("base").expect("declared").no_cache_filter = filter;
    let plan = whole(&facts, &BuildOptions::default(), "id");
    for line in std::iter::once(&plan.bake).chain(plan.saves.iter().map(|save| &save.command)) {
        let line = line.to_shell();
        assert!(line.contains("app.no-cache=false") && line.contains("app.shm-size=67108871"), "{line}");
        assert!(line.contains("base.no-cache-filter=durango-no-stage"), "{line}");
    }
    assert!(plan.dockerfiles["base"].contains("ARG DURANGO_FRESH=7\nRUN make tools"));
    let sets = vec!["*.no-cache=true".to_owned()];
    let given = whole(&facts, &BuildOptions { sets, ..BuildOptions::default() }, "id").bake.to_shell();
    assert!(given.contains("'*.no-cache=true'") && !given.contains("app.no-cache=false"), "{given}");
}
