//! Every command line of README and docs: run here, run by another test, or listed with the reason
//! why no test runs it.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;

use xtask::testing::cli::parse;
use xtask::testing::cli::table::COMMANDS;

use super::{has_test, module_of, pages, root};
use crate::common::outcome::{filled, outcome, put};
use crate::common::{COMPOSE, Project, Run};

/// The treatment of lines that start with a text. The order is that of the run.
enum How {
    /// Runs in a copy of the images with recorded builds, without an engine.
    Here(&'static [&'static str]),
    /// Runs there with an engine. Added words keep it short: a dry run reads and plans for real.
    Engine(&'static [&'static str]),
    /// Runs in a workspace that has a Compose file with two small services.
    Own,
    /// The test of this name does the same.
    By(&'static str),
    /// No test runs it, for this reason.
    Not(&'static str),
}

use How::{By, Engine, Here, Not, Own};

const DRY: How = Engine(&["--dry-run"]);
const IN_TESTS: How = Not("it runs the tests, which a test cannot do");
const ELSEWHERE: How = Not("it needs a registry or another machine");

/// The first rule whose text a line starts with holds for it.
const RULES: &[(&str, How)] = &[
    ("cargo xtask report", Here(&[])),
    ("cargo xtask history rm", Here(&["--yes"])),
    ("cargo xtask history", Here(&[])),
    ("cargo xtask pins --update", By("pins::an_update_takes_the_newest_and_keeps_what_is_held")),
    ("cargo xtask pins", Here(&[])),
    ("cargo xtask cache ls", Here(&[])),
    ("cargo xtask cache verify", Here(&[])),
    ("cargo xtask cache gc", Here(&[])),
    ("cargo xtask cache clear layers", Here(&[])),
    ("cargo xtask cache clear builder", DRY),
    ("cargo xtask cache du", By("store::du_counts_builder_and_store")),
    ("cargo xtask build web worker", Own),
    ("cargo xtask plan web", Own),
    ("cargo xtask explain", Own),
    (
        "cargo xtask cache export --to - ",
        By("bundle::a_bundle_makes_another_machine_as_warm_through_a_file_a_directory_and_a_pipe"),
    ),
    (
        "cargo xtask cache export --to cache-directory",
        By("bundle::a_bundle_makes_another_machine_as_warm_through_a_file_a_directory_and_a_pipe"),
    ),
    ("cargo xtask cache export", Own),
    ("cargo xtask cache import", Own),
    ("cargo xtask doctor", By("doctor::a_machine_that_is_well")),
    ("cargo xtask plan frankenphp", Engine(&[])),
    ("cargo xtask base-build", DRY),
    ("cargo xtask frankenphp --app ../shop --dry-run", Engine(&[])),
    ("cargo xtask frankenphp", DRY),
    ("PHP_EXTENSIONS=", DRY),
    ("LINK=static cargo xtask", DRY),
    ("DURANGO_CACHE=", DRY),
    ("DURANGO_BUILDER=team", By("drivers::a_buildkit_elsewhere")),
    ("cargo xtask smoke", By("smoke::the_real_image_passes")),
    ("cargo xtask bench", Not("it builds for minutes to hours; `docs/benchmarks.md` has its figures")),
    ("cargo xtask test", IN_TESTS),
    ("cargo xtask builder up team", By("drivers::a_buildkit_elsewhere")),
    (
        "cargo xtask builder up --image",
        By("builders::a_builder_is_created_once_repaired_and_keeps_its_mounts"),
    ),
    ("cargo xtask builder up", DRY),
    ("cargo xtask builder", By("builders::a_builder_is_created_once_repaired_and_keeps_its_mounts")),
    ("docker compose -f builder/compose.yaml", Engine(&["--dry-run"])),
    ("SERVER_NAME=:80 DURANGO_HTTP_PORT=8080 docker compose", Engine(&["--dry-run"])),
    ("docker buildx bake -f builder/compose.yaml", Engine(&["--print"])),
    ("docker buildx create --name team", ELSEWHERE),
    ("docker login", ELSEWHERE),
    ("docker save moby/buildkit", ELSEWHERE),
    ("docker load -i buildkit.tar", ELSEWHERE),
    ("docker build -t own/buildkit", By("builders::a_builder_is_created_once_repaired_and_keeps_its_mounts")),
    ("CGO_ENABLED=0 go build", By("builders::a_builder_is_created_once_repaired_and_keeps_its_mounts")),
    ("cd xtask/tests", Not("it changes the directory of the lines after it")),
    ("cat target/progress", Not("it shows what the tests of the line before it wrote")),
    ("ci/onboard.sh", By("pipelines::the_first_day_ends_with_a_page")),
];

/// The lines of a block for a shell, or those after a prompt, without comments.
fn lines_of(kind: &str, block: &str) -> Vec<String> {
    let joined = block.replace("\\\n", " ");
    let lines = joined.lines().map(str::trim);
    let lines = lines.filter_map(|line| if kind == "sh" { Some(line) } else { line.strip_prefix("$ ") });
    let lines = lines.map(|line| line.split(" # ").next().unwrap_or_default().split_whitespace());
    let lines = lines.map(|words| words.collect::<Vec<_>>().join(" "));
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

/// Every command line of a page, in its order. A block may be part of a list.
fn commands_of(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(kind) = line.trim_start().strip_prefix("```") else { continue };
        let block = lines.by_ref().take_while(|line| line.trim_start() != "```");
        let block: Vec<&str> = block.collect();
        if matches!(kind, "sh" | "console") {
            found.extend(lines_of(kind, &block.join("\n")));
        }
    }
    found
}

fn commands() -> Vec<(String, String)> {
    let pages = pages().into_iter();
    let all = pages.flat_map(|(page, text)| {
        let page = page.display().to_string();
        commands_of(&text).into_iter().map(move |line| (page.clone(), line))
    });
    all.collect()
}

fn rule(line: &str) -> Option<usize> {
    RULES.iter().position(|(start, _)| line.starts_with(start))
}

#[test]
fn every_line_is_run_or_has_a_reason() {
    let mut used = vec![false; RULES.len()];
    for (page, line) in commands() {
        match rule(&line) {
            Some(at) => used[at] = true,
            None => panic!("{page}: `{line}` is neither run nor listed: add a rule to RULES"),
        }
        let words = shell_words::split(&line).unwrap_or_else(|error| panic!("{page}: {line}: {error}"));
        if let Some(start) = words.windows(2).position(|pair| pair == ["cargo", "xtask"]) {
            let args = words[start + 2..].iter().take_while(|word| *word != "|").map(OsString::from);
            parse::command_line(args.collect()).unwrap_or_else(|error| panic!("{page}: `{line}`: {error:#}"));
        }
    }
    let stale: Vec<&str> =
        RULES.iter().zip(used).filter(|(_, used)| !used).map(|((start, _), _)| *start).collect();
    assert!(stale.is_empty(), "no line of the documentation starts so: {stale:?}");
    for (start, how) in RULES {
        if let Not(reason) = how {
            assert!(reason.split(' ').count() > 4, "`{start}`: `{reason}` is not a reason");
        }
        let By(test) = how else { continue };
        let (module, name) = test.split_once("::").expect("a topic");
        let found = module_of(&[module]).is_some_and(|text| has_test(&text, name));
        assert!(found, "`{start}` is run by `{test}`, which is no test");
    }
}

/// Commands in the text of a page: with their arguments, or named by their first word alone.
#[test]
fn commands_in_the_text_are_known() {
    let mut seen = 0;
    for (page, text) in pages() {
        let text = text.split("```").step_by(2).collect::<Vec<_>>().join(" ");
        for code in text.split('`').skip(1).step_by(2) {
            let code = code.split_whitespace().collect::<Vec<_>>().join(" ");
            let Some(rest) = code.strip_prefix("cargo xtask ") else { continue };
            let words = shell_words::split(rest).expect("words");
            let words: Vec<String> =
                words.into_iter().take_while(|word| word != "|" && !word.starts_with("2>")).collect();
            let is_name = words.len() == 1 && COMMANDS.iter().any(|command| command.name == words[0]);
            if is_name || words[0] == "COMMAND" {
                continue;
            }
            let args = words.iter().map(OsString::from).collect();
            parse::command_line(args)
                .unwrap_or_else(|error| panic!("{}: `{code}`: {error:#}", page.display()));
            seen += 1;
        }
    }
    assert!(seen > 10, "only {seen} commands were found");
}

#[test]
fn blocks_and_prompts_are_read_and_output_is_not() {
    let text = "a\n```sh\nx y   # says why\n# a comment\nlong \\\n    line\n```\n1. b\n\n   ```sh\n   in a list\n   ```\n\
        ```console\n$ typed\nprinted\n```\n```text\nno command\n```\n";
    assert_eq!(commands_of(text), ["x y", "long line", "in a list", "typed"]);
}

/// Runs a line in a directory of the project, with a `cargo` on the PATH that is the binary.
fn shell(project: &Project, dir: &str, line: &str) -> Run {
    let binary = project.command(&[]);
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = xtask ] || exit 99\nshift\nexec '{}' \"$@\"\n",
        binary.get_program().to_string_lossy()
    );
    let cargo = project.path("bin/cargo");
    if !cargo.exists() {
        project.write("bin/cargo", &script);
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).expect("executable");
    }
    let mut shell = Command::new("sh");
    shell.args(["-c", line]).current_dir(project.path(dir)).env_clear();
    shell.envs(binary.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let path = std::env::var("PATH").unwrap_or_default();
    shell.env("PATH", format!("{}:{path}", project.path("bin").display()));
    Run::from(shell.output().expect("a shell runs"))
}

