//! The command line: one table of commands ([`table`]) for parsing, help, dispatch, completions,
//! the man page and the reference.

mod complete;
mod documents;
pub(crate) mod help;
pub(crate) mod man;
mod manual;
mod options;
pub(crate) mod parse;
pub(crate) mod reference;
mod subcommands;
pub(crate) mod table;
mod values;

use std::ffi::OsString;

use anyhow::Result;
use xshell::Shell;

use crate::args::Parsed;
use crate::error;
use crate::host::Host;
use crate::layout::Layout;
use crate::process::stdio::{out, outln};
use crate::redact::Redactor;
use crate::session::Globals;
use crate::session::Session;
use crate::text::output;

/// Parses and runs a command line. Returns whether `--json` was given, too, so that errors can
/// follow it.
pub(crate) fn run(args: Vec<OsString>, host: Host) -> (bool, Result<u8>) {
    let json = args.iter().any(|arg| arg == "--json");
    (json, dispatch(args, host))
}

fn dispatch(args: Vec<OsString>, host: Host) -> Result<u8> {
    let redactor = Redactor::default();
    redactor.learn_variables(&host.env);
    output::protect(&redactor);
    if args.first().is_some_and(|arg| arg == complete::COMMAND) {
        let line = complete::Line::of(&args[1..]);
        let globals = Globals::from_parsed(&line.options().only("--cache-dir"), None)?;
        return Ok(line.answer(&session(host, globals, redactor)?));
    }
    if args.first().is_some_and(|arg| arg == "--version" || arg == "-V") {
        outln!("durango-builder {}", env!("CARGO_PKG_VERSION"));
        return Ok(0);
    }
    let wants_help = args.is_empty() || args.iter().any(|arg| arg == "--help" || arg == "-h");
    if wants_help || args.first().is_some_and(|arg| arg == "help") {
        let topic = parse::help_topic(args)?;
        out!("{}", topic.map_or_else(help::overview, |topic| help::command(&topic.path, topic.command)));
        return Ok(0);
    }
    let (command, parsed) = parse::command_line(args)?;
    let globals = Globals::from_parsed(&parsed, host.var("BUILDKIT_PROGRESS"))?;
    let session = session(host, globals, redactor)?;
    let run = command.run.ok_or_else(|| error::usage(help::command(command.name, command)))?;
    run(&session, &parsed).map_err(|error| error::redacted(&error, &session.redactor))
}

fn session(host: Host, globals: Globals, redactor: Redactor) -> Result<Session> {
    let layout = Layout::find(&host, globals.cache_dir.as_deref())?;
    let sh = Shell::new()
        .map_err(|source| error::usage(format!("failed to read the current directory: {source}")))?;
    Ok(Session { sh, host, layout, globals, redactor })
}

/// The function of a command. Returns the exit code.
pub(crate) type Run = fn(&Session, &Parsed) -> Result<u8>;
