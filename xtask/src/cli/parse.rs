//! From `argv` to a command and its options, driven by the table.

use std::ffi::OsString;

use anyhow::Result;

use super::table::{self, COMMANDS, Command};
use crate::args::{GLOBAL, Opt, Parsed};
use crate::error::usage;
use crate::text::suggestion;

/// A command or subcommand with its name in full, as `cache gc`.
pub(super) struct Chosen {
    pub(super) path: String,
    pub(super) command: &'static Command,
}

/// Splits a command line into its command and that command's options. Leftover arguments are
/// errors.
pub fn command_line(args: Vec<OsString>) -> Result<(&'static Command, Parsed)> {
    let mut args = pico_args::Arguments::from_vec(args);
    let mut parsed = Parsed::default();
    take(&mut args, &GLOBAL.iter().collect::<Vec<_>>(), &mut parsed)?;
    let name = args.subcommand().map_err(|source| usage(source.to_string()))?;
    let Some(name) = name else { return Err(no_command(&args.finish())) };
    let command = table::find(&name).ok_or_else(|| unknown("", &name, COMMANDS))?;
    take(&mut args, &command.all_options(), &mut parsed)?;
    let mut rest = args.finish();
    let chosen = choose(command, &mut rest)?;
    check_rest(&chosen, &rest)?;
    // Every command has the global options, wherever they stand.
    let is_global = |name: &&str| GLOBAL.iter().any(|opt| opt.name == *name);
    check_options(&chosen, command, parsed.given().filter(|name| !is_global(name)))?;
    for arg in rest {
        parsed.free.push(arg.into_string().map_err(|arg| usage(format!("{arg:?} is not UTF-8")))?);
    }
    Ok((chosen.command, parsed))
}

/// The command whose help a command line asks for; `None` for that of all commands.
pub(super) fn help_topic(args: Vec<OsString>) -> Result<Option<Chosen>> {
    let mut args = pico_args::Arguments::from_vec(args);
    take(&mut args, &GLOBAL.iter().collect::<Vec<_>>(), &mut Parsed::default())?;
    let rest = args.finish();
    let mut words = rest.iter().filter(|arg| !is_option(arg)).map(|arg| arg.to_string_lossy());
    let first = words.next().filter(|word| word != "help").or_else(|| words.next());
    let Some(name) = first else { return Ok(None) };
    let command = table::find(&name).ok_or_else(|| unknown("", &name, COMMANDS))?;
    let sub = words.find_map(|word| command.subcommand(&word));
    Ok(Some(sub.map_or_else(
        || Chosen { path: name.clone().into_owned(), command },
        |sub| Chosen { path: format!("{name} {}", sub.name), command: sub },
    )))
}

/// Takes the subcommand from the arguments, where the command has subcommands.
fn choose(command: &'static Command, rest: &mut Vec<OsString>) -> Result<Chosen> {
    let path = command.name.to_owned();
    let at = rest.iter().position(|arg| !is_option(arg));
    let Some(at) = at.filter(|_| !command.subcommands.is_empty()) else {
        if command.run.is_none() {
            let names = names(command.subcommands);
            let example = command.example;
            return Err(usage(format!(
                "`{path}` needs a subcommand: {names}\nfor example: cargo xtask {example}"
            )));
        }
        return Ok(Chosen { path, command });
    };
    let name = rest[at].to_string_lossy().into_owned();
    let Some(sub) = command.subcommand(&name) else {
        if command.args.is_empty() {
            return Err(unknown(&path, &name, command.subcommands));
        }
        return Ok(Chosen { path, command });
    };
    rest.remove(at);
    Ok(Chosen { path: format!("{path} {name}"), command: sub })
}