/// Runs the lines of the rules that `words` picks, rule by rule, each line once.
fn run_all(project: &Project, dir: &str, words: impl Fn(&How) -> Option<&'static [&'static str]>) -> usize {
    let all = commands();
    let mut done: Vec<String> = Vec::new();
    for (at, (_, how)) in RULES.iter().enumerate() {
        let Some(added) = words(how) else { continue };
        for (page, line) in all.iter().filter(|(_, line)| rule(line) == Some(at)) {
            let line = [&[line.as_str()], added].concat().join(" ");
            if done.contains(&line) {
                continue;
            }
            let run = shell(project, dir, &line);
            assert_eq!(run.code, 0, "{page}: `{line}`: {}", run.all());
            done.push(line);
        }
    }
    done.len()
}

/// The directory of that copy.
const CHECKOUT: &str = "checkout";

/// Recorded builds, a copy of what the images are built from, and an application next to it.
fn images() -> Project {
    let project = filled();
    for id in ["20261125-101500-1fc", "20261125-101600-2fc"] {
        put(&project, id, &outcome(id, "built", 96.0).to_string());
    }
    fs::create_dir(project.path(CHECKOUT)).expect("made");
    for room in ["builder", "docker"] {
        let copy = Command::new("cp").arg("-a").arg(root().join(room)).arg(project.path(CHECKOUT)).status();
        assert!(copy.expect("cp runs").success());
    }
    project.write("shop/public/index.php", "<?php echo 'shop';\n");
    project
}

