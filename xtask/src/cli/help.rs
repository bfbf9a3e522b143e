//! Help texts and the README's list, made from the table.

use std::fmt::Write;

use super::table::{COMMANDS, Command};
use crate::args::{GLOBAL, Opt};

/// Returns the help of `cargo xtask` itself.
pub(crate) fn overview() -> String {
    let mut text = String::from(
        "durango-builder builds FrankenPHP images; a rebuild costs as much as the change.\n\n\
         Usage: cargo xtask COMMAND [OPTIONS]\n\nCommands:\n",
    );
    list(&mut text, COMMANDS);
    options(&mut text, "Options of every command", GLOBAL);
    text.push_str("\n`cargo xtask COMMAND --help` describes a command, `--version` prints the version.\n");
    text.push_str("On a new machine: cargo xtask base-build --provision\n");
    text
}

/// Help of a command or subcommand, whose name in full is `path`.
pub(crate) fn command(path: &str, command: &Command) -> String {
    let summary = sentence(command.summary);
    let mut text = format!("{summary}\n\nUsage:   cargo xtask {}\n", usage(path, command));
    let _ = writeln!(text, "Example: cargo xtask {}", command.example);
    if !command.subcommands.is_empty() {
        text.push_str("\nSubcommands:\n");
        list(&mut text, command.subcommands);
    }
    options(&mut text, "Options", command.own_options());
    options(&mut text, "Options of every command", GLOBAL);
    if !command.subcommands.is_empty() {
        let _ = writeln!(text, "\n`cargo xtask {path} SUBCOMMAND --help` describes a subcommand.");
    }
    text
}

/// Returns the README's table of commands in Markdown.
pub fn readme_list() -> String {
    let mut text = String::from("| command | does | example |\n|---|---|---|\n");
    for command in COMMANDS {
        let names: Vec<&str> = command.subcommands.iter().map(|sub| sub.name).collect();
        let usage = match command.run {
            Some(_) => format!("{} {}", command.name, command.args),
            None => format!("{} {}", command.name, names.join("\\|")),
        };
        let (usage, summary, example) = (usage.trim(), command.summary, command.example);
        let _ = writeln!(text, "| `{usage}` | {summary} | `cargo xtask {example}` |");
    }
    text
}

/// Returns the words after `cargo xtask`, with placeholders.
pub(super) fn usage(path: &str, command: &Command) -> String {
    let subcommand = match (command.subcommands, command.run) {
        ([], _) => "",
        (_, None) => "SUBCOMMAND",
        (_, Some(_)) => "[SUBCOMMAND]",
    };
    let words = [path, subcommand, command.args, "[OPTIONS]"];
    words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// A summary as a sentence without its period.
pub(super) fn sentence(summary: &str) -> String {
    let mut rest = summary.chars();
    rest.next().map(|first| first.to_uppercase().chain(rest).collect()).unwrap_or_default()
}

/// `-v, --verbose`, `--file FILE`.
pub(super) fn spelling(opt: &Opt) -> String {
    let short = opt.short.map_or(String::new(), |short| format!("{short}, "));
    let value = opt.value.map_or(String::new(), |value| format!(" {value}"));
    format!("{short}{}{value}", opt.name)
}

fn list(text: &mut String, commands: &[Command]) {
    for command in commands {
        let _ = writeln!(text, "  {:<12} {}", command.name, command.summary);
    }
}

fn options<'a>(text: &mut String, title: &str, options: impl IntoIterator<Item = &'a Opt>) {
    let mut options = options.into_iter().peekable();
    if options.peek().is_some() {
        let _ = writeln!(text, "\n{title}:");
    }
    for opt in options {
        let _ = writeln!(text, "  {:<22} {}", spelling(opt), opt.help);
    }
}
