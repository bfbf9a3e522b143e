//! The command line: one table of commands ([`table`]), from which come parsing, help, dispatch and the README's list.

pub mod help;
pub mod parse;
pub mod table;

use std::ffi::OsString;

use anyhow::Result;
use xshell::Shell;

use crate::error;
use crate::host::Host;
use crate::layout::Layout;
use crate::stdio::out;
use parse::{Globals, Parsed};

/// What every command is given.
pub struct Session {
    /// Runs short commands that only ask.
    pub sh: Shell,
    /// Environment, terminal and clock.
    pub host: Host,
    /// Where things are.
    pub layout: Layout,
    /// The options that every command has.
    pub globals: Globals,
}

impl Session {
    /// Whether what goes to a terminal, or elsewhere, is coloured: `--color`, else `NO_COLOR`, else as the terminal can.
    pub fn color(&self, is_terminal: bool) -> bool {
        let host = &self.host;
        let can = is_terminal && host.var("NO_COLOR").is_none() && host.var("TERM") != Some("dumb");
        self.globals.color.unwrap_or(can)
    }
}

/// Parses and runs a command line. Whether `--json` was given comes beside the result, so that errors can follow it.
pub fn run(args: Vec<OsString>, host: Host) -> (bool, Result<u8>) {
    let json = args.iter().any(|arg| arg == "--json");
    (json, dispatch(args, host))
}

fn dispatch(args: Vec<OsString>, host: Host) -> Result<u8> {
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
        .map_err(|source| error::usage(format!("failed to read the current folder: {source}")))?;
    let session = Session { sh, host, layout, globals };
    (command.run)(&session, &parsed)
}

/// What a command's function looks like; it gives the exit code.
pub type Run = fn(&Session, &Parsed) -> Result<u8>;
