//! Completions of a command line.

use super::*;
use crate::commands::candidates::Kind;

/// The candidates that do not depend on the machine, and the kind of the others.
fn complete(line: &str) -> (Vec<String>, Values, String) {
    let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    let line = Line::read(&words);
    let wanted = line.complete();
    let mut text = String::new();
    wanted.candidates.iter().for_each(|candidate| add(&mut text, &line.current, "", candidate));
    let words = text.lines().filter_map(|line| Some(line.split_once(' ')?.0.to_owned()));
    (words.collect(), wanted.values, wanted.prefix)
}

#[test]
fn commands_subcommands_and_options_come_from_the_table() {
    for (line, expected) in [
        ("cach", &["cache"][..]),
        ("--json bui", &["build", "builder"]),
        ("help cac", &["cache"]),
        ("cache g", &["gc"]),
        ("cache gc --", &[]),
        ("cache gc --bud", &["--budget"]),
        ("cache gc --budget 1GB --bud", &[]),
        ("build --fi", &["--file"]),
        ("build --file a --fi", &["--file"]),
        ("cache ls --bud", &[]),
        ("cache --bud", &["--budget"]),
        ("base-build --no", &["--no-cache", "--no-save"]),
        ("base-build -", &[]),
        ("nonsense ", &[]),
        ("cache nonsense ", &[]),
    ] {
        let (words, values, _) = complete(line);
        assert_eq!(values, Values::Free, "{line}");
        if !expected.is_empty() || line.ends_with("nonsense ") {
            assert_eq!(words, expected, "{line}");
        }
    }
    assert!(complete("cache gc --").0.contains(&"--older-than".to_owned()));
    assert_eq!(complete("").0.len(), COMMANDS.len());
    assert_eq!(complete("bench ch").0, ["chaos"]);
    assert!(complete("doctor ").0.contains(&"--provision".to_owned()), "no arguments: options");
}

#[test]
fn a_value_is_of_its_placeholder_s_kind() {
    for (line, expected, prefix) in [
        ("build ", Values::Of(Kind::Targets), ""),
        ("build web w", Values::Of(Kind::Targets), ""),
        ("build --file ", Values::Files, ""),
        ("build --file=co", Values::Files, "--file="),
        ("build --app ", Values::Directories, ""),
        ("--builder x history rm ", Values::Of(Kind::Builds), ""),
        ("report --format ", Values::Of(Kind::ReportFormats), ""),
        ("explain --against=", Values::Of(Kind::Builds), "--against="),
        ("frankenphp --mounts a,b,", Values::ListOf(Kind::Mounts), "a,b,"),
        ("frankenphp --mounts=a,", Values::ListOf(Kind::Mounts), "--mounts=a,"),
        ("cache gc --keep ", Values::Free, ""),
        ("smoke image ", Values::Free, ""),
        ("bench ch", Values::Of(Kind::Cases), ""),
        ("bench chaos ", Values::Of(Kind::Faults), ""),
    ] {
        let (_, values, before) = complete(line);
        assert_eq!((values, before.as_str()), (expected, prefix), "{line}");
    }
}

#[test]
fn a_candidate_that_a_shell_would_read_is_left_out() {
    let mut text = String::new();
    for word in ["good-1.2", "a$(reboot)", "a b", "a;b", "a\u{1b}[2J", "a`x`", "~root"] {
        add(&mut text, "", "", &Candidate::new(word, "about\t\u{1b}[2J"));
    }
    assert_eq!(text, "good-1.2 about  [2J\n");
}

#[test]
fn words_lose_their_quotes() {
    for (word, plain) in
        [("'a b'", "a b"), ("a\\ b", "a b"), ("--x=\"a\"", "--x=a"), ("'open", "'open"), ("a", "a")]
    {
        assert_eq!(unquoted(word), plain);
    }
}
