//! `.dockerignore` compared with moby's own pattern matcher, which a small Go program calls.

use xtask::testing::project::ignore::{Ignore, Matched};

use super::common::go::{Random, answers, seeds};

/// The number of ignore files to compare, half of them with each seed.
const FILES: usize = 10_000;
/// Paths per ignore file.
const PATHS: usize = 12;

#[test]
#[ignore = "needs Go"]
fn ignore_files_mean_what_mobys_matcher_says() {
    let seeds = seeds();
    println!("seeds {seeds:?}");
    let cases: Vec<Case> = seeds.into_iter().flat_map(|seed| cases(seed, FILES / 2)).collect();
    let json = |case: &Case| serde_json::json!({"ignore": case.ignore, "paths": case.paths});
    let Some(answers) = answers("moby_matcher", cases.iter().map(json)) else { return };
    let mut differences = Vec::new();
    let mut matches = 0;
    for (case, answer) in cases.iter().zip(&answers) {
        let ours = ours(case);
        matches += ours.matches('y').count();
        if ours != *answer {
            differences.push(format!("{case:?}\n  moby: {answer}\n  ours: {ours}"));
        }
    }
    println!("{} ignore files, {} paths, {matches} matches", cases.len(), cases.len() * PATHS);
    assert!(matches > FILES, "the patterns match too little to say anything");
    assert_eq!(answers.len(), cases.len());
    let shown: Vec<&String> = differences.iter().take(10).collect();
    assert!(differences.is_empty(), "{} differences:\n{shown:#?}", differences.len());
}

/// An ignore file and paths.
#[derive(Debug)]
struct Case {
    ignore: String,
    paths: Vec<String>,
}

/// Returns the answer of our own matcher.
fn ours(case: &Case) -> String {
    let Ok(ignore) = Ignore::try_parse(&case.ignore) else { return "bad".to_owned() };
    let letter = |found: Result<Matched, _>| match found {
        Err(_) => 'e',
        Ok(found) if found.is_match => 'y',
        Ok(_) => 'n',
    };
    let walked = |path: &str| {
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        let mut parent = Ok(Matched::default());
        for end in ends {
            parent = match parent {
                Ok(parent) => ignore.matches(&path[..end], &parent),
                Err(bad) => Err(bad),
            };
        }
        letter(parent)
    };
    let both = |path: &String| [walked(path), letter(ignore.matches(path, &Matched::default()))];
    case.paths.iter().flat_map(both).collect()
}

/// Pieces of patterns, including unusual ones.
const PIECES: &[&str] = &[
    "a",
    "b",
    "ab",
    "c",
    "d",
    ".",
    "..",
    "/",
    "//",
    "*",
    "**",
    "**/",
    "/**",
    "*/",
    "?",
    "[a-c]",
    "[^a]",
    "[ab",
    "]",
    "[",
    "[a-]",
    "[]a]",
    "[*]",
    "[?]",
    "[b-a]",
    "[a\\]]",
    "[^/]",
    "[\\d]",
    "[[:alpha:]]",
    "\\*",
    "\\a",
    "\\d",
    "\\w",
    "\\.",
    "\\",
    "!",
    "#",
    " ",
    "\t",
    "é",
    "^",
    "$",
    "+",
    "(",
    ")",
    "{2}",
    "|",
    "-",
    "&&",
    "~",
    "a/b",
    "/a",
    "./",
    "../",
    "*.d",
    "\\b",
    "\\x61",
    "\\141",
    "\\A",
    "\\z",
    "\\S",
];

/// Pieces of paths.
const NAMES: &[&str] = &[
    "a", "b", "c", "d", "ab", "abc", "a.d", ".d", "é", "a b", "*", "?", "[", "]", "^", "$", "a]", "-", "#a",
    "!a", "\\", "a\\b", "7", "_", "a^b", "(", "{2}", "aa", "bb", "&&",
];

/// Returns ignore files with paths. The same seed gives the same ones.
fn cases(seed: u64, count: usize) -> Vec<Case> {
    let mut random = Random::new(seed);
    let mut case = || {
        let lines = 1 + random.below(5);
        let line = |random: &mut Random| {
            let mark = if random.below(4) == 0 { "!" } else { "" };
            let pieces = 1 + random.below(5);
            let simple = random.below(3) > 0;
            // Two of three lines have plain pieces only, because those match more often.
            let among = if simple { &PIECES[..17] } else { PIECES };
            mark.to_owned() + &(0..pieces).map(|_| random.of(among)).collect::<String>()
        };
        let ignore = (0..lines).map(|_| line(&mut random)).collect::<Vec<_>>().join("\n");
        let path = |random: &mut Random| {
            let depth = 1 + random.below(4);
            let simple = random.below(3) > 0;
            let among = if simple { &NAMES[..7] } else { NAMES };
            (0..depth).map(|_| random.of(among)).collect::<Vec<_>>().join("/")
        };
        Case { ignore, paths: (0..PATHS).map(|_| path(&mut random)).collect() }
    };
    (0..count).map(|_| case()).collect()
}