/// Checks the arguments that are no known options.
fn check_rest(chosen: &Chosen, rest: &[OsString]) -> Result<()> {
    let Chosen { path, command } = chosen;
    if let Some(option) = rest.iter().find(|arg| is_option(arg)) {
        let option = option.to_string_lossy();
        let name = option.split('=').next().unwrap_or(&option);
        let known = GLOBAL.iter().chain(command.own_options()).map(|opt| opt.name);
        return Err(usage(format!(
            "unknown option `{name}` for `{path}`{}\n`cargo xtask {path} --help` lists its options",
            suggestion(name, known)
        )));
    }
    let arity = command.arity();
    if let Some(extra) = rest.get(arity.most) {
        return Err(usage(format!(
            "`{path}` does not take the argument `{}`\n`cargo xtask {path} --help` shows its arguments",
            extra.to_string_lossy()
        )));
    }
    if rest.len() < arity.least {
        let (args, example) = (command.args.trim_end_matches("..."), command.example);
        return Err(usage(format!("`{path}` needs {args}\nfor example: cargo xtask {example}")));
    }
    Ok(())
}

/// Checks that each option is one of the chosen command, and not of another subcommand.
fn check_options(
    chosen: &Chosen,
    command: &Command,
    mut given: impl Iterator<Item = &'static str>,
) -> Result<()> {
    let has = |command: &Command, name: &str| command.own_options().any(|opt| opt.name == name);
    let Some(option) = given.find(|name| !has(chosen.command, name)) else { return Ok(()) };
    let takers = command.subcommands.iter().filter(|sub| has(sub, option));
    let takers = takers.map(|sub| format!("{} {}", command.name, sub.name));
    let own = has(command, option).then(|| command.name.to_owned());
    let takers: Vec<String> = own.into_iter().chain(takers).collect();
    Err(usage(format!("`{}` does not take `{option}`\nit is for: {}", chosen.path, takers.join(", "))))
}

