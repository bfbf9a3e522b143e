//! The names of images that users write: compared with docker's own grammar, which a small Go
//! program calls, and the errors about them.

use xtask::testing::project::image_reference::{check, check_existing};

use super::common::go::{Random, answers, seeds};
use super::common::{COMPOSE, Project};

/// The number of names to compare, half of them with each seed.
const NAMES: usize = 40_000;

#[test]
#[ignore = "needs Go"]
fn names_of_images_are_judged_as_docker_judges_them() {
    let seeds = seeds();
    println!("seeds {seeds:?}");
    let names: Vec<String> = seeds.into_iter().flat_map(|seed| names(seed, NAMES / 2)).collect();
    let json = |name: &String| serde_json::json!({ "name": name });
    let Some(answers) = answers("docker_reference", names.iter().map(json)) else { return };
    assert_eq!(answers.len(), names.len());
    let letter = |good: bool| if good { "y" } else { "n" };
    let ours =
        |name: &str| format!("{}{}", letter(check(name).is_ok()), letter(check_existing(name).is_ok()));
    let mut differences = Vec::new();
    for (name, answer) in names.iter().zip(&answers).filter(|(name, answer)| ours(name) != **answer) {
        differences.push(format!("{name:?}: docker {answer}, ours {}", ours(name)));
    }
    let good = answers.iter().filter(|answer| answer.starts_with('y')).count();
    println!("{} names, {good} of them are references", names.len());
    assert!(good > NAMES / 10 && good < NAMES / 10 * 9, "{good} good names say little");
    differences.truncate(20);
    assert!(differences.is_empty(), "{differences:#?}");
}

/// Pieces of names.
const PIECES: &[&str] = &[
    "a",
    "b",
    "0",
    "app",
    "team",
    "docker.io",
    "index.docker.io",
    "localhost",
    "r.example",
    "R.example",
    "UPPER",
    "[::1]",
    "[",
    "]",
    "::",
    ":",
    ":5000",
    ":80/",
    "/",
    "/",
    "/",
    "//",
    ".",
    "..",
    "_",
    "__",
    "___",
    "-",
    "--",
    "@",
    "@sha256:",
    "sha256:",
    "sha512:",
    "md5:",
    ":latest",
    ":1.2",
    ":V_1.x-y",
    ":-x",
    ":.x",
    ":",
    " ",
    "\t",
    "\n",
    "\u{e9}",
    "\u{130}",
    "https://",
    "%",
    "+",
    "$",
    "a.b",
    "a_b.c",
    "x:1",
    "0123456789abcdef",
];

fn names(seed: u64, count: usize) -> Vec<String> {
    let mut random = Random::new(seed);
    let hex = |length: usize| "0123456789abcdef".repeat(8)[..length].to_owned();
    let mut name = || {
        let mut name: String = match random.below(4) {
            0 => {
                random.of(&["a/b", "r.example/team/app", "localhost:5000/a", "app", "[::1]:80/a"]).to_owned()
            }
            _ => String::new(),
        };
        for _ in 0..random.below(6) {
            name += random.of(PIECES);
        }
        match random.below(24) {
            0 => name += &format!("@sha256:{}", hex(64)),
            1 => name += &format!("@sha{}", random.of(&["256:", "512:", "384:", "1:"])),
            2 => name += &hex([63, 64, 65, 96, 128][random.below(5)]),
            3 => name = random.of(&["", "sha256:", "sha512:"]).to_owned() + &hex([64, 128][random.below(2)]),
            4 => name += &format!("@sha512:{}", hex(128)),
            5 => name += &"a".repeat(240 + random.below(20)),
            6 => name += &format!(":{}", "t".repeat(126 + random.below(5))),
            7 => name += &format!("/{}", "b".repeat(240 + random.below(20))),
            _ => {}
        }
        name
    };
    (0..count).map(|_| name()).collect()
}

#[test]
fn a_wrong_name_is_an_error_of_usage_before_docker_is_asked() {
    // There is no docker, and no engine.
    let project = Project::new(&[("compose.yaml", COMPOSE)]).env("PATH", "/nowhere");
    for (words, fault) in [
        (
            &["build", "app", "--dry-run", "--tag", "UPPER:x"][..],
            "`--tag UPPER:x`: the image name has upper case",
        ),
        (&["plan", "app", "--tag", ""], "is empty"),
        (&["build", "app", "--tag", "a:b:c"], "has the tag `b:c`"),
        (&["build", "app", "--tag", "a b"], "is not valid"),
        (&["build", "app", "--set", "app.tags=:tag"], "`--set app.tags=:tag`: the image name is not"),
        (&["build", "app", "--set", "*.tags=a@sha256:00"], "is not a digest"),
        (&["build", "app", "--cache", "registry=r.example/Team/c"], "has upper case letters"),
        (&["smoke", "UPPER:x"], "the image name `UPPER:x` has upper case letters"),
        (&["outdated", "a:b:c"], "has the tag `b:c`"),
    ] {
        project.run(words).fails(2, &[fault]);
    }
}

#[test]
#[ignore = "needs an engine"]
fn a_declared_name_that_docker_refuses_is_an_error_before_anything_runs() {
    let project = Project::new(&[("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n")]);
    let digest = format!("a@sha256:{}", "0".repeat(64));
    for (tag, fault) in
        [("UPPER:x", "has upper case letters"), ("a:b:c", "has the tag"), (&digest, "has a digest")]
    {
        project.write("compose.yaml", &format!("services: {{app: {{build: ., image: '{tag}'}}}}\n"));
        project.write("bake.json", &format!(r#"{{"target": {{"app": {{"tags": ["good", "{tag}"]}}}}}}"#));
        for file in ["compose.yaml", "bake.json"] {
            for word in ["plan", "build"] {
                let named = format!("target `app`: the image name `{tag}` ");
                project.run(&[word, "app", "--file", file]).fails(2, &[&named, fault, file]);
            }
            // The command line replaces the name.
            project.run(&["plan", "app", "--file", file, "--tag", "durango-test/good"]).succeeds();
        }
    }
    assert!(!project.store().join("builds").exists(), "nothing ran");
}