#[test]
fn lines_that_need_no_engine_run() {
    let ran = run_all(&images(), CHECKOUT, |how| if let Here(added) = how { Some(added) } else { None });
    assert!(ran > 10, "{ran} lines");
}

#[test]
#[ignore = "needs an engine"]
fn lines_about_the_images_run() {
    let ran = run_all(&images(), CHECKOUT, |how| if let Engine(added) = how { Some(added) } else { None });
    assert!(ran > 15, "{ran} lines");
}

#[test]
#[ignore = "needs an engine"]
fn lines_for_another_workspace_run() {
    let service = |name: &str| COMPOSE.replace("durango-test/app", name).replace("\nservices:\n", "");
    let web = service("durango-test/docs-web").replace("  app:", "  web:");
    let worker = service("durango-test/docs-worker").replace("  app:", "  worker:");
    let dockerfile = "ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nRUN echo built >/it\n";
    let files = [
        ("compose.yaml", format!("services:\n{web}{worker}")),
        ("Dockerfile", dockerfile.into()),
        (".dockerignore", "*\n".into()),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let project = Project::new(&files);
    ["durango-test/docs-web", "durango-test/docs-worker"].iter().for_each(|image| project.owns(image));
    let ran = run_all(&project, "", |how| if let Own = how { Some(&[][..]) } else { None });
    assert!(ran > 6, "{ran} lines");
    assert!(Path::new(&project.path("cache.tar")).is_file());
}
