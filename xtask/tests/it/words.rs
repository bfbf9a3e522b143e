//! The words of Dockerfiles compared with BuildKit's own parser and shell lexer, which a small Go
//! program calls: variables with all their operators, quotes, escapes, heredocs.

use std::collections::BTreeMap;

use xtask::testing::project::dockerfile::steps;

use super::common::go::{Random, answers, seeds};

/// The number of Dockerfiles to compare, half of them with each seed.
const FILES: usize = 10_000;

#[test]
#[ignore = "needs Go"]
fn dockerfiles_mean_what_buildkits_lexer_says() {
    let seeds = seeds();
    println!("seeds {seeds:?}");
    let cases: Vec<Case> = seeds.into_iter().flat_map(|seed| cases(seed, FILES / 2)).collect();
    let json = |case: &Case| serde_json::json!({"file": case.file, "args": case.args});
    let Some(answers) = answers("buildkit_words", cases.iter().map(json)) else { return };
    assert_eq!(answers.len(), cases.len());
    let mut differences = Vec::new();
    let (mut compared, mut refused) = (0, 0);
    for (case, answer) in cases.iter().zip(&answers) {
        let mut theirs: Vec<Vec<String>> = serde_json::from_str(answer).expect("lists of texts");
        let mut ours = steps(&case.file, &case.args);
        // Only what comes before an instruction that BuildKit refuses has a meaning.
        if theirs.last().is_some_and(|step| step == &["refused"]) {
            theirs.pop();
            ours.truncate(theirs.len());
            refused += 1;
        }
        compared += theirs.len();
        if ours != theirs {
            let lines: Vec<String> = ours
                .iter()
                .zip(&theirs)
                .filter(|(ours, theirs)| ours != theirs)
                .map(|(ours, theirs)| format!("  BuildKit: {theirs:?}\n  ours:     {ours:?}"))
                .collect();
            let counts = format!("{} and {} steps", theirs.len(), ours.len());
            differences.push(format!("{}{:?}\n{}\n{counts}", case.file, case.args, lines.join("\n")));
        }
    }
    println!("{FILES} Dockerfiles, {compared} steps compared, {refused} files refused in part");
    assert!(compared > FILES, "too little was compared to say anything");
    let shown = differences.iter().take(10).cloned().collect::<Vec<_>>().join("\n\n");
    assert!(differences.is_empty(), "{} differences:\n{shown}", differences.len());
}

/// A Dockerfile and its build arguments.
struct Case {
    file: String,
    args: BTreeMap<String, String>,
}

/// Values of variables.
const VALUES: &[&str] = &["", "a", "abc", "a/b/a.b", "aXbXa", "*", "a b", "\u{e9}\u{e8}", "\\", "a\\b"];

/// Literal pieces of words. `^` stands for the escape character of the file.
const PIECES: &[&str] = &[
    "a", "b", "a", "/", ".", "-", "_", "x.y", "\u{e9}", ":", "+", "=", "{", "}", "$", "$$", "$1a", "$@",
    "^$A", "^^", "^a", "^\"", "^'", "^ ", "*", "?", "[a]", "<", "<<", "#", "100%", "~", "^/", "|", "(", ",",
];

/// Pieces of patterns. A variable is none of them: BuildKit reads a value that ends in an escape in
/// its own way.
const PATTERNS: &[&str] = &[
    "a", "b", "*", "?", "a*", "*b", "/", ".", "X", "^*", "^?", "^^", "^}", "^/", "[a]", "(", "+", "\u{e9}",
    "\"a\"", "'b'", "\"*\"", " ",
];

/// Names of heredocs.
const HEREDOCS: &[&str] = &["EOF", "'EOF'", "\"EOF\"", "-EOF", "E\"O\"F"];

const NAMES: &[&str] = &["A", "B", "C", "E", "U", "D_1"];

fn word(random: &mut Random, depth: usize) -> String {
    (0..1 + random.below(3)).map(|_| piece(random, depth)).collect()
}

