//! The binary end to end, without an engine.

use crate::common::{COMPOSE, Project};
use xtask::testing::cli::{help, table};

#[test]
fn help_comes_from_the_table_on_stdout() {
    let project = Project::new(&[]);
    for args in [&[][..], &["--help"], &["help"]] {
        let run = project.run(args);
        run.succeeds();
        table::COMMANDS
            .iter()
            .for_each(|command| assert!(run.stdout.contains(command.summary), "{}", run.all()));
    }
    for (path, command) in table::all() {
        let words: Vec<&str> = path.split(' ').collect();
        let run = project.run(&[&words[..], &["--help"]].concat());
        run.succeeds();
        assert_eq!(project.run(&[&["help"], &words[..]].concat()).stdout, run.stdout);
        command
            .own_options()
            .for_each(|opt| assert!(run.stdout.contains(opt.name), "{path} lacks {}", opt.name));
        let subcommands = command.subcommands.iter();
        subcommands.for_each(|sub| assert!(run.stdout.contains(sub.summary), "{path} lacks {}", sub.name));
    }
}

#[test]
fn the_version_is_printed() {
    let project = Project::new(&[]);
    for option in ["--version", "-V"] {
        let run = project.run(&[option]);
        run.succeeds();
        assert_eq!(run.stdout, format!("durango-builder {}\n", env!("CARGO_PKG_VERSION")));
    }
}

/// The help of one subcommand has the options of no other.
#[test]
fn help_of_a_subcommand_has_its_own_options_alone() {
    let project = Project::new(&[]);
    for (args, has, lacks) in [
        (["cache", "gc"], &["--budget", "--keep"][..], &["--to", "--yes", "--platform"][..]),
        (["cache", "export"], &["--to", "[IMAGE...]"], &["--from", "--budget"]),
        (["builder", "up"], &["--endpoint", "[BUILDER]"], &["--purge"]),
        (["builder", "down"], &["--purge"], &["--endpoint", "--image"]),
        (["history", "rm"], &["--all", "[BUILD...]"], &["--against"]),
    ] {
        let help = project.run(&[&args[..], &["--help"]].concat()).stdout;
        for word in has {
            assert!(help.contains(word), "{args:?} lacks {word}: {help}");
        }
        for word in lacks {
            assert!(!help.contains(word), "{args:?} has {word}: {help}");
        }
    }
}

#[test]
fn help_of_an_unknown_command_is_an_error() {
    let project = Project::new(&[]);
    for args in [&["bild", "--help"][..], &["help", "bild"]] {
        project.run(args).fails(2, &["unknown command `bild`", "did you mean `build`"]);
    }
}

#[test]
fn the_readme_lists_the_commands_of_the_table() {
    let readme =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).expect("a README");
    let list = help::readme_list();
    assert!(readme.contains(&list), "README.md needs this list:\n\n{list}");
}

#[test]
fn wrong_arguments_end_with_2_and_one_error() {
    let project = Project::new(&[("compose.yaml", COMPOSE)]);
    let table: &[(&[&str], &[&str])] = &[
        (&["bild"], &["unknown command `bild`", "did you mean `build`"]),
        (&["--nope"], &["unknown option `--nope`"]),
        (&["base-build", "--dryrun"], &["unknown option `--dryrun`", "did you mean `--dry-run`"]),
        (&["base-build", "extra"], &["does not take the argument `extra`"]),
        (&["smoke", "a", "b"], &["does not take the argument `b`"]),
        (&["build"], &["`build` needs TARGET"]),
        (&["cache", "gcc"], &["unknown command `cache gcc`", "did you mean `gc`"]),
        (&["cache", "gc", "--yes"], &["`cache gc` does not take `--yes`", "it is for: cache clear"]),
        (&["builder"], &["`builder` needs a subcommand: up, status, down"]),
        (&["builder", "up", "a", "b"], &["`builder up` does not take the argument `b`"]),
        (&["build", "app", "--file"], &["`--file` needs FILE"]),
        (&["base-build", "--progress", "loud"], &["`--progress loud` is unknown"]),
        (&["base-build", "--builder", "a", "--builder", "b"], &["duplicate option `--builder`"]),
        (&["build", "app", "--set", "app.arg.X=1"], &["unknown key `arg`", "did you mean `args`"]),
        (&["build", "app", "--set", "app"], &["not of the form TARGET.KEY=VALUE"]),
        (&["build", "app", "--platform", "arm"], &["not OS/ARCH"]),
        (&["build", "app", "--build-arg", "UNSET_THING"], &["has no value"]),
        (&["build", "app", "--file", "gone.yaml"], &["not found", "gone.yaml"]),
        (&["build", "app", "--app", "gone"], &["not found", "gone"]),
        (&["bench", "fastest"], &["unknown case `fastest`"]),
    ];
    for (args, words) in table {
        let run = project.run(args);
        run.fails(2, words);
        assert_eq!(run.stderr.matches("error: ").count(), 1, "{}", run.all());
        assert_eq!(run.stdout, "", "{}", run.all());
    }
    assert!(!project.store().exists(), "nothing is written before the words are right");
}

#[test]
fn an_error_is_a_document_with_json() {
    let run = Project::new(&[]).run(&["build", "app", "--file", "gone.yaml", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&run.stdout).expect("one document");
    assert_eq!((json["schema"].as_u64(), json["error"]["exit_code"].as_u64()), (Some(1), Some(2)));
}

#[test]
fn without_docker_nothing_is_changed_and_the_command_is_named() {
    let empty = tempfile::tempdir().expect("a directory");
    let path = empty.path().display().to_string();
    let project = Project::new(&[]).env("PATH", &path);
    let run = project.run(&["base-build"]);
    run.fails(1, &["`docker` is not on the PATH", "--provision"]);
    let run = project.run(&["base-build", "--dry-run"]);
    run.succeeds();
    assert!(run.stdout.contains("docker buildx bake"), "{}", run.all());
    assert!(!project.store().exists(), "{}", run.all());
}

#[test]
fn a_stopped_daemon_is_reported() {
    let project =
        Project::new(&[("compose.yaml", COMPOSE)]).env("DOCKER_HOST", "unix:///nonexistent/docker.sock");
    let run = project.run(&["build", "app", "--file", "compose.yaml"]);
    // On a machine without docker, the error is about docker.
    assert_eq!(run.code, 1, "{}", run.all());
    assert!(run.stderr.contains("does not answer") || run.stderr.contains("docker`"), "{}", run.all());
}
