//! The command line: one table of commands ([`table`]), from which come parsing, help, dispatch and
//! the README's list.

pub(crate) mod help;
pub(crate) mod parse;
pub(crate) mod table;

use std::ffi::OsString;

use anyhow::Result;
use xshell::Shell;

use crate::args::Parsed;
use crate::error;
use crate::host::Host;
use crate::layout::Layout;
use crate::process::stdio::out;
use crate::redact::Redactor;
use crate::session::Globals;
use crate::session::Session;
use crate::text::output;

/// Parses and runs a command line. Whether `--json` was given comes beside the result, so that
/// errors can follow it.
pub(crate) fn run(args: Vec<OsString>, host: Host) -> (bool, Result<u8>) {
    let json = args.iter().any(|arg| arg == "--json");
    (json, dispatch(args, host))
}

fn dispatch(args: Vec<OsString>, host: Host) -> Result<u8> {
    let redactor = Redactor::default();
    redactor.learn_variables(&host.env);
    output::protect(&redactor);
    let wants_help = args.is_empty() || args.iter().any(|arg| arg == "--help" || arg == "-h");
    let name = args.iter().filter_map(|arg| arg.to_str()).find(|arg| table::find(arg).is_some());
    if wants_help || args.first().is_some_and(|arg| arg == "help") {
        out!("{}", name.and_then(table::find).map_or_else(help::overview, help::command));
        return Ok(0);
    }
    let (command, parsed) = parse::command_line(args)?;
    let globals = Globals::from_parsed(&parsed)?;
    let layout = Layout::find(&host, globals.cache_dir.as_deref())?;
    let sh = Shell::new()
        .map_err(|source| error::usage(format!("failed to read the current directory: {source}")))?;
    let session = Session { sh, host, layout, globals, redactor };
    (command.run)(&session, &parsed).map_err(|error| error::redacted(&error, &session.redactor))
}

/// What a command's function looks like; it gives the exit code.
pub(crate) type Run = fn(&Session, &Parsed) -> Result<u8>;
