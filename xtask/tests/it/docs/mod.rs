//! README and docs: their links lead somewhere, their command lines run ([`lines`]), the tests that
//! the architecture names exist, and each decision has its four parts.

mod json;
mod lines;
mod messages;
mod pictures;

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every page with its text.
fn pages() -> Vec<(PathBuf, String)> {
    let docs = walkdir::WalkDir::new(root().join("docs")).into_iter();
    let docs = docs.map(|entry| entry.expect("a readable page").into_path());
    let pages = docs.filter(|path| path.extension().is_some_and(|ext| ext == "md"));
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("a page");
        (path, text)
    };
    pages.chain([root().join("README.md")]).map(read).collect()
}

/// The heading's name in a link, as GitHub and GitLab make it.
fn anchor(heading: &str) -> String {
    let kept =
        heading.trim_start_matches('#').trim().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

#[test]
fn links_lead_somewhere() {
    for (page, text) in pages() {
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (file, part) = link.split_once('#').unwrap_or((link, ""));
            if file.contains("://") {
                continue;
            }
            let target =
                if file.is_empty() { page.clone() } else { page.parent().expect("a directory").join(file) };
            assert!(target.exists(), "{}: {link}", page.display());
            let has_part = || fs::read_to_string(&target).unwrap_or_default();
            let found = part.is_empty()
                || has_part().lines().any(|line| line.starts_with('#') && anchor(line) == part);
            assert!(found, "{}: no heading for {link}", page.display());
        }
    }
}

/// The page is made from the table, by `cargo xtask man --markdown`.
#[test]
fn the_reference_is_the_table() {
    let page = fs::read_to_string(root().join("docs/reference/cli.md")).expect("a page");
    let made = xtask::testing::cli::reference::page();
    let differs = page.lines().zip(made.lines()).find(|(page, made)| page != made);
    assert!(
        page == made,
        "run: cargo xtask man --markdown > docs/reference/cli.md\nthe first difference: {differs:?}"
    );
}

/// The text of the module that a path of a test names: below `tests/it/`, else in the crate.
fn module_of(path: &[&str]) -> Option<String> {
    let joined = path.join("/");
    let tests = root().join("xtask/tests/it");
    let source = root().join("xtask/src");
    let parent = path.split_last().map(|(_, parent)| parent.join("/")).unwrap_or_default();
    let places = [
        tests.join(format!("{joined}.rs")),
        tests.join(&joined).join("mod.rs"),
        source.join(format!("{joined}.rs")),
        source.join(&joined).join("mod.rs"),
        // `mod tests` next to a file, or inside of it.
        source.join(format!("{parent}_tests.rs")),
        source.join(format!("{parent}.rs")),
    ];
    places.iter().find_map(|file| fs::read_to_string(file).ok())
}

/// Returns whether this text has a test of that name.
fn has_test(text: &str, name: &str) -> bool {
    let wanted = format!("fn {name}()");
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let is_test = |at: usize| {
        let before = lines[..at].iter().rev().take_while(|line| line.starts_with("#["));
        before.into_iter().any(|line| *line == "#[test]")
    };
    lines.iter().enumerate().any(|(at, line)| line.starts_with(&wanted) && is_test(at))
}

/// The tests in the last column of the architecture's table of invariants.
fn named_tests() -> Vec<String> {
    let text = fs::read_to_string(root().join("docs/architecture.md")).expect("the architecture");
    let table = text.split_once("## Invariants").expect("the invariants").1;
    let table = table.split("\n## ").next().expect("a section");
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    let mut named = Vec::new();
    for row in rows {
        let last = row.trim_end_matches([' ', '|']).rsplit(" | ").next().expect("a column");
        let tests: Vec<String> = last.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        assert!(!tests.is_empty(), "no test holds this: {row}");
        named.extend(tests);
    }
    named
}

#[test]
fn every_named_test_exists() {
    let named = named_tests();
    assert!(named.len() > 15, "{named:?}");
    for test in named {
        let path: Vec<&str> = test.split("::").collect();
        let (name, module) = path.split_last().expect("a name");
        let text = module_of(module).unwrap_or_else(|| panic!("`{test}`: there is no such module"));
        assert!(has_test(&text, name), "`{test}` is named by the architecture, and there is no such test");
    }
}

#[test]
fn a_test_that_is_none_is_found() {
    let text = "#[test]\n#[ignore = \"needs an engine\"]\nfn is_one() {}\nfn is_none() {}\n";
    assert!(has_test(text, "is_one") && !has_test(text, "is_none") && !has_test(text, "is"));
    assert!(
        module_of(&["exec", "bundle", "tests"])
            .is_some_and(|text| has_test(&text, "every_flipped_bit_is_refused_or_harmless"))
    );
    assert!(
        module_of(&["store", "validate", "tests"]).is_some_and(|text| has_test(&text, "sound_entries_pass"))
    );
    let inline = module_of(&["store", "lock", "tests"]);
    assert!(
        inline.is_some_and(|text| has_test(&text, "file_systems_without_locks_are_known_by_their_errors"))
    );
    assert_eq!(module_of(&["exec", "nowhere"]), None);
}

#[test]
fn each_decision_has_its_four_parts_and_a_line_in_the_index() {
    let dir = root().join("docs/decisions");
    let index = fs::read_to_string(dir.join("README.md")).expect("the index");
    let names = fs::read_dir(&dir).expect("the decisions").flatten();
    let mut names: Vec<String> =
        names.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names.retain(|name| name != "README.md");
    assert!(names.len() > 40, "{names:?}");
    for (at, name) in names.iter().enumerate() {
        let number = format!("{:03}", at + 1);
        assert!(name.starts_with(&format!("{number}-")), "`{name}`: the numbers follow each other");
        let text = fs::read_to_string(dir.join(name)).expect("a decision");
        let title = text.lines().next().and_then(|line| line.strip_prefix(&format!("# {number} ")));
        let title = title.unwrap_or_else(|| panic!("`{name}` has no title"));
        let row = format!("| {number} | [{title}]({name}) |");
        assert!(index.lines().any(|line| line == row), "the index lacks `{row}`");
        let parts: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        assert_eq!(parts, ["Context", "Decision", "Evidence", "Consequences"], "`{name}`");
    }
}
