//! From `argv` to options, driven by the table; strings become enums here and nowhere else.

use std::ffi::OsString;

use anyhow::Result;

use super::table::{self, COMMANDS, Command};
use crate::args::Parsed;
use crate::args::{GLOBAL, Opt};
use crate::error::usage;
use crate::text::suggestion;

/// Splits a command line into its command and that command's options; what is left over is an
/// error.
pub fn command_line(args: Vec<OsString>) -> Result<(&'static Command, Parsed)> {
    let mut args = pico_args::Arguments::from_vec(args);
    let mut parsed = Parsed::default();
    take(&mut args, GLOBAL, &mut parsed)?;
    let name = args.subcommand().map_err(|source| usage(source.to_string()))?;
    let Some(name) = name else { return Err(unexpected(&args.finish(), &[GLOBAL], "a command")) };
    let command = table::find(&name).ok_or_else(|| {
        let names = COMMANDS.iter().map(|command| command.name);
        usage(format!(
            "unknown command `{name}`{}\n`cargo xtask` lists the commands",
            suggestion(&name, names)
        ))
    })?;
    for group in command.options {
        take(&mut args, group, &mut parsed)?;
    }
    let rest = args.finish();
    let many = command.args.ends_with("...") || command.args.ends_with("...]");
    let allowed = if command.args.is_empty() {
        0
    } else if many {
        usize::MAX
    } else {
        1
    };
    let is_option = |arg: &OsString| arg.to_string_lossy().starts_with('-');
    if rest.len() > allowed || rest.iter().any(is_option) {
        let first_bad = rest.iter().position(is_option).unwrap_or(allowed.min(rest.len() - 1));
        let known: Vec<_> = [GLOBAL].into_iter().chain(command.options.iter().copied()).collect();
        return Err(unexpected(&rest[first_bad..], &known, command.name));
    }
    if rest.is_empty() && !command.args.is_empty() && !command.args.starts_with('[') {
        return Err(usage(format!(
            "`{name}` needs {}\nfor example: cargo xtask {}",
            command.args.trim_end_matches("..."),
            command.example
        )));
    }
    for arg in rest {
        parsed.free.push(arg.into_string().map_err(|arg| usage(format!("{arg:?} is not UTF-8")))?);
    }
    Ok((command, parsed))
}

/// Takes a group's switches before its options, or an option would swallow a switch as its value.
fn take(args: &mut pico_args::Arguments, group: &'static [Opt], parsed: &mut Parsed) -> Result<()> {
    for opt in group.iter().filter(|opt| opt.value.is_none()) {
        while args.contains(opt.name) || opt.short.is_some_and(|short| args.contains(short)) {
            parsed.switches.push(opt.name);
        }
    }
    for opt in group.iter().filter(|opt| opt.value.is_some()) {
        let values: Vec<String> = args
            .values_from_str(opt.name)
            .map_err(|_| usage(format!("`{}` needs {}", opt.name, opt.value.unwrap_or("a value"))))?;
        parsed.values.extend(values.into_iter().map(|value| (opt.name, value)));
    }
    Ok(())
}

fn unexpected(rest: &[OsString], groups: &[&[Opt]], wanted: &str) -> anyhow::Error {
    let Some(first) = rest.first().map(|arg| arg.to_string_lossy().into_owned()) else {
        return usage("a command is missing\n`cargo xtask` lists the commands");
    };
    if !first.starts_with('-') {
        return usage(format!(
            "`{wanted}` does not take the argument `{first}`\n`cargo xtask {wanted} --help` lists its \
             arguments"
        ));
    }
    let name = first.split('=').next().unwrap_or(&first);
    let names = groups.iter().copied().flatten().map(|opt| opt.name);
    usage(format!(
        "unknown option `{name}` for `{wanted}`{}\n`--help` lists its options",
        suggestion(name, names)
    ))
}
