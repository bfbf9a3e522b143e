//! `docs/reference/cli.md`, made from the table.

use std::fmt::Write;

use super::help::{sentence, spelling, usage};
use super::manual::{ENVIRONMENT, EXIT_CODES, build_options, builds, listed_options};
use super::table;
use crate::args::{GLOBAL, Opt};

/// Prose that no table has.
const NOTES: &str = include_str!("reference_notes.md");

/// Returns the page in Markdown.
pub fn page() -> String {
    let mut page = String::from(
        "# Command line reference\n\n\
         <!-- Made from the table of commands: cargo xtask man --markdown > docs/reference/cli.md -->\n\n\
         `cargo xtask COMMAND --help` prints the same, and so does `man cargo-xtask` after\n\
         `cargo xtask setup`. A value in brackets is the default.\n",
    );
    page.push_str("\n## Commands\n");
    for (path, command) in table::all() {
        let level = if path.contains(' ') { "####" } else { "###" };
        let _ = writeln!(page, "\n{level} `{path}`\n\n{}.", wrapped(&sentence(command.summary)));
        let _ = writeln!(page, "\n```text\ncargo xtask {}\n```", usage(&path, command));
        let _ = writeln!(page, "\nExample: `cargo xtask {}`", command.example);
        if builds(command) {
            page.push_str("\nTakes the [options of a build](#options-of-a-build), too.\n");
        }
        options(&mut page, listed_options(command));
    }
    page.push_str("\n## Options of a build\n");
    options(&mut page, build_options());
    page.push_str("\n## Options of every command\n");
    options(&mut page, GLOBAL);
    let _ = write!(page, "\n{NOTES}");
    page.push_str("\n## Exit codes\n\n| exit code | meaning |\n|---|---|\n");
    for (code, meaning) in EXIT_CODES {
        let _ = writeln!(page, "| {code} | {meaning} |");
    }
    page.push_str("\n## Environment variables\n\n| variable | meaning |\n|---|---|\n");
    for (names, meaning) in ENVIRONMENT {
        let _ = writeln!(page, "| `{}` | {meaning} |", names.replace(' ', "`, `"));
    }
    page.push_str(
        "\n`HOME` may be unset: the account database has the home directory, too. A user without one needs\n\
         `DURANGO_CACHE_DIR`.\n",
    );
    page
}

fn options<'a>(page: &mut String, options: impl IntoIterator<Item = &'a Opt>) {
    let mut options = options.into_iter().peekable();
    if options.peek().is_some() {
        page.push_str("\n| option | does |\n|---|---|\n");
    }
    for opt in options {
        let _ =
            writeln!(page, "| `{}` | {} |", spelling(opt).replace('|', "\\|"), opt.help.replace('|', "\\|"));
    }
}

/// A sentence in lines of at most 100 columns.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.len() + word.len() < 98 => {
                let _ = write!(line, " {word}");
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.join("\n")
}