/// Takes the switches before the options, or an option would swallow a switch as its value.
fn take(args: &mut pico_args::Arguments, options: &[&'static Opt], parsed: &mut Parsed) -> Result<()> {
    for opt in options.iter().filter(|opt| opt.value.is_none()) {
        while args.contains(opt.name) || opt.short.is_some_and(|short| args.contains(short)) {
            parsed.switches.push(opt.name);
        }
    }
    for opt in options.iter().filter(|opt| opt.value.is_some()) {
        let values: Vec<String> = args
            .values_from_str(opt.name)
            .map_err(|_| usage(format!("`{}` needs {}", opt.name, opt.value.unwrap_or("a value"))))?;
        parsed.values.extend(values.into_iter().map(|value| (opt.name, value)));
    }
    Ok(())
}

fn is_option(arg: &OsString) -> bool {
    arg.as_encoded_bytes().starts_with(b"-")
}

fn names(commands: &[Command]) -> String {
    commands.iter().map(|command| command.name).collect::<Vec<_>>().join(", ")
}

/// An unknown command, or an unknown subcommand of `parent`.
fn unknown(parent: &str, name: &str, commands: &[Command]) -> anyhow::Error {
    let near = suggestion(name, commands.iter().map(|command| command.name));
    usage(match parent {
        "" => format!("unknown command `{name}`{near}\n`cargo xtask` lists the commands"),
        parent => format!(
            "unknown command `{parent} {name}`{near}\nthe subcommands of `{parent}`: {}",
            names(commands)
        ),
    })
}

fn no_command(rest: &[OsString]) -> anyhow::Error {
    let Some(first) = rest.first().map(|arg| arg.to_string_lossy()) else {
        return usage("a command is missing\n`cargo xtask` lists the commands");
    };
    let name = first.split('=').next().unwrap_or(&first);
    let near = suggestion(name, GLOBAL.iter().map(|opt| opt.name));
    usage(format!("unknown option `{name}` before the command{near}\n`cargo xtask --help` lists the options"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<(&'static Command, Parsed)> {
        command_line(line.split_whitespace().map(Into::into).collect())
    }

    #[test]
    fn a_subcommand_has_arguments_and_options_of_its_own() {
        let table = [
            ("cache lss", "unknown command `cache lss`; did you mean `ls`?"),
            ("cache", "`cache` needs a subcommand: key, ls, du"),
            ("cache --json", "`cache` needs a subcommand"),
            ("cache ls --budget 1GB", "`cache ls` does not take `--budget`\nit is for: cache gc"),
            ("cache --budget 1GB ls", "`cache ls` does not take `--budget`\nit is for: cache gc"),
            ("cache ls x", "`cache ls` does not take the argument `x`\n`cargo xtask cache ls --help`"),
            ("cache gc --yes", "it is for: cache clear"),
            ("cache gc --bugdet 1GB", "unknown option `--bugdet` for `cache gc`; did you mean `--budget`?"),
            ("cache --nope", "`cache` needs a subcommand"),
            ("cache clear", "`cache clear` needs KIND\nfor example: cargo xtask cache clear"),
            ("builder status --purge", "`builder status` does not take `--purge`\nit is for: builder down"),
            ("builder up a b", "`builder up` does not take the argument `b`"),
            ("history --yes", "`history` does not take `--yes`\nit is for: history rm"),
            ("history x", "unknown command `history x`"),
            ("bench chaos --edits 3", "`bench chaos` does not take `--edits`\nit is for: bench"),
            ("--nope build", "unknown option `--nope` before the command"),
            ("--json", "a command is missing"),
        ];
        for (line, expected) in table {
            let error = parse(line).map(|_| ()).expect_err(line).to_string();
            assert!(error.contains(expected), "{line}: {error}");
        }
    }

    #[test]
    fn options_stand_before_or_after_the_subcommand() {
        for line in [
            "cache gc --keep 2 --dry-run",
            "cache --keep 2 gc --dry-run",
            "--json cache --dry-run gc --keep=2",
        ] {
            let (command, parsed) = parse(line).expect(line);
            assert_eq!((command.name, parsed.many("--keep")), ("gc", vec!["2".to_owned()]), "{line}");
            assert!(parsed.flag("--dry-run") && parsed.free.is_empty(), "{line}");
        }
        let (command, parsed) = parse("cache --json key app --file a").expect("right");
        assert_eq!((command.name, parsed.free), ("key", vec!["app".to_owned()]));
        assert_eq!(parse("history").expect("right").0.name, "history");
        let (command, parsed) = parse("bench unchanged").expect("an argument, not a subcommand");
        assert_eq!((command.name, parsed.free), ("bench", vec!["unchanged".to_owned()]));
        assert_eq!(parse("bench --seed 2 chaos").expect("right").0.name, "chaos");
    }

    #[test]
    fn global_options_stand_next_to_any_other() {
        for line in ["build app --no-cache --cache-dir DIR", "--cache-dir DIR -v build app --no-cache --json"]
        {
            let (_, parsed) = parse(line).expect(line);
            let dir = parsed.one("--cache-dir").expect("given once");
            assert!(dir.as_deref() == Some("DIR") && parsed.flag("--no-cache"), "{line}");
        }
    }

    #[test]
    fn help_is_for_the_command_that_is_named() {
        let topic = |line: &str| {
            let args = line.split_whitespace().map(Into::into).collect();
            help_topic(args).map(|chosen| chosen.map_or(String::new(), |chosen| chosen.path))
        };
        for (line, expected) in [
            ("", ""),
            ("help", ""),
            ("--json --help", ""),
            ("build web --help", "build"),
            ("--builder build cache --help", "cache"),
            ("cache gc --help", "cache gc"),
            ("cache --budget 1GB gc -h", "cache gc"),
            ("help builder up", "builder up"),
        ] {
            assert_eq!(topic(line).expect(line), expected, "{line}");
        }
        let error = topic("bild --help").expect_err("unknown").to_string();
        assert!(error.contains("did you mean `build`?"), "{error}");
        topic("help bild").expect_err("unknown");
    }
}
