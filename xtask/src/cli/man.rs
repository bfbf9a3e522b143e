//! The man page, made from the table.

use std::fmt::Write;

use super::help::{sentence, spelling, usage};
use super::manual::{ENVIRONMENT, EXIT_CODES, build_options, builds, listed_options};
use super::table;
use crate::args::{GLOBAL, Opt};

/// Returns the page `cargo-xtask(1)` in roff.
pub(crate) fn page() -> String {
    let version = env!("CARGO_PKG_VERSION");
    let mut page = format!(".TH CARGO\\-XTASK 1 \"\" \"durango\\-builder {version}\" \"User Commands\"\n");
    page.push_str(
        ".SH NAME\ncargo\\-xtask \\- build FrankenPHP images, each rebuild at the cost of its change\n",
    );
    page.push_str(".SH SYNOPSIS\n.B cargo xtask\n.I COMMAND\n.RI [ OPTIONS ]\n");
    page.push_str(".SH DESCRIPTION\n");
    paragraph(
        &mut page,
        "`cargo xtask` drives `docker buildx bake`. It saves layers and cache mounts to a store, restores them on a fresh builder, forecasts which steps a build will run, and explains why they ran.",
    );
    page.push_str(".SH COMMANDS\n");
    for (path, command) in table::all() {
        let _ = writeln!(page, ".SS {}", escaped(&usage(&path, command)));
        paragraph(&mut page, &format!("{}.", sentence(command.summary)));
        options(&mut page, listed_options(command));
        if builds(command) {
            page.push_str(".PP\nThe options of a build are listed below.\n");
        }
        let _ = writeln!(page, ".PP\nExample:\n.B cargo xtask {}", escaped(command.example));
    }
    page.push_str(".SH OPTIONS OF A BUILD\n");
    options(&mut page, build_options());
    page.push_str(".SH OPTIONS OF EVERY COMMAND\n");
    options(&mut page, GLOBAL);
    page.push_str(".SH EXIT STATUS\n");
    for (code, meaning) in EXIT_CODES {
        item(&mut page, &code.to_string(), meaning);
    }
    page.push_str(".SH ENVIRONMENT\n");
    for (names, meaning) in ENVIRONMENT {
        item(&mut page, &names.replace(' ', ", "), meaning);
    }
    page.push_str(".SH SEE ALSO\n.BR docker\\-buildx\\-bake (1)\n");
    page
}

fn options<'a>(page: &mut String, options: impl IntoIterator<Item = &'a Opt>) {
    for opt in options {
        item(page, &spelling(opt), opt.help);
    }
}

/// A tagged paragraph.
fn item(page: &mut String, tag: &str, text: &str) {
    let _ = writeln!(page, ".TP\n.B {}", escaped(tag));
    paragraph(page, text);
}

/// Text in which words between backticks are bold.
fn paragraph(page: &mut String, text: &str) {
    for (at, part) in escaped(text).split('`').enumerate() {
        match at % 2 {
            0 => page.push_str(part),
            _ => {
                let _ = write!(page, "\\fB{part}\\fR");
            }
        }
    }
    page.push('\n');
}

/// Text that roff prints as it is, also at the start of a line or as an argument.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-").replace('"', "\\(dq");
    let text = text.replace('\'', "\\(aq").replace('~', "\\(ti").replace('^', "\\(ha");
    if text.starts_with('.') { format!("\\&{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roff_s_own_characters_are_escaped() {
        assert_eq!(escaped(".a-b \\n 'x' ~/.x"), "\\&.a\\-b \\en \\(aqx\\(aq \\(ti/.x");
        let mut page = String::new();
        item(&mut page, "--to PLACE", "as `a -b` has it");
        assert_eq!(page, ".TP\n.B \\-\\-to PLACE\nas \\fBa \\-b\\fR has it\n");
    }

    #[test]
    fn the_page_has_every_command_and_option() {
        let page = page();
        for (path, command) in table::all() {
            assert!(page.contains(&format!("\n.SS {}", escaped(&path))), "{path}");
            for opt in command.own_options().chain(GLOBAL) {
                assert!(page.contains(&escaped(&spelling(opt))), "{path} {}", opt.name);
            }
        }
    }
}
