//! Help texts and the README's list, all made from the table.

use std::fmt::Write;

use super::table::{COMMANDS, Command};
use crate::args::{GLOBAL, Opt};

/// Help of `cargo xtask` alone.
pub(crate) fn overview() -> String {
    let mut text = String::from(
        "durango-builder builds FrankenPHP images; a rebuild costs as much as the change.\n\n\
         Usage: cargo xtask COMMAND [OPTIONS]\n\nCommands:\n",
    );
    for command in COMMANDS {
        let _ = writeln!(text, "  {:<12} {}", command.name, command.summary);
    }
    text.push_str("\nOptions of every command:\n");
    text.push_str(&options(GLOBAL));
    text.push_str(
        "\nRun `cargo xtask COMMAND --help` for details. On a new machine: cargo xtask \
     base-build --provision\n",
    );
    text
}

/// Help of one command.
pub(crate) fn command(command: &Command) -> String {
    let args = if command.args.is_empty() { String::new() } else { format!(" {}", command.args) };
    let mut text = format!(
        "{}{}\n\nUsage: cargo xtask {}{args} [OPTIONS]\nExample: cargo xtask {}\n",
        command.summary[..1].to_uppercase(),
        &command.summary[1..],
        command.name,
        command.example
    );
    if !command.options.is_empty() {
        text.push_str("\nOptions:\n");
        command.options.iter().for_each(|group| text.push_str(&options(group)));
    }
    text.push_str("\nOptions of every command:\n");
    text.push_str(&options(GLOBAL));
    text
}

/// The README's table of commands, in Markdown.
pub fn readme_list() -> String {
    let mut text = String::from("| command | does | example |\n|---|---|---|\n");
    for command in COMMANDS {
        let usage = format!("{} {}", command.name, command.args);
        let _ = writeln!(
            text,
            "| `{}` | {} | `cargo xtask {}` |",
            usage.trim().replace('|', "\\|"),
            command.summary,
            command.example
        );
    }
    text
}

fn options(group: &[Opt]) -> String {
    let mut text = String::new();
    for opt in group {
        let short = opt.short.map_or(String::new(), |short| format!("{short}, "));
        let value = opt.value.map_or(String::new(), |value| format!(" {value}"));
        let _ = writeln!(text, "  {:<22} {}", format!("{short}{}{value}", opt.name), opt.help);
    }
    text
}