fn piece(random: &mut Random, depth: usize) -> String {
    let name = random.of(NAMES);
    match random.below(14) {
        0..=3 => random.of(&PIECES[..10]).to_owned(),
        4 | 5 => random.of(PIECES).to_owned(),
        6 => format!("${name}"),
        7 => format!("${{{name}}}"),
        8 if depth > 0 => {
            let inner = if random.below(6) == 0 { String::new() } else { word(random, depth - 1) };
            format!("${{{name}{}{inner}}}", random.of(&[":-", "-", ":+", "+", ":?", "?", ":-", "-"]))
        }
        9 => format!("${{{name}{}{}}}", random.of(&["#", "##", "%", "%%"]), pattern(random)),
        10 => {
            let by = random.of(&["", "-", "a", "\"q\"", "^/", "x y", "$A", "^$0", "^${0}b", "^$$"]);
            format!("${{{name}{}{}/{by}}}", random.of(&["/", "//"]), pattern(random))
        }
        11 if depth > 0 => format!("\"{}\"", word(random, depth - 1)),
        12 if depth > 0 => format!("'{}'", word(random, depth - 1).replace('\'', "")),
        _ => random.of(&["a", "b", "c"]).to_owned(),
    }
}

fn pattern(random: &mut Random) -> String {
    (0..1 + random.below(3)).map(|_| random.of(PATTERNS)).collect()
}

fn instruction(random: &mut Random) -> String {
    let mut word = || word(random, 2);
    let (one, two, three) = (word(), word(), word());
    let name = random.of(NAMES);
    match random.below(22) {
        0..=3 => format!("ENV {name}={one}"),
        4 => format!("ENV {name}={one} {}={two}", random.of(NAMES)),
        5 => format!("ENV {name} {one} {two}"),
        6 => format!("ARG {name}={one}"),
        7 => format!("ARG {name}={one} {}", random.of(NAMES)),
        8 => format!("ENV {one}={two}"),
        9 => format!("WORKDIR {}{one}", random.of(&["", "/", "/x/"])),
        10 => format!("COPY {one} {two} {}{three}", random.of(&["", "/", "/x/"])),
        11 => format!("COPY --chown={one} {two} /{three}"),
        12 => {
            let quoted: Vec<String> =
                [one, two].iter().map(|word| serde_json::json!(word).to_string()).collect();
            format!("COPY [{}, \"/to/\"]", quoted.join(","))
        }
        13 => {
            let end = random.of(HEREDOCS);
            format!("COPY <<{end} /h\n{one}\n\t{two} '{three}'\nEOF")
        }
        14 => format!("USER {one}"),
        15 => format!("{} {one}", random.of(&["EXPOSE", "VOLUME", "STOPSIGNAL", "LABEL l=", "LABEL"])),
        16 => format!("RUN --mount=type=cache,target=/{one} {two} {three}"),
        17 => format!("RUN cat <<EOF >{one}\n{two}\nEOF"),
        18 => format!("RUN [\"{}\", \"a<b\"]", one.replace(['\\', '^', '"'], "")),
        19 => format!("COPY --exclude={one} {two} {three}"),
        _ => format!("RUN {one} {two}"),
    }
}

/// Returns Dockerfiles. The same seed gives the same ones.
fn cases(seed: u64, count: usize) -> Vec<Case> {
    let mut random = Random::new(seed);
    let mut case = || {
        let random = &mut random;
        let escape = random.of(&["\\", "\\", "\\", "`"]);
        let head = if escape == "`" { "# escape=`\n" } else { "" };
        let mut lines = Vec::new();
        for name in NAMES {
            if random.below(3) == 0 {
                lines.push(format!("ENV {name}='{}'", random.of(VALUES)));
            }
        }
        for _ in 0..1 + random.below(3) {
            lines.push(instruction(random));
        }
        lines.push("RUN :".to_owned());
        let globals =
            if random.below(3) == 0 { format!("ARG B={}\n", word(random, 1)) } else { String::new() };
        // Whether other words are heredocs depends on the version of BuildKit.
        let is_odd = |word: &str| word.contains("<<") && !HEREDOCS.contains(&word.trim_start_matches("<<"));
        lines.retain(|line| !line.split_whitespace().any(is_odd));
        let file = format!("{head}{globals}FROM scratch\n{}\n", lines.join("\n")).replace('^', escape);
        let args = NAMES.iter().filter(|_| random.below(8) == 0);
        let args = args.map(|name| ((*name).to_owned(), "given".to_owned())).collect();
        Case { file, args }
    };
    (0..count).map(|_| case()).collect()
}
