//! The messages in `docs/troubleshooting.md` are those of the programs.

use std::fs;

use super::root;

/// Messages of docker, Go and OpenSSL, which a build shows as they are.
const FOREIGN: &[&str] = &["certificate verify failed", "port is already allocated"];

/// The sources that print messages, without line breaks, placeholders and backticks in them.
fn sources() -> String {
    let places = ["xtask/src", "builder/lib", "ci"].map(|place| root().join(place));
    let files = places.iter().flat_map(|place| walkdir::WalkDir::new(place).into_iter().flatten());
    let texts = files.filter_map(|file| fs::read_to_string(file.path()).ok());
    let mut joined = String::new();
    for text in texts {
        // A backslash at the end of a line joins it with the next one.
        let mut parts = text.split("\\\n");
        joined.push_str(parts.next().unwrap_or_default());
        parts.for_each(|part| joined.push_str(part.trim_start()));
        joined.push('\n');
    }
    joined.replace(['`', '\\'], "")
}

/// The messages in the first column of the page's tables.
fn messages() -> Vec<String> {
    let page = fs::read_to_string(root().join("docs/troubleshooting.md")).expect("the page");
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.map(|row| row.split(" | ").next().unwrap_or_default().trim_start_matches("| "));
    let mut messages = Vec::new();
    for cell in cells {
        // Two backticks enclose a message that has backticks of its own.
        match cell.strip_prefix("`` ").and_then(|rest| rest.split_once(" ``")) {
            Some((message, rest)) => {
                messages.push(message.replace('`', ""));
                messages.extend(rest.split('`').skip(1).step_by(2).map(str::to_owned));
            }
            None => messages.extend(cell.split('`').skip(1).step_by(2).map(str::to_owned)),
        }
    }
    messages
}

#[test]
fn every_message_of_the_page_is_printed_by_a_program() {
    let (sources, messages) = (sources(), messages());
    assert!(messages.len() > 50, "{messages:?}");
    let is_printed = |message: &String| sources.contains(message) || FOREIGN.contains(&message.as_str());
    let unknown: Vec<&String> = messages.iter().filter(|message| !is_printed(message)).collect();
    assert!(unknown.is_empty(), "docs/troubleshooting.md has messages that nothing prints: {unknown:?}");
    assert!(!sources.contains("a message that nothing has ever printed"));
}
